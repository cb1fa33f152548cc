"""Golden sentence embeddings of MiniLM by transformers: golden.json.

    scripts/fetch-real minilm
    "$(scripts/judges | tail -n 1)" tests/import/minilm/generator.py

Embedding = mean of the last hidden states over the tokens of the mask, divided by its L2 norm.
"""

import sys
from pathlib import Path

import tokenizers
import torch
import transformers
from transformers import BertModel

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "tests" / "parity"))
import golden  # noqa: E402

REAL = ROOT / ".cache" / "real" / "minilm"
SENTENCES = [
    "This is an example sentence",
    "Each sentence is converted",
    "",
    "Über naïve cafés: 東京 costs 3.50€ — isn't it unbelievable?!",
    "a very long sentence about antidisestablishmentarianism " * 12,
]


def embed(net, tokenizer, sentences):
    encodings = tokenizer.encode_batch(sentences)
    ids = torch.tensor([e.ids for e in encodings])
    mask = torch.tensor([e.attention_mask for e in encodings])
    with torch.no_grad():
        hidden = net(input_ids=ids, attention_mask=mask).last_hidden_state
    weights = mask[:, :, None].to(hidden.dtype)
    return encodings, (hidden * weights).sum(1) / weights.sum(1)


def main():
    tokenizer = tokenizers.Tokenizer.from_file(str(REAL / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    net = BertModel.from_pretrained(REAL, attn_implementation="eager").eval()
    encodings, mean = embed(net, tokenizer, SENTENCES)
    mean64 = embed(net.double(), tokenizer, SENTENCES)[1]
    print("batch f32 against f64", golden.relative(mean.double().numpy(), mean64.numpy()))
    cases = []
    for k, sentence in enumerate(SENTENCES):
        embedding = mean64[k] / mean64[k].norm()
        case = {
            "text": sentence,
            "ids": [i for i, m in zip(encodings[k].ids, encodings[k].attention_mask) if m],
            "norm of mean": golden.numbers([mean64[k].norm()])[0],
            "embedding": golden.tensor_numbers(embedding if k == 0 else embedding[:8]),
        }
        print(case["text"][:40], case["norm of mean"], case["embedding"][:3], len(case["ids"]))
        cases.append(case)
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    golden.write(HERE / "golden.json", {"made by": versions, "computed in": "f64, from the file's f32 weights", "truncated to": 256, "cases": cases})


if __name__ == "__main__":
    main()
