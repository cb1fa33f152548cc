"""Small files written by the safetensors package, with their values: cases.json (see README.md).

    "$(scripts/judges | tail -n 1)" tests/import/safetensors/generator.py
"""

import base64
import json
import sys
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "parity"))
import formula  # noqa: E402

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64, "I64": torch.int64}
SHAPES = [[], [0], [1], [2, 3], [2, 0, 3], [2, 1, 3], [2, 3, 1, 2], [1, 2, 1, 2, 3], [2, 1, 2, 1, 2, 2]]
SPECIAL = {
    "F32": [0.0, -0.0, 1.0, 1e-45, 1.1754944e-38, 3.4028235e38, float("inf"), float("-inf"), float("nan")],
    "F16": [0.0, -0.0, 1.0, 6e-08, 6.104e-05, 65504.0, float("inf"), float("-inf"), float("nan"), 0.333],
    "BF16": [0.0, -0.0, 1.0, 9.2e-41, 1.1754944e-38, 3.3895314e38, float("inf"), float("-inf"), float("nan"), 0.333],
    "F64": [0.0, -0.0, 1.0, 5e-324, 0.1, 1e-300, float("inf"), float("-inf"), float("nan"), 1.0 / 3.0],
    "I64": [0, 1, -1, 2**24, 2**31, -(2**40), 2**53],
}


def plain(value):
    """JSON knows no infinity: such values, and -0.0, are strings."""
    value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf")) or str(value) == "-0.0"):
        return str(value)
    return value


def case(name, tensors, metadata=None):
    return {
        "case": name,
        "metadata": metadata or {},
        "tensors": [
            {"name": n, "dtype": next(d for d, t in DTYPES.items() if t == tensor.dtype), "shape": list(tensor.shape), "values": [plain(v) for v in tensor.reshape(-1)]}
            for n, tensor in sorted(tensors.items())
        ],
        "file": base64.b64encode(save(tensors, metadata)).decode(),
    }


def made(dtype, shape, name):
    v = torch.as_tensor(formula.signed(name, shape) * 100).reshape(shape)
    return v.round().to(torch.int64) if dtype == "I64" else v.to(DTYPES[dtype])


def main():
    cases = []
    for k, shape in enumerate(SHAPES):
        for d in list(DTYPES)[k % 2 :: 2]:
            cases.append(case(f"{d} {shape}", {"weight": made(d, shape, f"{d}.{k}")}))
    for d in DTYPES:
        cases.append(case(f"{d} special values", {"special": torch.tensor(SPECIAL[d], dtype=DTYPES[d])}))
    cases.append(case("all at once", {f"layer.{k}.{d}": made(d, s, f"{d}.{k}") for k, s in enumerate(SHAPES[:5]) for d in DTYPES}, {"format": "pt", "größe": "ü"}))
    cases.append(case("no tensors", {}, {"format": "pt"}))
    lines = ",\n  ".join(json.dumps(c) for c in cases)
    path = HERE / "cases.json"
    path.write_text(f'{{"made by": {{"safetensors": "{safetensors.__version__}"}},\n "cases": [\n  {lines}\n ]}}\n')
    print(len(cases), "cases", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
