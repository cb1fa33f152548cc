"""Many files of each form that torch, safetensors, huggingface_hub and numpy write, below OUT, each folder with expected.json:

    "$(scripts/judges | tail -n 1)" tests/import/many.py OUT

Types, shapes, strides, sharing and wrappers change from file to file, the same in every run. Too large to be kept:
weights-import/tests/many.rs runs it.
"""

import hashlib
import json
import random
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import save_torch_state_dict
from safetensors import safe_open
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent / "pytorch"))
import generator  # noqa: E402
from generator import NAMES, OLD, Key, flatten, numbers, sha256  # noqa: E402

COUNT = 24
SHAPES = [(), (0,), (1,), (3,), (7, 5), (2, 0, 3), (64, 3, 7, 7), (1, 2, 1, 2), (2, 1, 2, 1, 3), (1, 2, 2, 1, 2, 2), (300, 20)]
NUMPY = {"bool": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "u4": "U32", "i4": "I32", "u8": "U64", "i8": "I64",
         "f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64", "c16": "C128"}
KINDS = {torch.float32: torch.FloatStorage, torch.float64: torch.DoubleStorage, torch.float16: torch.HalfStorage,
         torch.int64: torch.LongStorage, torch.int32: torch.IntStorage, torch.int16: torch.ShortStorage,
         torch.int8: torch.CharStorage, torch.uint8: torch.ByteStorage}


def tensor(pick, dtypes):
    value = numbers(*pick.choice(SHAPES), dtype=pick.choice(dtypes))
    match pick.randrange(6):
        case 0 if value.dim() > 1:
            return value.transpose(0, -1)
        case 1 if value.dim() and value.shape[0] > 1:
            return value[1:]
        case 2 if value.dim() == 4:
            return value.to(memory_format=torch.channels_last)
        case 3 if value.dim() and value.shape[-1] > 2:
            return value[..., ::2]
    return value


def state(pick, dtypes):
    tensors = OrderedDict((f"layer{i}.{pick.choice(['weight', 'bias', 'größe'])}{i}", tensor(pick, dtypes)) for i in range(pick.randrange(1, 12)))
    tensors["shared"] = next(iter(tensors.values()))
    return tensors


def listed(name, form, tensors):
    rows = [{"name": n, "shape": list(t.shape), "dtype": NAMES[t.dtype], "sha256": sha256(t)} for n, t in tensors]
    return {"file": name, "format": form, "tensors": rows}


def pickled(out, pick, k, legacy):
    dtypes = OLD + [torch.bfloat16, torch.bool, torch.complex64]
    tensors = state(pick, dtypes)
    value = [tensors, {"state_dict": tensors, "epoch": k}, {"model": OrderedDict(("module." + n, t) for n, t in tensors.items())}][k % 3]
    torch.save(value, out / f"{k}.pth", _use_new_zipfile_serialization=not legacy, pickle_protocol=2 + k % 3)
    return listed(f"{k}.pth", "pytorch", flatten(torch.load(out / f"{k}.pth", weights_only=False)))


def tarred(out, pick, k):
    generator.HERE = out
    storages, tensors = [], []
    for i in range(pick.randrange(1, 9)):
        dtype = pick.choice(list(KINDS))
        sizes = pick.choice([s for s in SHAPES if 0 not in s])
        value = numbers(*sizes, dtype=dtype)
        strides = list(value.stride())
        if len(sizes) == 2 and pick.random() < 0.5:
            sizes, strides = sizes[::-1], strides[::-1]
        storages.append((100 + i, KINDS[dtype], value.flatten()))
        tensors.append((200 + i, 100 + i, tuple(sizes), tuple(strides), 0))
        if value.numel() > 1:
            tensors.append((300 + i, 100 + i, (value.numel() - 1,), (1,), 1))
    generator.tar(f"{k}.pth", storages, [], tensors, OrderedDict((f"t{key}", Key(str(key))) for key, *_ in tensors))
    return listed(f"{k}.pth", "pytorch", flatten(torch.load(out / f"{k}.pth", weights_only=False)))


def opened(path):
    """In the order of the file."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    with safe_open(path, "pt") as file:
        return [(name, file.get_tensor(name)) for name in header if name != "__metadata__"]


def single(out, pick, k):
    dtypes = OLD + [torch.bfloat16, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2]
    tensors = {n: t.contiguous().clone() for n, t in state(pick, OLD).items()}
    tensors["late"] = numbers(5).to(pick.choice(dtypes))
    save_file(tensors, out / f"{k}.safetensors", {"format": "pt", "k": str(k)})
    return listed(f"{k}.safetensors", "safetensors", opened(out / f"{k}.safetensors")) | {"metadata": {"k": str(k)}}


def sharded(out, pick, k):
    tensors = {f"{i}.weight": numbers(pick.randrange(1, 40), 5, dtype=pick.choice(OLD)) for i in range(pick.randrange(3, 20))}
    (out / str(k)).mkdir()
    save_torch_state_dict(tensors, out / str(k), max_shard_size=600)
    files = sorted((out / str(k)).glob("*.safetensors"))
    return listed(str(k), "safetensors", [row for file in files for row in opened(file)])


def raw(value):
    little = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<")))
    return hashlib.sha256(little.tobytes()).hexdigest()


def array(pick):
    kind = pick.choice(list(NUMPY))
    value = numbers(*pick.choice(SHAPES), dtype=torch.float64).numpy()
    value = np.abs(value).astype(kind) if kind[0] in "bu" else value.astype(kind)
    value = np.asarray(value, order=pick.choice("CF")).reshape(value.shape)
    return value.astype(value.dtype.newbyteorder(pick.choice("<>"))) if value.dtype.itemsize > 1 else value


def row(name, value):
    kind = value.dtype.newbyteorder("=").str.lstrip("<>|=").replace("b1", "bool")
    return {"name": name, "shape": list(value.shape), "dtype": NUMPY[kind], "sha256": raw(value)}


def arrays(out, pick, k):
    if k % 2:
        value = array(pick)
        np.save(out / f"{k}.npy", value)
        return {"file": f"{k}.npy", "format": "npy", "tensors": [row(str(k), value)]}
    values = {f"a/{i}:0": array(pick) for i in range(pick.randrange(1, 9))}
    (np.savez_compressed if k % 4 else np.savez)(out / f"{k}.npz", **values)
    return {"file": f"{k}.npz", "format": "npz", "tensors": [row(n, v) for n, v in values.items()]}


FORMS = {
    "zip": lambda *a: pickled(*a, False), "legacy": lambda *a: pickled(*a, True), "tar": tarred,
    "safetensors": single, "sharded": sharded, "numpy": arrays,
}


def main(out):
    for form, make in FORMS.items():
        folder = out / form
        folder.mkdir(parents=True)
        files = [make(folder, random.Random(f"{form}{k}"), k) for k in range(COUNT)]
        (folder / "expected.json").write_text(json.dumps(files))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
