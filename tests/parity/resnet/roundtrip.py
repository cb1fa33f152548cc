"""Judges a ResNet saved by ukulele: loads it into torchvision with strict=True and compares the logits.

    "$(scripts/judges | tail -n 1)" tests/parity/resnet/roundtrip.py DIR

DIR holds model.safetensors, config.json {"model": "resnet18", "classes": N}, and logits.json {"shape": [2, N], "logits": [..]}
computed by ukulele in eval mode for the formula tensor "input" of shape [2, 3, 64, 64]. Leaves with 0 if they agree to 1e-4
relative in norm, else 1 with the reason.
"""

import json
import sys
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import formula  # noqa: E402
import golden  # noqa: E402

TOLERANCE = 1e-4


def main(folder):
    config = json.loads((folder / "config.json").read_text())
    net = getattr(torchvision.models, config["model"])(num_classes=config["classes"])
    weights = load_file(folder / "model.safetensors")
    # Counters of training steps are no weights: a file may leave them out, as torchvision's own older files do.
    for name, tensor in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            weights.setdefault(name, tensor)
    net.load_state_dict(weights, strict=True)
    with torch.no_grad():
        logits = net.eval()(torch.from_numpy(formula.signed("input", [2, 3, 64, 64])).float())
    return golden.judge(logits, json.loads((folder / "logits.json").read_text()), TOLERANCE)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        sys.exit(0 if main(Path(sys.argv[1])) else 1)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        print(f"roundtrip: {error}", file=sys.stderr)
        sys.exit(1)
