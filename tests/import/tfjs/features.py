"""What the Inception v3 that `scripts/fetch-real nsfwjs elpv` brings says of a picture by formula and of photos, evaluated by
torchvision's network with weights that numpy alone dequantises: writes features.json.

    "$(scripts/judges | tail -n 1)" tests/import/tfjs/features.py .cache/real

Keras' network is torchvision's but for the batch norms without scale, the average pools, which do not count the padding, and
the head. Layers are paired in the order in which both build them. Photos are resized by
Pillow, bilinear, and scaled to 0..1, which is what nsfwjs feeds. Ran with torch 2.15.0, torchvision 0.29.2, numpy 2.4.6, Pillow 13.0.0.
"""

import base64
import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "parity"))
import formula  # noqa: E402


PHOTOS = ["cell0001.png", "cell0500.png", "cell2000.png"]


def numbers(values):
    return [float(f"{v:.9g}") for v in values]


def weights(folder):
    script = (folder / "model.min.js").read_text()
    manifest = re.search(r"weightsManifest:(\[.*?\}\}\]\}\])", script).group(1)
    manifest = re.sub(r"([{,])([A-Za-z_]\w*):", r'\1"\2":', manifest)
    manifest = re.sub(r"([:\[,]-?)\.(\d)", r"\g<1>0.\2", manifest)
    found = {}
    for group in json.loads(manifest):
        shards = [re.search(r'exports="([^"]*)"', (folder / f"{path}.min.js").read_text()).group(1) for path in group["paths"]]
        data, at = np.frombuffer(b"".join(map(base64.b64decode, shards)), np.uint8), 0
        for weight in group["weights"]:
            shape = [int(n) for n in weight["shape"]]
            size, scale = int(np.prod(shape, dtype=np.int64)), weight["quantization"]
            found[weight["name"]] = (data[at : at + size] * scale["scale"] + scale["min"]).reshape(shape)
            at += size
    return {name: torch.from_numpy(value.astype(np.float64)) for name, value in found.items()}


def main(folder):
    theirs = weights(folder / "nsfwjs")
    net = torchvision.models.inception_v3(aux_logits=False, init_weights=False).double().eval()
    net.AuxLogits, net.fc = None, torch.nn.Identity()
    units = [m for m in net.modules() if isinstance(m, torchvision.models.inception.BasicConv2d)]
    assert len(units) == 94
    with torch.no_grad():
        for k, unit in enumerate(units, 1):
            unit.conv.weight.copy_(theirs[f"conv2d_{k}/kernel"].permute(3, 2, 0, 1))
            unit.bn.weight.fill_(1.0)
            for ours, name in [("bias", "beta"), ("running_mean", "moving_mean"), ("running_var", "moving_variance")]:
                getattr(unit.bn, ours).copy_(theirs[f"batch_normalization_{k}/{name}"])
    plain = torch.nn.functional.avg_pool2d
    torch.nn.functional.avg_pool2d = lambda x, **options: plain(x, count_include_pad=False, **options)

    def classes(x):
        with torch.no_grad():
            features = y = net(torch.from_numpy(x))
            for k in (1, 2, 3):
                y = y @ theirs[f"dense_{k}/kernel"] + theirs[f"dense_{k}/bias"]
                y = y.relu() if k < 3 else y.softmax(1)
        return numbers(features.ravel()[:256]), numbers(y.ravel())

    features, probabilities = classes(formula.signed("picture", [1, 3, 299, 299]))
    out = {"features": features, "classes": probabilities, "photos": {}}
    for photo in PHOTOS:
        pixels = Image.open(folder / "elpv" / "images" / photo).convert("RGB").resize((299, 299), Image.Resampling.BILINEAR)
        x = np.asarray(pixels, np.float64).transpose(2, 0, 1)[None] / 255
        out["photos"][photo] = classes(x)[1]
        print(photo, out["photos"][photo])
    (HERE / "features.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
