"""Writes the files of this folder with torch and, where torch no longer writes a form, by hand; then expected.json from
what torch itself reads in them.

Ran with Python 3.11.7, torch 2.15.0, numpy 2.4.6:

    python tests/import/pytorch/generator.py
"""

import hashlib
import io
import json
import pickle
import pickletools
import struct
import tarfile
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.utils.serialization
from torch import nn

HERE = Path(__file__).resolve().parent
NAMES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.complex64: "C64", torch.complex128: "C128",
    torch.complex32: "C32", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ", torch.float8_e8m0fnu: "F8_E8M0",
}
OLD = [torch.float32, torch.float64, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]


def numbers(*shape, dtype=torch.float32):
    count = int(np.prod(shape)) if shape else 1
    bits = torch.tensor([(i * 2654435761 + 12345) % 251 for i in range(count)], dtype=torch.int64).reshape(shape)
    if dtype == torch.bool:
        return bits % 2 == 0
    if dtype.is_complex:
        return torch.complex(bits.double() / 7, -bits.double() / 3).to(dtype)
    return (bits.double() / 7 - 11).to(dtype) if dtype.is_floating_point else (bits - 100).to(dtype)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def shapes():
    return OrderedDict((f"d{len(s)}_{i}", numbers(*s)) for i, s in enumerate(
        [(), (0,), (1,), (3,), (2, 0, 3), (2, 3), (1, 2, 3), (2, 1, 2, 1), (1, 2, 1, 2, 1), (1, 1, 2, 1, 2, 1)]))


def views():
    base = numbers(3, 4)
    deep = numbers(2, 3, 2)
    return OrderedDict([
        ("whole", base), ("transposed", base.t()), ("rows", base[1:]), ("columns", base[:, 1:3]),
        ("steps", base[::2, ::3]), ("expanded", base[0, :1].expand(2, 3)), ("row", base[2]), ("same", base),
        ("one", base[1, 2]), ("permuted", deep.permute(2, 0, 1)), ("window", base.flatten().unfold(0, 4, 2)),
        ("none", base[:0]), ("channels_last", numbers(1, 2, 2, 2).to(memory_format=torch.channels_last)),
    ])


def wrapper():
    model = net()
    optimizer = torch.optim.Adam(model[1].parameters(), lr=1e-3)
    model(torch.ones(2, 1, 2, 2)).sum().backward()
    optimizer.step()
    return {"epoch": 7, "best": 0.5, "arch": "small", "done": True, "nothing": None,
            "state_dict": OrderedDict(("module." + k, v) for k, v in model.state_dict().items()),
            "optimizer": optimizer.state_dict()}


def parameters():
    marked = nn.Parameter(numbers(2))
    marked.note = "x"
    return OrderedDict([("plain", nn.Parameter(numbers(2, 2))), ("frozen", nn.Parameter(numbers(3), requires_grad=False)),
                        ("marked", marked)])


def save(name, value, **options):
    torch.save(value, HERE / name, **options)


def rezip(source, name, change=lambda inner, data: data, method=zipfile.ZIP_STORED):
    """Python's zip writer: no data descriptors, no padding."""
    with zipfile.ZipFile(HERE / source) as old, zipfile.ZipFile(HERE / name, "w") as new:
        for item in old.infolist():
            data = change(item.filename.split("/", 1)[1], old.read(item))
            if data is not None:
                pickled = item.filename.endswith("data.pkl")
                new.writestr(zipfile.ZipInfo(item.filename), data, method if pickled else zipfile.ZIP_STORED)


def python2(data):
    """Texts as the strings of Python 2."""
    out, ops = b"", list(pickletools.genops(data))
    for (op, argument, at), end in zip(ops, [o[2] for o in ops[1:]] + [len(data)]):
        if op.name == "BINUNICODE":
            out += b"U" + bytes([len(argument)]) + argument.encode()
        else:
            out += data[at:end]
    return out


class Key:
    """Stands for something that the file keeps outside of the pickle."""

    def __init__(self, id):
        self.id = id


class Pickler(pickle._Pickler):
    def persistent_id(self, value):
        return value.id if isinstance(value, Key) else None


