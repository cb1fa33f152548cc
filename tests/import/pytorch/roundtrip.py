"""Reads files that weights-import wrote with the formats' own packages and compares every tensor bit for bit.

    roundtrip.py FOLDER

FOLDER has the files and an expected.json of the form that golden tests use. PyTorch files are read with
weights_only=True, with and without mmap. Exits with 1 on the first difference.
"""

import hashlib
import json
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import safetensors
import torch

NAMES = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz",
         "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu", "C32": "complex32", "C64": "complex64",
         "C128": "complex128", "BF16": "bfloat16", "BOOL": "bool"}


def type_name(short):
    kinds = {"F": "float", "I": "int", "U": "uint"}
    return NAMES.get(short) or kinds[short[0]] + short[1:]


def torch_tensors(loaded):
    for name, tensor in loaded.items():
        assert tensor.is_contiguous(), name
        data = bytes(tensor.untyped_storage()) if tensor.numel() else b""
        yield name, list(tensor.shape), str(tensor.dtype).removeprefix("torch."), data


def numpy_arrays(path):
    with np.load(path, allow_pickle=False) as loaded:
        for name in loaded.files:
            yield name, list(loaded[name].shape), loaded[name].dtype.name, loaded[name].tobytes()


def safetensors_tensors(path):
    names = {"F8_E8M0": "float8_e8m0fnu"}
    for name, view in safetensors.deserialize(path.read_bytes()):
        yield name, view["shape"], names.get(view["dtype"], type_name(view["dtype"])), bytes(view["data"])


def compare(file, found, expected):
    found = list(found)
    assert [f[0] for f in found] == [e["name"] for e in expected] or file.endswith(".st"), file
    by_name = {f[0]: f for f in found}
    assert len(by_name) == len(expected), file
    for e in expected:
        _, shape, dtype, data = by_name[e["name"]]
        where = f"{file}: {e['name']}"
        assert shape == e["shape"], f"{where}: shape {shape}"
        assert dtype == type_name(e["dtype"]), f"{where}: {dtype}"
        assert hashlib.sha256(data).hexdigest() == e["sha256"], f"{where}: values differ"
    print(f"{file}: {len(expected)} tensors equal")


def main(folder):
    warnings.simplefilter("ignore")
    for entry in json.loads((folder / "expected.json").read_text()):
        path, expected = folder / entry["file"], entry["tensors"]
        if entry["format"] == "pytorch":
            assert zipfile.ZipFile(path).testzip() is None
            for mmap in [False, True]:
                compare(path.name, torch_tensors(torch.load(path, weights_only=True, mmap=mmap)), expected)
        elif entry["format"] == "npz":
            assert zipfile.ZipFile(path).testzip() is None
            compare(path.name, numpy_arrays(path), expected)
        else:
            compare(path.name, safetensors_tensors(path), expected)


main(Path(sys.argv[1]))
