"""Writes the GGUF files of this folder and expected.json: python generator.py

Ran with Python 3.11, gguf 0.19.0, numpy 2.4.6. Values come from a fixed seed; what is quantised is expected as
gguf.quants.dequantize gives it.
"""

import hashlib
import json
import struct
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q
from gguf import GGUFEndian, GGUFReader, GGUFWriter
from gguf.scripts import gguf_convert_endian

HERE = Path(__file__).resolve().parent
random = np.random.default_rng(7)
expected = []

NAMES = {"float32": "F32", "float16": "F16", "float64": "F64", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64"}


def floats(*shape, dtype=np.float32):
    return random.standard_normal(shape).astype(dtype)


def entry(name, array, dtype=None):
    array = np.ascontiguousarray(array).reshape(np.shape(array))
    return {"name": name, "shape": list(array.shape), "dtype": dtype or NAMES[array.dtype.name],
            "sha256": hashlib.sha256(array.tobytes()).hexdigest()}


def write(file, tensors, keys=lambda writer: None, metadata=None, endian=GGUFEndian.LITTLE, align=None):
    """tensors: (name, array) or (name, bytes of blocks, quantisation)."""
    writer = GGUFWriter(HERE / file, "test", endianess=endian)
    if align:
        writer.add_custom_alignment(align)
    keys(writer)
    listed, said = [], {"general.architecture": "test"} | (metadata or {})
    for name, array, *kind in tensors:
        if not kind:
            writer.add_tensor(name, array)
            listed.append(entry(name, array))
        elif kind[0] == Q.BF16:
            writer.add_tensor(name, array, raw_dtype=Q.BF16)
            bits = array.view(np.uint16)
            listed.append(entry(name, bits, "BF16"))
        else:
            writer.add_tensor(name, array, raw_dtype=kind[0])
            values = gguf.quants.dequantize(array, kind[0]).astype(np.float32)
            listed.append(entry(name, values))
            said[f"quantised.{name}"] = kind[0].name
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    GGUFReader(HERE / file)
    expected.append({"file": file, "format": "gguf", "tensors": listed, "metadata": said})


def blocks(kind, *shape):
    """Blocks with random bits and scales that are finite."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows = int(np.prod(shape[:-1], dtype=int))
    data = random.integers(0, 256, (rows, shape[-1] // block, size), dtype=np.uint8)
    halves = {Q.Q4_K: [0, 2], Q.Q6_K: [208]}.get(kind, [0])
    for at in halves:
        scales = (random.standard_normal(data.shape[:2]) * 0.05).astype(np.float16)
        data[:, :, at:at + 2] = scales[..., None].view(np.uint8)
    return data.reshape(*shape[:-1], -1)


def to_big(source, file):
    """The package's own conversion to big-endian."""
    (HERE / file).write_bytes((HERE / source).read_bytes())
    reader = GGUFReader(HERE / file, "r+")
    sys.modules["builtins"].input = lambda _: "YES"
    arguments = type("Arguments", (), {"order": "big", "dry_run": False})
    gguf_convert_endian.convert_byteorder(reader, arguments)
    reader.data.flush()
    said = next(e for e in expected if e["file"] == source)
    expected.append(said | {"file": file})


def bf16(values):
    return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 65504.0, -1.5], np.float32)
write("f32.gguf", [("a.weight", floats(2, 3)), ("a.bias", floats(3))])
write("special.gguf", [("f32", special), ("f16", special.astype(np.float16)), ("f64", special.astype(np.float64))])
write("f16.gguf", [("x", floats(4, 2, dtype=np.float16))])
write("bf16.gguf", [("x", bf16(floats(3, 4)), Q.BF16), ("y", bf16(special), Q.BF16)])
write("f64.gguf", [("x", floats(5, dtype=np.float64))])
for width in (8, 16, 32, 64):
    limits = np.iinfo(f"int{width}")
    write(f"i{width}.gguf", [("x", np.array([[limits.min, -1, 0], [1, 2, limits.max]], f"int{width}"))])
