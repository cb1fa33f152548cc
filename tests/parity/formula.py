"""Weights by formula: every tensor is a function of its name and shape, the same here and in the Rust tests.

h = FNV-1a 64 of the name (UTF-8). Element i (row-major index) has z = finaliser(h + (i + 1) * 0x9E3779B97F4A7C15) in
wrapping 64-bit arithmetic, the finaliser of splitmix64; u = (z >> 40) / 2^24 lies in [0, 1), v = 2u - 1.
The values are computed in f64 and rounded once to f32:

    two or more dimensions   v * sqrt(3 / fan_in), fan_in = product of all dimensions but the first
    name ends in running_var 1 + 0.5 v
    ... in running_mean      0.1 v
    one dimension, `weight`  1 + 0.1 v
    one dimension otherwise  0.1 v
    inputs, probes           v
    integers below n         floor(u * n)

Run as a program it writes formula.json, with which the twin in Rust is tested.
"""

import math

import numpy as np

GOLDEN_RATIO = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def fnv1a(name):
    h = 0xCBF29CE484222325
    for byte in name.encode("utf-8"):
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def uniform(name, shape):
    """u in [0, 1) as f64 array of `shape`."""
    count = math.prod(shape)
    z = np.arange(1, count + 1, dtype=np.uint64)
    z *= np.uint64(GOLDEN_RATIO)
    z += np.uint64(fnv1a(name))
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float64) / 2.0**24).reshape(shape)


def signed(name, shape):
    """v in [-1, 1) as f64 array: inputs and probes (exact in f32 as well)."""
    return 2.0 * uniform(name, shape) - 1.0


def weight(name, shape):
    """The f32 array of a parameter or statistic called `name`."""
    v = signed(name, shape)
    if name.endswith("running_var"):
        v = 1.0 + 0.5 * v
    elif name.endswith("running_mean"):
        v = 0.1 * v
    elif len(shape) >= 2:
        v = v * math.sqrt(3.0 / math.prod(shape[1:]))
    elif name.rsplit(".", 1)[-1] == "weight":
        v = 1.0 + 0.1 * v
    else:
        v = 0.1 * v
    return v.astype(np.float32)


def integers(name, shape, below):
    """floor(u * below) as i64 array: token ids, labels."""
    return np.floor(uniform(name, shape) * below).astype(np.int64)


def main():
    import json
    from pathlib import Path

    weights = [
        ("conv1.weight", [8, 3, 7, 7]),
        ("layer1.0.bn1.weight", [64]),
        ("layer1.0.bn1.bias", [64]),
        ("layer1.0.bn1.running_mean", [64]),
        ("layer1.0.bn1.running_var", [64]),
        ("fc.weight", [10, 512]),
        ("fc.bias", [10]),
        ("bert.embeddings.word_embeddings.weight", [30522, 768]),
        ("bert.encoder.layer.11.output.LayerNorm.weight", [768]),
        ("größe.weight", [4, 4]),
    ]
    golden = {
        "weights": [
            {"name": n, "shape": s, "hash": f"{fnv1a(n):016x}", "first": weight(n, s).ravel()[:4].tolist(), "last": float(weight(n, s).ravel()[-1])}
            for n, s in weights
        ],
        "inputs": [{"name": "input", "shape": [2, 3, 4, 4], "first": signed("input", [2, 3, 4, 4]).ravel()[:4].tolist()}],
        "integers": [{"name": "input_ids", "shape": [2, 16], "below": 30522, "values": integers("input_ids", [2, 16], 30522).ravel().tolist()}],
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