class Rebuild:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def dumps(value):
    out = io.BytesIO()
    Pickler(out, 2).dump(value)
    return out.getvalue()


def legacy(name, value, storages, change=lambda data: data):
    """`storages`: key and contiguous tensor, in the order of the file."""
    with open(HERE / name, "wb") as out:
        for part in [torch.serialization.MAGIC_NUMBER, 1001, dict(protocol_version=1001, little_endian=True, type_sizes={})]:
            out.write(change(dumps(part)))
        out.write(change(dumps(value)))
        out.write(change(dumps([key for key, _ in storages])))
        for _, tensor in storages:
            out.write(struct.pack("<q", tensor.numel()) + tensor.numpy().tobytes())


def tar(name, storages, pieces, tensors, value):
    """`storages`: (key, type, tensor); `tensors`: (key, storage, sizes, strides, offset)."""
    parts = {"sys_info": dumps(dict(protocol_version=1000, little_endian=True, type_sizes=dict(short=2, int=4, long=4)))}
    parts["pickle"] = dumps(value)
    data = dumps(len(storages))
    for key, kind, tensor in storages:
        data += dumps((key, "cpu", kind)) + struct.pack("<q", tensor.numel()) + tensor.numpy().tobytes()
    parts["storages"] = data + dumps(pieces)
    data = dumps(len(tensors))
    for key, storage, sizes, strides, offset in tensors:
        data += dumps((key, storage, torch.FloatTensor)) + struct.pack("<ii", len(sizes), 0)
        data += struct.pack(f"<{2 * len(sizes) + 1}q", *sizes, *strides, offset)
    parts["tensors"] = data
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for member, data in parts.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        end = archive.offset
    (HERE / name).write_bytes(out.getvalue()[: end + 1024])


