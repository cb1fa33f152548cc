"""Writes the files of this folder with NumPy (two headers by hand, as Python 2 wrote them); then expected.json from what
NumPy itself reads in them.

Ran with Python 3.11.7, numpy 2.4.6:

    python tests/import/numpy/generator.py
"""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
NAMES = {"b1": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "u4": "U32", "i4": "I32", "u8": "U64", "i8": "I64",
         "f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64", "c16": "C128"}


def numbers(*shape, dtype="<f4"):
    count = int(np.prod(shape)) if shape else 1
    bits = np.array([(i * 2654435761 + 12345) % 251 for i in range(count)], dtype=np.int64).reshape(shape)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return bits % 2 == 0
    if kind == "c":
        return (bits / 7 - 1j * bits / 3).astype(dtype)
    return (bits / 7 - 11).astype(dtype) if kind == "f" else (bits - (100 if kind == "i" else 0)).astype(dtype)


def raw(name, header, data, version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    (HERE / name).write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + header + data)


def write():
    for name, shape in {"scalar": (), "empty": (2, 0, 3), "one": (3,), "two": (2, 3), "three": (2, 1, 2), "four": (1, 2, 2, 1),
                        "five": (1, 2, 1, 2, 1), "six": (1, 2, 1, 2, 1, 2)}.items():
        np.save(HERE / f"{name}.npy", numbers(*shape))
    for dtype in ["?", "u1", "<f2", ">f4", ">i2", "<c8", ">c16", "<u8"]:
        np.save(HERE / f"{np.dtype(dtype).str.strip('<>|=')}_{np.dtype(dtype).byteorder.replace('>', 'big').strip('<|=')}.npy", numbers(3, dtype=dtype))
    np.save(HERE / "fortran.npy", np.asfortranarray(numbers(2, 3, 2)))
    np.save(HERE / "fortran_big.npy", np.asfortranarray(numbers(3, 2, dtype=">f8")))
    np.save(HERE / "no_ending.npy", numbers(2))
    (HERE / "no_ending.npy").rename(HERE / "no_ending")
    for version in [2, 3]:
        with open(HERE / f"version{version}.npy", "wb") as file:
            np.lib.format.write_array(file, numbers(2, 2), version=(version, 0))
    raw("python2.npy", b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 2L), }\n", numbers(2, 2).tobytes())
    raw("tight.npy", b'{"shape":(2,),"fortran_order":True,"descr":"<i4"}', numbers(2, dtype="<i4").tobytes())
    every = {f"{np.dtype(d).kind}{np.dtype(d).itemsize}": numbers(2, 2, dtype=d)
             for d in ["?", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8", "<c8", "<c16"]}
    np.savez(HERE / "every.npz", **every)
    np.savez_compressed(HERE / "compressed.npz", a=numbers(40, 2), b=np.asfortranarray(numbers(3, 4)), c=numbers(3, dtype=">i4"),
                        **{"layer/weight": numbers(2), "scalar": np.float64(1.5), "long": numbers(1, *[1] * 30)})
    np.savez(HERE / "unnamed.npz", numbers(2), numbers(3))


def main():
    write()
    files = []
    for path in sorted(p for p in HERE.iterdir() if p.suffix in (".npy", ".npz", "")):
        loaded = np.load(path)
        arrays = dict(loaded) if path.suffix == ".npz" else {path.name.removesuffix(".npy"): loaded}
        tensors = []
        for name, array in arrays.items():
            little = array.astype(array.dtype.newbyteorder("<"))
            kind = NAMES[array.dtype.str.lstrip("<>|=")]
            tensors.append({"name": name, "shape": list(array.shape), "dtype": kind, "sha256": hashlib.sha256(little.tobytes()).hexdigest()})
        files.append({"file": path.name, "format": "npz" if path.suffix == ".npz" else "npy", "tensors": tensors})
    lines = ",\n".join(json.dumps(file) for file in files)
    (HERE / "expected.json").write_text(f"[\n{lines}\n]\n")


main()
