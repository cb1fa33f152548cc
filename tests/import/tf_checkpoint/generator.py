"""Checkpoints written by TensorFlow itself, and what TensorFlow reads from them: expected.json.

    pip install tensorflow-cpu==2.21.0 cramjam==2.14.0
    python tests/import/tf_checkpoint/generator.py

TensorFlow no longer writes compressed tables and never wrote big-endian files on the machines it runs on: those (snappy*,
big_endian*) are TensorFlow's files rewritten by the functions below, the values compressed by cramjam.
"""

import hashlib
import json
import os
import shutil
import struct
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import cramjam  # noqa: E402
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

v1 = tf.compat.v1
HERE = Path(__file__).resolve().parent
NAMES = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int8": "I8", "uint8": "U8",
         "int16": "I16", "uint16": "U16", "int32": "I32", "uint32": "U32", "int64": "I64", "uint64": "U64", "bool": "BOOL",
         "complex64": "C64", "complex128": "C128"}
SHAPES = {"scalar": [], "none": [0], "empty": [2, 0, 3], "one": [5], "two": [2, 3], "three": [2, 1, 3], "four": [3, 2, 1, 2],
          "five": [1, 2, 1, 2, 3], "six": [2, 1, 2, 1, 2, 2]}
SPECIAL = np.array([0, -0.0, 1e-45, 3.4e38, np.inf, -np.inf, np.nan, 1 / 3], np.float32)
files = []


def numbers(shape, dtype="float32", seed=1):
    count = int(np.prod(shape))
    values = (np.arange(count) * 37 + seed * 11) % 127 - (0 if dtype.startswith("u") or dtype == "bool" else 60)
    if dtype == "bool":
        values = values % 3 == 0
    return values.reshape(shape).astype(getattr(ml_dtypes, dtype, None) or dtype)


def expect(file, metadata=None):
    """What TensorFlow reads. Tensors are in the order of their names' bytes, in the older form in that of saving."""
    reader = tf.train.load_checkpoint(str(HERE / file.removesuffix(".index")))
    shapes = reader.get_variable_to_shape_map()
    said = dict(metadata or {})
    tensors = []
    for name in sorted(shapes, key=str.encode):
        try:
            value = reader.get_tensor(name)
        except tf.errors.UnimplementedError:  # slices of the older form
            box = " ".join(map(str, shapes[name])) + " " + ":".join("-" * len(shapes[name]))
            value = tf.raw_ops.RestoreSlice(file_pattern=str(HERE / file), tensor_name=name, shape_and_slice=box,
                                            dt=reader.get_variable_to_dtype_map()[name]).numpy()
        if isinstance(value, bytes) or value.dtype == object:
            said[f"skipped.{name}"] = "strings"
            continue
        dtype = NAMES[value.dtype.name]
        tensors.append({"name": name, "shape": list(value.shape), "dtype": dtype,
                        "sha256": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()})
    files.append({"file": file, "format": "tf_checkpoint", "metadata": said, "tensors": tensors})


def save(name, tensors):
    """The newer form, by the operation: name -> value, or (value, "shape slice")."""
    prefix = str(HERE / name)
    values = [t if isinstance(t, tuple) else (t, "") for t in tensors]
    raw_names = [t[2] if len(t) == 3 else None for t in values]
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=raw_names, shape_and_slices=[t[1] for t in values],
                      tensors=[tf.constant(t[0]) for t in values])


def save_named(name, tensors):
    save(name, [(value, "", key) for key, value in tensors.items()])


def save_older(name, tensors):
    """The older form, by the operation: (name, value, full shape, slice)."""
    tf.raw_ops.SaveSlices(filename=str(HERE / name), tensor_names=[t[0] for t in tensors],
                          shapes_and_slices=[t[2] if len(t) > 2 else "" for t in tensors],
                          data=[tf.constant(t[1]) for t in tensors])


def graph(build, name, older=False, sharded=False, cpus=1):
    """Variables of a graph of TensorFlow 1, by its Saver."""
    with v1.Graph().as_default():
        build()
        version = v1.train.SaverDef.V1 if older else v1.train.SaverDef.V2
        saver = v1.train.Saver(write_version=version, sharded=sharded)
        with v1.Session(config=v1.ConfigProto(device_count={"CPU": cpus})) as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, str(HERE / name), write_meta_graph=False, write_state=False)


