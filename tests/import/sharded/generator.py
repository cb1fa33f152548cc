"""Writes the sharded models of this folder and expected.json:

    "$(scripts/judges | tail -n 1)" tests/import/sharded/generator.py

Ran with Python 3.11, huggingface_hub 2.4.0, safetensors 0.8.0, torch 2.15.0+cu132.
"""

import hashlib
import json
import shutil
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import safe_open

HERE = Path(__file__).resolve().parent
TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}
expected = []


def write(name, tensors, largest):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    save_torch_state_dict(tensors, folder, max_shard_size=largest)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    listed = []
    for file in sorted(set(index["weight_map"].values())):
        bytes_ = (folder / file).read_bytes()
        header = json.loads(bytes_[8:8 + int.from_bytes(bytes_[:8], "little")])
        with safe_open(folder / file, "pt") as opened:
            for tensor in [key for key in header if key != "__metadata__"]:
                value = opened.get_tensor(tensor)
                raw = value.contiguous().flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b""
                listed.append({"name": tensor, "shape": list(value.shape), "dtype": TYPES[value.dtype], "sha256": hashlib.sha256(raw).hexdigest()})
    said = {"format": "pt", "total_size": str(index["metadata"]["total_size"])}
    for file in ("", "/model.safetensors.index.json"):
        expected.append({"file": name + file, "format": "safetensors", "tensors": listed, "metadata": said})


torch.manual_seed(3)
write("two", {"a.weight": torch.randn(2, 3), "a.bias": torch.randn(2), "b.weight": torch.randn(3, 2)}, 40)
write("types", {str(dtype): (torch.arange(4) % 2).to(dtype) for dtype in TYPES}, 24)
write("shapes", {f"rank{n}": torch.randn([1, 2, 3, 1, 2, 2][:n]) for n in range(7)} | {"none": torch.zeros(0, 3)}, 20)
lines = ",\n".join(json.dumps(e) for e in expected)
(HERE / "expected.json").write_text(f"[\n{lines}\n]\n")
