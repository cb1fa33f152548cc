"""transformers' BERT, RoBERTa, XLM-R, ELECTRA, DistilBERT and ALBERT, with each of their heads."""

import formula
import judge
import numpy as np
import torch
import transformers

SOURCE = f"transformers {transformers.__version__}"
CLASSES, CHOICES = 5, 3
SMALL = {"vocab_size": 211, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80, "max_position_embeddings": 40}
DISTIL = {"vocab_size": 211, "dim": 48, "n_layers": 3, "n_heads": 4, "hidden_dim": 80, "max_position_embeddings": 40}
# Family: class names begin with, a small configuration, full size, id of padding, segments.
FAMILIES = {
    "bert": ("Bert", SMALL, {}, 0, 2),
    "roberta": ("Roberta", SMALL | {"type_vocab_size": 1, "layer_norm_eps": 1e-5}, {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}, 1, 1),
    "xlm_roberta": ("XLMRoberta", SMALL | {"type_vocab_size": 1, "layer_norm_eps": 1e-5}, None, 1, 1),
    "electra": ("Electra", SMALL | {"embedding_size": 32}, {"embedding_size": 768, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}, 0, 2),
    "distilbert": ("DistilBert", DISTIL, {}, 0, 0),
    "albert": ("Albert", SMALL | {"embedding_size": 32, "num_hidden_groups": 2, "inner_group_num": 2}, {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}, 0, 2),
}
HEADS = {
    "model": "Model",
    "sequence": "ForSequenceClassification",
    "multi_label": "ForSequenceClassification",
    "regression": "ForSequenceClassification",
    "token": "ForTokenClassification",
    "question_answering": "ForQuestionAnswering",
    "multiple_choice": "ForMultipleChoice",
    "masked_lm": "ForMaskedLM",
    "next_sentence": "ForNextSentencePrediction",
    "pretraining": "ForPreTraining",
}
PROBLEMS = {"sequence": "single_label_classification", "multi_label": "multi_label_classification", "regression": "regression"}
NAMES = [f"{family}_{head}" for family in FAMILIES for head in HEADS] + [f"{f}_base" for f, row in FAMILIES.items() if row[2] is not None]


class Outputs(dict):
    """Tensors by name, and the loss."""


def original(family, head):
    begin, small, full, pad, segments = FAMILIES[family]
    size = small
    if head == "base":
        head, size = "sequence", full
    kind = getattr(transformers, begin + HEADS[head], None)
    if kind is None:
        return None
    of_classes = {"num_labels": 1 if head == "regression" else CLASSES} if head in (*PROBLEMS, "token") else {}
    settings = {**size, **of_classes, "pad_token_id": pad} | ({"problem_type": PROBLEMS[head]} if head in PROBLEMS else {})
    # With one output of two classes, transformers means regression.
    config = getattr(transformers, begin + "Config")(**settings)

    def inputs(lengths, with_labels):
        batch, length = len(lengths), max(lengths)
        choices = CHOICES if head == "multiple_choice" else 1

        def make(key):
            shape = [batch * choices, length]
            mask = np.array([[int(t < lengths[i // choices]) for t in range(length)] for i in range(shape[0])], dtype=np.int64)
            ids = np.where(mask == 1, 5 + formula.integers(key, shape, config.vocab_size - 5), pad)
            given = {"input_ids": ids, "attention_mask": mask}
            if segments > 1:
                given["token_type_ids"] = formula.integers(key + ".types", shape, segments) * mask
            if head == "multiple_choice":
                given = {k: v.reshape(batch, choices, length) for k, v in given.items()}
            if with_labels:
                given |= labels(key, mask, batch)
            return given

        return make

    def labels(key, mask, batch):
        def below(n, shape, name="labels"):
            return formula.integers(f"{key}.{name}", shape, n)

        rows = {
            "model": {},
            "sequence": {"labels": below(CLASSES, [batch])},
            "multi_label": {"labels": below(2, [batch, CLASSES]).astype(np.float64)},
            "regression": {"labels": formula.signed(f"{key}.labels", [batch, 1])},
            "token": {"labels": np.where(mask == 1, below(CLASSES, mask.shape), -100)},
            # The last text has its answer beyond the end, which does not count.
            "question_answering": {"start_positions": np.append(below(5, [batch - 1]), 99), "end_positions": np.append(below(5, [batch - 1], "end"), 99)},
            "multiple_choice": {"labels": below(CHOICES, [batch])},
            "next_sentence": {"labels": below(2, [batch])},
        }
        words = np.where((mask == 1) & (below(3, mask.shape, "chosen") == 0), below(config.vocab_size, mask.shape), -100)
        if head in ("masked_lm", "pretraining"):
            given = {"labels": words}
            if head == "pretraining" and family == "electra":
                given = {"labels": below(2, mask.shape)}
            elif head == "pretraining":
                given[ORDER[family]] = below(2, [batch], "order")
            return given
        return rows[head]

    def outputs(net, given):
        y = net(**given)
        found = Outputs({k: v for k, v in y.items() if k != "loss" and isinstance(v, torch.Tensor)})
        found.loss = y.get("loss") if head != "model" else sum(v.square().mean() for v in found.values())
        return found

    def save(net, folder):
        net.save_pretrained(folder / "model")
        return "model"

    def gradients(net):
        """Of tied weights under the name that stays, whichever module comes first."""
        tied = net._tied_weights_keys or {}
        return {n: p.grad for n, p in net.named_parameters(remove_duplicate=False) if p.grad is not None and n not in tied}

    def load(folder):
        net, info = kind.from_pretrained(folder, output_loading_info=True)
        wrong = {k: v for k, v in info.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys")}
        assert not wrong, wrong
        return net

    facts = {"family": "text", "problem": PROBLEMS.get(head), "order": ORDER.get(family) if head == "pretraining" else None}
    if head == "multiple_choice":
        facts["choices"] = CHOICES
    return judge.Original(
        source=SOURCE,
        build=lambda: kind(config),
        inputs=inputs([11] * 6, False),
        odd_inputs=inputs([13, 7, 1, 9, 12, 4], False),
        # Of few numbers the original may round none by luck.
        train_inputs=inputs([9, 9], True) if head == "model" else inputs([9, 6, 8, 9, 7, 5], True),
        outputs=outputs,
        loss=lambda out, given: out.loss,
        gradients=gradients,
        save=save,
        load=load,
        tries=range(1),
        facts=facts,
    )


ORDER = {"bert": "next_sentence_label", "albert": "sentence_order_label"}
MODELS = {name: original(*next((f, name.removeprefix(f"{f}_")) for f in sorted(FAMILIES, key=len, reverse=True) if name.startswith(f"{f}_"))) for name in NAMES}
ORIGINALS = {name: made for name, made in MODELS.items() if made is not None}