def variable(name, shape, dtype="float32", seed=1, parts=None, axis=0):
    value = numbers(shape, dtype, seed)
    partitioner = v1.fixed_size_partitioner(parts, axis=axis) if parts else None

    def initial(shape, dtype=None, partition_info=None):
        if partition_info is None:
            return tf.constant(value)
        box = tuple(slice(o, o + n) for o, n in zip(partition_info.var_offset, shape))
        return tf.constant(value[box])

    v1.get_variable(name, shape=shape, dtype=value.dtype, initializer=initial, partitioner=partitioner)


# The table format, to rewrite files. See leveldb's doc/table_format.md.
def crc(data):
    table = [0] * 256
    for i in range(256):
        c = i
        for _ in range(8):
            c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
        table[i] = c
    c = 0xFFFFFFFF
    for b in data:
        c = c >> 8 ^ table[(c ^ b) & 255]
    c ^= 0xFFFFFFFF
    return ((c >> 15 | c << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(n):
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def take(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return n, at


def rows(block):
    end = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    at, key = 0, b""
    while at < end:
        shared, at = take(block, at)
        fresh, at = take(block, at)
        size, at = take(block, at)
        key = key[:shared] + block[at:at + fresh]
        at += fresh
        yield key, block[at:at + size]
        at += size


def read_table(data):
    at = len(data) - 48
    for _ in range(3):
        offset, at = take(data, at)
    size, at = take(data, at)
    for _, handle in rows(data[offset:offset + size]):
        start, at = take(handle, 0)
        yield from rows(data[start:start + take(handle, at)[0]])


def block(pairs):
    """Rows with shared prefixes, one point of restart."""
    out, last = b"", b""
    for key, value in pairs:
        shared = len(os.path.commonprefix([key, last]))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return out + struct.pack("<II", 0, 1)


def write_table(pairs, rows_per_block, snappy):
    out, index = b"", []

    def put(data):
        nonlocal out
        kind = b"\1" if snappy else b"\0"
        data = bytes(cramjam.snappy.compress_raw(data)) if snappy else data
        handle = varint(len(out)) + varint(len(data))
        out += data + kind + struct.pack("<I", crc(data + kind))
        return handle

    for i in range(0, len(pairs), rows_per_block):
        part = pairs[i:i + rows_per_block]
        index.append((part[-1][0], put(block(part))))
    footer = put(block([])) + put(block(index))
    return out + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def rewrite(source, target, rows_per_block=3, snappy=True):
    pairs = list(read_table((HERE / source).read_bytes()))
    (HERE / target).write_bytes(write_table(pairs, rows_per_block, snappy))


def big_endian(source, target):
    """The values of a checkpoint with one file of them, with their bytes reversed."""
    from tensorflow.core.protobuf import tensor_bundle_pb2 as bundle
    data = bytearray((HERE / f"{source}.data-00000-of-00001").read_bytes())
    pairs = []
    for key, value in read_table((HERE / f"{source}.index").read_bytes()):
        if key == b"":
            header = bundle.BundleHeaderProto.FromString(value)
            header.endianness = bundle.BundleHeaderProto.BIG
            pairs.append((key, header.SerializeToString()))
            continue
        entry = bundle.BundleEntryProto.FromString(value)
        if not entry.slices:
            kind = tf.dtypes.as_dtype(entry.dtype)
            part = bytes(data[entry.offset:entry.offset + entry.size])
            unit = kind.size // 2 if kind.is_complex else kind.size
            part = b"".join(part[i:i + unit][::-1] for i in range(0, len(part), unit))
            data[entry.offset:entry.offset + entry.size] = part
            entry.crc32c = crc(part)
        pairs.append((key, entry.SerializeToString()))
    (HERE / f"{target}.index").write_bytes(write_table(pairs, 100, False))
    (HERE / f"{target}.data-00000-of-00001").write_bytes(data)


def same(file, like):
    """A rewritten file has the tensors of its original."""
    files.append({**next(f for f in files if f["file"] == like), "file": file})


def main():
    for path in HERE.iterdir():
        if path.suffix not in (".py", ".md"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    newer, older = {"version": "2"}, {"version": "1"}

    # The newer form.
    save_named("shapes", {name: numbers(shape) for name, shape in SHAPES.items()})
    expect("shapes.index", newer)
    save_named("dtypes", {f"of/{dtype}": numbers([2, 3], dtype) for dtype in NAMES})
    expect("dtypes", newer)
    save_named("special", {"f32": SPECIAL, "f16": np.clip(SPECIAL, -6e4, 6e4).astype(np.float16), "größe/ß": SPECIAL[:2],
                           "bf16": SPECIAL.astype(ml_dtypes.bfloat16), "f64": SPECIAL.astype(np.float64)})
    expect("special.index", newer)
    save_named("strings", {"words": np.array(["a", "", "long" * 9], object), "w": numbers([3])})
    expect("strings.index", newer)
    save_named("many", {f"layer_{i:03}/kernel": numbers([i % 3, 2], seed=i) for i in range(40)})
    expect("many.index", newer)
    save("sliced", [(numbers([2, 3], seed=1), "5 3 0,2:-", "rows"), (numbers([3, 3], seed=2), "5 3 2,3:-", "rows"),
                    (numbers([2, 1, 2], "int16", 1), "2 3 2 -:0,1:-", "mid"),
                    (numbers([2, 2, 2], "int16", 2), "2 3 2 -:1,2:-", "mid"),
                    (numbers([1, 2], seed=3), "2 4 0,1:0,2", "quarters"), (numbers([1, 2], seed=4), "2 4 0,1:2,2", "quarters"),
                    (numbers([1, 2], seed=5), "2 4 1,1:0,2", "quarters"), (numbers([1, 2], seed=6), "2 4 1,1:2,2", "quarters"),
                    (numbers([2]), "", "whole")])
    expect("sliced.index", newer)
    save("sliced_long", [(numbers([70], "uint8", 1), "200 0,70", "b/a"), (numbers([130], "uint8", 2), "200 70,130", "b/a")])
    expect("sliced_long.index", newer)
    graph(lambda: [variable("w", [7, 3], parts=3), variable("b", [3]), variable("cols", [2, 5], parts=2, axis=1),
                   variable("wide", [4, 2], "float64", parts=2), variable("long", [3, 2], "int64", parts=3)], "partitioned.ckpt")
    expect("partitioned.ckpt", newer)

    def two_devices():
        with tf.device("/cpu:0"):
            variable("on_0", [2, 3])
        with tf.device("/cpu:1"):
            variable("on_1", [3], seed=2)
            variable("d", [], "float64")

    graph(two_devices, "sharded.ckpt", sharded=True, cpus=2)
    expect("sharded.ckpt.index", newer)
    graph(lambda: [variable(f"bert/{n}", [2, 2], seed=i) for i, n in enumerate(["kernel", "bias", "kernel/adam_m"])]
          + [variable("global_step", [], "int64")], "saver.ckpt-100")
    expect("saver.ckpt-100.index", newer)

    # Two checkpoints merged into one of two files.
    save("part0", [(numbers([2, 2], seed=1), "4 2 0,2:-", "w"), (numbers([3]), "", "a")])
    save("part1", [(numbers([2, 2], seed=2), "4 2 2,2:-", "w"), (numbers([2], "int32"), "", "z")])
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[str(HERE / "part0"), str(HERE / "part1")],
                                  destination_prefix=str(HERE / "merged"), delete_old_dirs=False)
    expect("merged.index", newer)

    # Objects of TensorFlow 2.
    class Dense(tf.Module):
        def __init__(self, inputs, outputs, seed):
            super().__init__()
            self.kernel = tf.Variable(numbers([inputs, outputs], seed=seed))
            self.bias = tf.Variable(numbers([outputs], seed=seed))

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.layers = [Dense(2, 3, 1), Dense(3, 1, 2)]
            self.table = {"a.b/c": tf.Variable(numbers([2], "int8"))}

        @tf.function(input_signature=[tf.TensorSpec([None, 2])])
        def __call__(self, x):
            for layer in self.layers:
                x = x @ layer.kernel + layer.bias
            return x

    tf.train.Checkpoint(net=Net(), step=tf.Variable(3, dtype=tf.int64)).save(str(HERE / "objects"))
    (HERE / "checkpoint").rename(HERE / "list")
    expect("objects-1.index", newer)
    tf.train.Checkpoint(v=tf.Variable(numbers([2, 1, 2], "bfloat16"))).write(str(HERE / "written"))
    expect("written", newer)
    tf.saved_model.save(Net(), str(HERE / "saved_model"))
    (HERE / "saved_model/fingerprint.pb").unlink(missing_ok=True)
    (HERE / "saved_model/assets").rmdir() if (HERE / "saved_model/assets").exists() else None
    expect("saved_model/variables/variables.index", newer)
    same("saved_model", "saved_model/variables/variables.index")

    # Rewritten.
    for name, like in [("many", "many.index"), ("sliced", "sliced.index")]:
        rewrite(f"{name}.index", f"snappy_{name}.index")
        (HERE / f"snappy_{name}.data-00000-of-00001").write_bytes((HERE / f"{name}.data-00000-of-00001").read_bytes())
        same(f"snappy_{name}.index", like)
    rewrite("shapes.index", "blocks.index", 1, False)
    shutil.copy(HERE / "shapes.data-00000-of-00001", HERE / "blocks.data-00000-of-00001")
    same("blocks.index", "shapes.index")
    for name, like in [("dtypes", "dtypes"), ("sliced", "sliced.index")]:
        big_endian(name, f"big_endian_{name}")
        same(f"big_endian_{name}.index", like)

    # The older form.
    order = len(files)
    save_older("older_shapes.ckpt", [(name, numbers(shape)) for name, shape in SHAPES.items()])
    expect("older_shapes.ckpt", older)
    kept = []
    for dtype in NAMES:
        try:
            save_older("try", [(dtype, numbers([2], dtype))])
            tf.train.load_checkpoint(str(HERE / "try")).get_tensor(dtype)
            kept.append(dtype)
        except Exception as error:
            print(f"the older form has no {dtype}: {str(error)[:80]}")
    (HERE / "try").unlink()
    save_older("older_dtypes", [(f"of/{dtype}", numbers([2, 3], dtype)) for dtype in kept])
    expect("older_dtypes", older)
    save_older("older_special", [("f32", SPECIAL), ("f64", SPECIAL.astype(np.float64)), ("words", np.array(["a", "bc"], object))])
    expect("older_special", older)
    save_older("older_sliced", [("rows", numbers([2, 3], seed=1), "5 3 0,2:-"), ("rows", numbers([3, 3], seed=2), "5 3 2,3:-"),
                                ("mid", numbers([2, 1, 2], "int32", 1), "2 3 2 -:0,1:-"),
                                ("mid", numbers([2, 2, 2], "int32", 2), "2 3 2 -:1,2:-"), ("b", numbers([4]))])
    expect("older_sliced", older)
    graph(lambda: [variable("conv1/weights", [2, 2, 1, 3]), variable("conv1/biases", [3]), variable("p", [7, 2], parts=3)],
          "older_saver.ckpt", older=True)
    expect("older_saver.ckpt", older)
    graph(two_devices, "older_sharded.ckpt", older=True, sharded=True, cpus=2)
    reader = "older_sharded.ckpt-?????-of-00002"
    expect(reader, older)
    files[-1]["file"] = "older_sharded.ckpt-00001-of-00002"
    rewrite("older_sliced", "older_snappy", 2)
    same("older_snappy", "older_sliced")
    for file in files[order:]:  # in the order of saving: how the table lists them
        file["tensors"] = listed(file)

    (HERE / "expected.json").write_text("[\n" + ",\n".join(json.dumps(f, ensure_ascii=False) for f in files) + "\n]\n")
    print(len(files), "files", sum(p.stat().st_size for p in HERE.rglob("*") if p.is_file()), "bytes")


def listed(file):
    """The tensors of a checkpoint of the older form in the order of its header; of several files, one after the other."""
    from tensorflow.core.util import saved_tensor_slice_pb2 as saved
    names = []
    name = file["file"]
    paths = sorted(HERE.glob(name.split("-")[0] + "-*")) if "-of-" in name else [HERE / name]
    for path in paths:
        data = path.read_bytes()
        if file["file"] == "older_snappy":
            data = (HERE / "older_sliced").read_bytes()
        for key, value in read_table(data):
            if key == b"":
                meta = saved.SavedTensorSlices.FromString(value).meta
                names += [t.name for t in meta.tensor]
    by_name = {t["name"]: t for t in file["tensors"]}
    return [by_name[n] for n in names if n in by_name]


main()
