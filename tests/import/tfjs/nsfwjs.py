"""What weights-import/tests/real.rs expects of the Inception v3 that `scripts/fetch-real nsfwjs` brings, evaluated
without any of its code: python nsfwjs.py FOLDER

Prints the number of weights, of values, and the sha256 of all values (f32, little-endian) in the order of the manifest.
Ran with Python 3.11, numpy 2.4.6.
"""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1])
script = (folder / "model.min.js").read_text()
manifest = re.search(r"weightsManifest:(\[.*?\}\}\]\}\])", script).group(1)
manifest = re.sub(r"([{,])([A-Za-z_]\w*):", r'\1"\2":', manifest)
manifest = re.sub(r"([:\[,]-?)\.(\d)", r"\g<1>0.\2", manifest)
digest, weights, count = hashlib.sha256(), 0, 0
for group in json.loads(manifest):
    shards = [re.search(r'exports="([^"]*)"', (folder / f"{path}.min.js").read_text()).group(1) for path in group["paths"]]
    data = np.frombuffer(b"".join(base64.b64decode(shard, validate=True) for shard in shards), np.uint8)
    at = 0
    for weight in group["weights"]:
        size = int(np.prod([int(n) for n in weight["shape"]], dtype=np.int64))
        quantised = weight["quantization"]
        assert weight["dtype"] == "float32" and quantised["dtype"] == "uint8"
        values = data[at:at + size].astype(np.float64) * quantised["scale"] + quantised["min"]
        digest.update(values.astype("<f4").tobytes())
        at, weights, count = at + size, weights + 1, count + size
    assert at == len(data)
print(weights, count, digest.hexdigest())