write("ranks.gguf", [(f"rank{n}", floats(*[1, 2, 3, 1, 2, 2][:n])) for n in range(7)])
write("empty.gguf", [("none", floats(0, 3)), ("some", floats(2)), ("none2", floats(2, 0))])
write("no-tensors.gguf", [])
write("align64.gguf", [("a", floats(3)), ("b", floats(5))], align=64, metadata={"general.alignment": "64"})
write("align8.gguf", [("a", floats(3)), ("b", floats(5))], align=8, metadata={"general.alignment": "8"})
values = floats(2, 64)
write("q8_0.gguf", [("x", gguf.quants.quantize(values, Q.Q8_0), Q.Q8_0)])
write("q4_0.gguf", [("x", gguf.quants.quantize(values, Q.Q4_0), Q.Q4_0), ("norm", floats(2))])
write("q8_0-random.gguf", [("x", blocks(Q.Q8_0, 2, 2, 32), Q.Q8_0)])
write("q4_0-random.gguf", [("x", blocks(Q.Q4_0, 3, 32), Q.Q4_0)])
write("q4_k.gguf", [("x", blocks(Q.Q4_K, 2, 256), Q.Q4_K)])
write("q6_k.gguf", [("x", blocks(Q.Q6_K, 512), Q.Q6_K)])
write("mixed.gguf", [("k", blocks(Q.Q4_K, 1, 256), Q.Q4_K), ("q", blocks(Q.Q6_K, 256), Q.Q6_K), ("o", blocks(Q.Q8_0, 32), Q.Q8_0),
                     ("p", blocks(Q.Q4_0, 32), Q.Q4_0), ("b", bf16(floats(2)), Q.BF16), ("h", floats(3, dtype=np.float16)), ("f", floats(1))])


def every_type(writer):
    writer.add_uint8("k.u8", 255)
    writer.add_int8("k.i8", -128)
    writer.add_uint16("k.u16", 65535)
    writer.add_int16("k.i16", -32768)
    writer.add_uint32("k.u32", 2**32 - 1)
    writer.add_int32("k.i32", -2**31)
    writer.add_float32("k.f32", 1e-12)
    writer.add_bool("k.yes", True)
    writer.add_bool("k.no", False)
    writer.add_string("k.text", "grün\n\"")
    writer.add_uint64("k.u64", 2**64 - 1)
    writer.add_int64("k.i64", -2**63)
    writer.add_float64("k.f64", 0.1)
    writer.add_array("k.words", ["a", "b\"", "", "d"])
    writer.add_array("k.numbers", list(range(20)))
    writer.add_array("k.floats", [0.5, -1.0])


said = {"k.u8": "255", "k.i8": "-128", "k.u16": "65535", "k.i16": "-32768", "k.u32": "4294967295", "k.i32": "-2147483648",
        "k.f32": "1e-12", "k.yes": "true", "k.no": "false", "k.text": "grün\n\"", "k.u64": "18446744073709551615",
        "k.i64": "-9223372036854775808", "k.f64": "0.1", "k.words": '4 ["a", "b\\"", "", "d"]',
        "k.numbers": "20 [0, 1, 2, 3, 4, 5, 6, 7, ...]", "k.floats": "2 [0.5, -1.0]"}
write("keys.gguf", [("x", floats(2))], every_type, said)
write("big-f32.gguf", [("x", floats(2, 3)), ("y", floats(3, dtype=np.float64)), ("z", np.arange(-2, 3, dtype=np.int32))],
      every_type, said, endian=GGUFEndian.BIG)
to_big("mixed.gguf", "big-mixed.gguf")
data = bytearray((HERE / "f32.gguf").read_bytes())
data[4:8] = struct.pack("<I", 2)
(HERE / "version2.gguf").write_bytes(data)
expected.append(expected[0] | {"file": "version2.gguf"})

lines = ",\n".join(json.dumps(e, ensure_ascii=False) for e in expected)
(HERE / "expected.json").write_text(f"[\n{lines}\n]\n")
