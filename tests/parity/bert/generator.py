"""Golden numbers of transformers' BERT (base size) with weights by formula: classification.json, masked_lm.json.

    "$(scripts/judges | tail -n 1)" tests/parity/bert/generator.py [classification masked_lm]
"""

import sys
from pathlib import Path

import torch
import transformers
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import formula  # noqa: E402
import golden  # noqa: E402

STEPS, BATCH, TOKENS, PADDED = 10, 2, 16, 5
CONFIG = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
    "num_labels": 3,
}
CLASSES = {"classification": BertForSequenceClassification, "masked_lm": BertForMaskedLM}
OPTIMISERS = {
    "classification": {
        "sgd": {"lr": 0.001, "momentum": 0.9, "weight_decay": 1e-4},
        "adamw": {"lr": 1e-5, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
    },
    "masked_lm": {
        "sgd": {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
        "adamw": {"lr": 2e-5, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
    },
}


def build(kind, dtype):
    net = CLASSES[kind](BertConfig(**CONFIG, attn_implementation="eager"))
    return golden.fill(net, dtype)


def batch(kind):
    """Token ids by formula; the last 5 positions of row 1 are padding; segment 1 from position 9 (row 0) or 6 (row 1)."""
    ids = torch.from_numpy(formula.integers("input_ids", [BATCH, TOKENS], CONFIG["vocab_size"]))
    mask = torch.ones(BATCH, TOKENS, dtype=torch.long)
    mask[1, TOKENS - PADDED :] = 0
    ids[mask == 0] = CONFIG["pad_token_id"]
    segments = torch.zeros(BATCH, TOKENS, dtype=torch.long)
    segments[0, 9:] = 1
    segments[1, 6 : TOKENS - PADDED] = 1
    if kind == "classification":
        labels = torch.from_numpy(formula.integers("labels", [BATCH], CONFIG["num_labels"]))
    else:
        # Every third position that is not padding is predicted, the others are ignored.
        labels = torch.from_numpy(formula.integers("labels", [BATCH, TOKENS], CONFIG["vocab_size"]))
        labels[(torch.arange(TOKENS) % 3 != 1).expand(BATCH, TOKENS) | (mask == 0)] = -100
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments, "labels": labels}


def evaluate(kind, dtype):
    net = build(kind, dtype).eval()
    pooled = []
    if net.bert.pooler is not None:
        net.bert.pooler.register_forward_hook(lambda m, i, o: pooled.append(o))
    with torch.no_grad():
        out = net(**batch(kind), output_hidden_states=True)
    result = {"loss": golden.tensor_numbers(out.loss)[0]}
    if kind == "classification":
        result["logits"] = golden.tensor_numbers(out.logits)
        result["pooler"] = golden.summary(pooled[0])
    else:
        # [2, 16, 30522] logits: the first 8 of every position, and each position's norm.
        result["logits"] = [golden.tensor_numbers(row[:8]) for row in out.logits.flatten(0, 1)]
        result["logits norm"] = golden.tensor_numbers(out.logits.double().norm(dim=-1))
    result["hidden"] = [golden.summary(h) for h in out.hidden_states]
    return result


def first_step(kind, dtype):
    net = build(kind, dtype).train()
    out = net(**batch(kind))
    out.loss.backward()
    return {n: p.grad for n, p in net.named_parameters() if p.grad is not None}


def train(kind, optimiser, dtype):
    net, losses = build(kind, dtype).train(), []
    make = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimiser]
    opt = make(net.parameters(), foreach=False, **OPTIMISERS[kind][optimiser])
    for _ in range(STEPS):
        opt.zero_grad()
        loss = net(**batch(kind)).loss
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return {"losses": golden.numbers(losses)}


def generate(kind):
    print(kind)
    both = {"f32": torch.float32, "f64": torch.float64}
    out = {
        "made by": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "model": CLASSES[kind].__name__,
        "config": CONFIG,
        "batch": {name: t.tolist() for name, t in batch(kind).items()},
        "eval": {k: evaluate(kind, d) for k, d in both.items()},
    }
    flat = {k: torch.tensor(out["eval"][k]["logits"]).flatten().tolist() for k in both}
    print(f" eval: logits f32 against f64 {golden.relative(flat['f32'], flat['f64']):.2e}; gradients:")
    step = {k: first_step(kind, d) for k, d in both.items()}
    golden.gradient_noise(step["f32"], step["f64"])
    projected = {k: golden.projections(s) for k, s in step.items()}
    out["gradients"] = {n: {k: golden.numbers(p[n]) for k, p in projected.items()} for n in projected["f64"]}
    del step
    for optimiser, setting in OPTIMISERS[kind].items():
        out[optimiser] = {**setting, **{k: train(kind, optimiser, d) for k, d in both.items()}}
        a, b = out[optimiser]["f32"]["losses"], out[optimiser]["f64"]["losses"]
        print(f" {optimiser}: {b}\n  worst step f32 against f64 {max(abs(x - y) / y for x, y in zip(a, b)):.2e}")
    golden.write(HERE / f"{kind}.json", out)


if __name__ == "__main__":
    for model in sys.argv[1:] or ["classification", "masked_lm"]:
        generate(model)
