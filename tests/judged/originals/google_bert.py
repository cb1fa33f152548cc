"""BERT's pre-training model of transformers, saved as google-research's checkpoints are: TensorFlow's V2 format and names.

TensorFlow itself is far too large to be installed for one file; the format (a sorted table of entries beside the numbers) is
written here as tensorflow/core/util/tensor_bundle and tensorflow/core/lib/io/table_format.txt state it.
"""

import dataclasses
import re
import struct

from originals import transformers_models as models


def varint(n):
    out = b""
    while n >= 128:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    """A field of a protocol buffer: bytes, or a whole number."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def checksum(data):
    """CRC-32C, masked."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def block(entries):
    """A block of a table, its trailer included."""
    body = b"".join(varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in entries)
    body += struct.pack("<II", 0, 1)
    return body + b"\0" + struct.pack("<I", checksum(body + b"\0"))


def write(prefix, tensors):
    numbers, entries = b"", [(b"", field(1, 1) + field(3, field(1, 1)))]
    for name in sorted(tensors, key=str.encode):
        data = tensors[name].contiguous().numpy().tobytes()
        shape = b"".join(field(2, field(1, size)) for size in tensors[name].shape)
        entry = field(1, 1) + field(2, shape) + field(4, len(numbers)) + field(5, len(data))
        entries.append((name.encode(), entry + varint(6 << 3 | 5) + struct.pack("<I", checksum(data))))
        numbers += data
    blocks = [block(entries), block([])]
    handles = [varint(0) + varint(len(blocks[0]) - 5), varint(len(blocks[0])) + varint(len(blocks[1]) - 5)]
    blocks.append(block([(entries[-1][0], handles[0])]))
    handles.append(varint(len(blocks[0]) + len(blocks[1])) + varint(len(blocks[2]) - 5))
    footer = (handles[1] + handles[2]).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    prefix.with_name(prefix.name + ".index").write_bytes(b"".join(blocks) + footer)
    prefix.with_name(prefix.name + ".data-00000-of-00001").write_bytes(numbers)


def renamed(name, tensor):
    """The name and layout of google-research."""
    name = re.sub(r"\.layer\.(\d+)\.", r".layer_\1.", name)
    name = name.replace("cls.predictions.bias", "cls.predictions.output_bias").replace("LayerNorm.weight", "LayerNorm.gamma")
    name = name.replace("LayerNorm.bias", "LayerNorm.beta").replace("embeddings.weight", "embeddings")
    name = re.sub(r"seq_relationship\.(weight|bias)", lambda m: f"seq_relationship.output_{m[1].replace('weight', 'weights')}", name)
    if name.endswith(".weight"):
        name, tensor = name.removesuffix("weight") + "kernel", tensor.t()
    return name.replace(".", "/"), tensor


def save(net, folder):
    tensors = {n: t for n, t in net.state_dict().items() if "decoder" not in n and "position_ids" not in n}
    write(folder / "bert_model.ckpt", dict(renamed(n, t.float()) for n, t in tensors.items()))
    return "bert_model.ckpt.index"


# Without a configuration beside it the size of a head is 64; the source has the tanh GELU.
models.FAMILIES["google_bert"] = ("Bert", models.SMALL | {"hidden_size": 128, "num_attention_heads": 2, "hidden_act": "gelu_new"}, None, 0, 2)
models.ORDER["google_bert"] = "next_sentence_label"
ORIGINALS = {"google_bert_pretraining": dataclasses.replace(models.original("google_bert", "pretraining"), save=save)}
