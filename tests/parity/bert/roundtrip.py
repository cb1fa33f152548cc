"""Judges a BERT saved by ukulele: loads it into transformers with strict=True and compares the logits.

    "$(scripts/judges | tail -n 1)" tests/parity/bert/roundtrip.py DIR

DIR holds model.safetensors and config.json (as transformers writes it) of a BertForSequenceClassification, and logits.json
{"shape": [2, labels], "logits": [..]} computed by ukulele in eval mode for the formula ids "input_ids" of shape [2, 12] below
vocab_size, all of them attended to and of segment 0. Leaves with 0 if they agree to 1e-4 relative in norm, else 1 with the reason.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification
from transformers.utils.logging import disable_progress_bar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import formula  # noqa: E402
import golden  # noqa: E402

TOLERANCE = 1e-4


def main(folder):
    disable_progress_bar()
    config = BertConfig.from_pretrained(folder, attn_implementation="eager")
    net = BertForSequenceClassification(config)
    net.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    ids = torch.from_numpy(formula.integers("input_ids", [2, 12], config.vocab_size))
    with torch.no_grad():
        logits = net.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    # The usual way in must accept it as well, with nothing missing, unexpected or of another shape.
    _, report = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
    left = {k: v for k, v in report.items() if v}
    if left:
        raise ValueError(f"from_pretrained reports {left}")
    return golden.judge(logits, json.loads((folder / "logits.json").read_text()), TOLERANCE)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        sys.exit(0 if main(Path(sys.argv[1])) else 1)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        print(f"roundtrip: {error}", file=sys.stderr)
        sys.exit(1)