def write():
    save("tensor.pt", numbers(2, 3))
    torch.utils.serialization.config.save.storage_alignment = 8  # small files
    save("dtypes.pth", OrderedDict((NAMES[d], numbers(2, 3, dtype=d)) for d in OLD + [torch.bfloat16, torch.bool]))
    late = [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz,
            torch.float8_e5m2fnuz, torch.float8_e8m0fnu]
    both = [torch.complex64, torch.complex128]
    save("late_dtypes.pth", {NAMES[d]: numbers(5).abs().to(d) for d in late} | {NAMES[d]: numbers(2, dtype=d) for d in both})
    save("shapes.pth", shapes())
    save("views.pth", views())
    save("parameters.pth", parameters())
    save("checkpoint.pth", wrapper())
    save("nested.pth", {"model": {"net": {"a.b": numbers(2)}}, "more": [numbers(1), (numbers(2), {"x": numbers(1)})], "betas": (0.9, 0.999)})
    save("protocol4.pth", OrderedDict(a=numbers(2), b=numbers(2, 1, dtype=torch.int32)), pickle_protocol=4)
    groups = defaultdict(dict)
    groups["a"]["b"] = numbers(2)
    save("others.pth", {"groups": groups, "size": torch.Size([2, 3]), "type": torch.float16, "set": {1}, "big": 1 << 70,
                        "bytes": b"ab\xff", "device": torch.device("cpu"), "t": numbers(1), 3: numbers(2), "long": "x" * 300})
    torch.serialization.set_crc32_options(False)
    save("no_checksums.pth", {"a": numbers(3)})
    torch.serialization.set_crc32_options(True)
    sizes = {"0": 8, "1": 4, "2": 2, "3": 1, "4": 4, "5": 4}
    mixed = OrderedDict([("a", numbers(2, dtype=torch.float64)), ("b", numbers(3)), ("c", numbers(3, dtype=torch.bfloat16)),
                         ("d", numbers(3, dtype=torch.int8)), ("e", numbers(2, dtype=torch.complex64)), ("f", numbers(2, 2).t())])
    save("little.tmp", mixed)

    def swap(inner, data):
        if inner == "byteorder":
            return b"big"
        if inner.startswith("data/"):
            return np.frombuffer(data, f"u{sizes[inner[5:]]}").byteswap().tobytes()
        return data

    rezip("little.tmp", "big_endian.pth", swap)
    rezip("tensor.pt", "oldest_zip.pth", lambda inner, data: None if inner == "byteorder" or inner.startswith(".") else data)
    rezip("tensor.pt", "deflated_pickle.pth", method=zipfile.ZIP_DEFLATED)
    (HERE / "little.tmp").unlink()

    old = dict(_use_new_zipfile_serialization=False)
    save("legacy_dtypes.pth", OrderedDict((NAMES[d], numbers(2, 3, dtype=d)) for d in OLD + [torch.bfloat16, torch.bool, torch.complex64]), **old)
    save("legacy_views.pth", views(), **old)
    save("legacy_checkpoint.pth", wrapper(), **old)
    save("legacy_protocol4.pth", parameters(), pickle_protocol=4, **old)

    def view(key, count, offset, sizes, strides, piece=None, kind=torch.FloatStorage):
        id = Key(("storage", kind, key, "cpu", count, piece))
        return Rebuild(torch._utils._rebuild_tensor, id, offset, sizes, strides)

    value = OrderedDict([("conv.weight", view("94030", 6, 0, (2, 3), (3, 1))), ("conv.bias", view("94031", 2, 0, (2,), (1,)))])
    legacy("legacy_python2.pth", value, [("94030", numbers(6)), ("94031", numbers(2) * 2)], python2)
    value = {"whole": view("1", 6, 0, (6,), (1,)), "piece": view("1", 6, 1, (2,), (1,), ("2", 2, 3))}
    legacy("legacy_pieces.pth", value, [("1", numbers(6))])

    kinds = [torch.FloatStorage, torch.DoubleStorage, torch.HalfStorage, torch.LongStorage, torch.IntStorage,
             torch.ShortStorage, torch.CharStorage, torch.ByteStorage]
    storages = [(100 + i, kind, numbers(6, dtype=OLD[i])) for i, kind in enumerate(kinds)]
    tensors = [(200 + i, 100 + i, (2, 3), (3, 1), 0) for i in range(len(kinds))]
    storages.append((1, torch.FloatStorage, numbers(6)))
    tensors += [(10, 1, (3, 2), (1, 3), 0), (11, 2, (2,), (1,), 1), (12, 1, (), (), 3), (13, 1, (0,), (1,), 0)]
    state = OrderedDict((f"t{key}", Key(str(key))) for key, *_ in tensors)
    tar("tar.pth", storages, [(2, 1, 2, 4)], tensors, {"epoch": 3, "state_dict": state})


def flatten(value, path=""):
    def join(key):
        return f"{path}.{key}" if path else str(key)

    if isinstance(value, torch.Tensor):
        yield path or "tensor", value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, join(key))
    elif isinstance(value, (list, tuple)):
        for key, item in enumerate(value):
            yield from flatten(item, join(key))


def sha256(tensor):
    flat = tensor.detach().contiguous().reshape(-1)
    data = flat.numpy() if tensor.dtype.is_complex else flat.view(torch.uint8).numpy()
    return hashlib.sha256(data.tobytes()).hexdigest()


METADATA = {
    "checkpoint.pth": {"epoch": "7", "best": "0.5", "arch": "small", "done": "true", "optimizer.param_groups.0.betas": "[0.9, 0.999]"},
    "legacy_checkpoint.pth": {"epoch": "7", "optimizer.param_groups.0.lr": "0.001"},
    "nested.pth": {"betas": "[0.9, 0.999]"},
    "tar.pth": {"epoch": "3"},
}


def main():
    write()
    files = []
    for path in sorted(HERE.glob("*.p*t*")):
        loaded = torch.load(path, map_location="cpu", weights_only=False)
        tensors = [{"name": name, "shape": list(t.shape), "dtype": NAMES[t.dtype], "sha256": sha256(t)} for name, t in flatten(loaded)]
        files.append({"file": path.name, "format": "pytorch", "tensors": tensors, "metadata": METADATA.get(path.name, {})})
    lines = ",\n".join(json.dumps(file) for file in files)
    (HERE / "expected.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
