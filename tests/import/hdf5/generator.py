"""Writes the files of this folder with h5py and Keras; then expected.json from what h5py itself reads in them, and from what
Keras' own models say of their layers.

Ran with Python 3.11.7, h5py 3.16.0 (HDF5 2.0.0), keras 3.15.1 (backend jax 0.10.2), numpy 2.4.6, ml_dtypes 0.6.0:

    python tests/import/hdf5/generator.py

Files of more than LARGEST bytes once packed, and those that differ little from others (EXTRA), are written, tested if they
are there, and kept out of the history. `attacks/` holds what must be refused, applications.json the names of Keras' models.
"""

import collections
import hashlib
import json
import os
import re
import sys
import zipfile
import zlib
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import h5py
import keras
import ml_dtypes
import numpy as np
from keras import layers

HERE = Path(__file__).resolve().parent
LARGEST = 5000
EXTRA = ["sequential-full.h5", "functional-weights.h5", "sequential.weights.h5", "sequential-latest.h5", "packed-v110.h5",
         "growing-v110.h5", "layouts-v108.h5", "skipped-latest.h5", "nested-full.h5"]
NAMES = {"b1": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "u4": "U32", "i4": "I32", "u8": "U64", "i8": "I64",
         "f2": "F16", "f4": "F32", "f8": "F64"}
FILES = []


def numbers(*shape, dtype="<f4"):
    count = int(np.prod(shape)) if shape else 1
    bits = np.array([(i * 2654435761 + 12345) % 251 for i in range(count)], dtype=np.int64).reshape(shape)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return bits % 2 == 0
    return (bits / 8 - 11).astype(dtype) if kind == "f" else (bits - (100 if kind == "i" else 0)).astype(dtype)


def tensor(name, array, dtype=None):
    array = np.asarray(array)
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    return {"name": name, "shape": list(array.shape), "dtype": dtype or NAMES[array.dtype.str.lstrip("<>|=")],
            "sha256": hashlib.sha256(little.tobytes()).hexdigest()}


def by_path(path):
    """Every data set of numbers by its path, names in order, as h5py reads it."""
    found = []

    def visit(group, prefix):
        for name in sorted(group, key=lambda n: n.encode()):
            item = group[name]
            if isinstance(item, h5py.Group):
                visit(item, prefix + name + "/")
            elif isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind in "biuf":
                found.append(tensor(prefix + name, item[()]))

    with h5py.File(path, "r") as file:
        visit(file, "")
    return found


def plain(name, write, metadata=None, **how):
    path = HERE / name
    with h5py.File(path, "w", **how) as file:
        write(file)
    FILES.append({"file": name, "format": "hdf5", "tensors": by_path(path), "metadata": metadata or {}})


def plain_of(name, write):
    """Addresses and lengths of four bytes."""
    made = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    made.set_sizes(4, 4)
    path = HERE / name
    with h5py.File(h5py.h5f.create(str(path).encode(), h5py.h5f.ACC_TRUNC, made)) as file:
        write(file)
        links(file)
        file.create_dataset("packed", data=numbers(5, 7), chunks=(2, 3), compression="gzip")
    FILES.append({"file": name, "format": "hdf5", "tensors": by_path(path), "metadata": {}})


def low(file, name, array, layout=None, early=None, chunks=None, fill=None, write=True, most=None):
    """A data set by the low-level interface."""
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if layout is not None:
        made.set_layout(layout)
    if chunks:
        made.set_chunk(chunks)
    if early is not None:
        made.set_alloc_time(early)
    if fill is not None:
        made.set_fill_value(np.array(fill, array.dtype))
    space = h5py.h5s.create_simple(array.shape, most or array.shape)
    data = h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(array.dtype), space, made)
    if write:
        data.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(array))


def every_dtype(file):
    for dtype in ["?", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8"]:
        file[f"{np.dtype(dtype).kind}{np.dtype(dtype).itemsize}"] = numbers(2, 2, dtype=dtype)


def big_endian(file):
    for dtype in [">u2", ">i2", ">u4", ">i8", ">f2", ">f4", ">f8"]:
        file[f"{np.dtype(dtype).kind}{np.dtype(dtype).itemsize}"] = numbers(3, dtype=dtype)
    file.create_dataset("packed", data=numbers(5, 3, dtype=">f4"), chunks=(2, 3), compression="gzip", fillvalue=1.5)


def shapes(file):
    for name, shape in {"scalar": (), "empty": (2, 0, 3), "d1": (3,), "d2": (2, 3), "d3": (2, 1, 2), "d4": (1, 2, 2, 1),
                        "d5": (1, 2, 1, 2, 1), "d6": (1, 2, 1, 2, 1, 2)}.items():
        file[name] = numbers(*shape)
    file["group/inner/deep"] = numbers(2)


def packed(file):
    every = {"gzip": {"compression": "gzip"}, "shuffle": {"shuffle": True}, "fletcher": {"fletcher32": True},
             "all": {"compression": 9, "shuffle": True, "fletcher32": True}, "none": {},
             "shuffled": {"compression": "gzip", "shuffle": True}, "summed": {"compression": "gzip", "fletcher32": True}}
    for name, how in every.items():
        file.create_dataset(name, data=numbers(3, 5), chunks=(2, 3), **how)
    file.create_dataset("bytes", data=numbers(17, dtype="u1"), chunks=(5,), **every["all"])
    file.create_dataset("one", data=numbers(3, 4), chunks=(3, 4), **every["all"])
    file.create_dataset("cube", data=numbers(3, 2, 5, dtype="<i2"), chunks=(2, 2, 3), **every["all"])


def skipped(file):
    """Chunks for which a filter was left out."""
    data = file.create_dataset("mask", (4, 4), "<f4", chunks=(2, 4), compression="gzip", shuffle=True)
    data.id.write_direct_chunk((0, 0), numbers(2, 4).tobytes(), 3)
    data.id.write_direct_chunk((2, 0), zlib.compress(numbers(2, 4).tobytes()), 1)


def layouts(file):
    low(file, "compact", numbers(2, 3), h5py.h5d.COMPACT)
    low(file, "contiguous", numbers(2, 3), h5py.h5d.CONTIGUOUS)
    low(file, "late", numbers(4, 3), h5py.h5d.CONTIGUOUS, h5py.h5d.ALLOC_TIME_LATE, write=False)
    low(file, "filled", numbers(4, 3), h5py.h5d.CONTIGUOUS, h5py.h5d.ALLOC_TIME_LATE, fill=2.5, write=False)
    low(file, "unwritten", numbers(4, 3), h5py.h5d.CHUNKED, chunks=(2, 2), fill=-1, write=False)
    low(file, "early", numbers(5, 3, dtype="<i4"), h5py.h5d.CHUNKED, h5py.h5d.ALLOC_TIME_EARLY, (2, 2))
    data = file.create_dataset("sparse", (6, 5), "<f8", chunks=(2, 2), fillvalue=7)
    data[2:3, 3:5] = 1
    data[5, 0] = 2


def growing(file):
    file.create_dataset("first", data=numbers(50, 2), chunks=(1, 2), maxshape=(None, 2))
    file.create_dataset("last", data=numbers(2, 3, 9), chunks=(1, 2, 2), maxshape=(2, 3, None))
    file.create_dataset("packed", data=numbers(7, 4), chunks=(2, 3), maxshape=(None, 4), compression="gzip")
    file.create_dataset("both", data=numbers(9, 6), chunks=(2, 2), maxshape=(None, None))
    file.create_dataset("both packed", data=numbers(9, 6), chunks=(2, 2), maxshape=(None, None), compression="gzip")
    file.create_dataset("limit", data=numbers(3, 4), chunks=(2, 2), maxshape=(9, 7))
    data = file.create_dataset("hole", (300,), "<i2", chunks=(2,), maxshape=(None,), fillvalue=3)
    data[::97] = numbers(4, dtype="<i2")
    data = file.create_dataset("shrunk", data=numbers(9, 5), chunks=(2, 2), maxshape=(None, 5))
    data.resize((3, 5))


def many_chunks(file):
    file.create_dataset("fixed", data=numbers(1100, 2, dtype="i1"), chunks=(1, 2), compression="gzip")
    file.create_dataset("tree", data=numbers(40, 40, dtype="i1"), chunks=(1, 1), maxshape=(None, None))


def paged(file):
    """Arrays of chunks large enough for pages, and a tree of three levels."""
    file.create_dataset("fixed", data=numbers(2500, dtype="i1"), chunks=(1,))
    data = file.create_dataset("sparse", (5000,), "i1", chunks=(1,), fillvalue=9)
    data[3000] = 1
    data[4999] = 2
    file.create_dataset("grown", data=numbers(40000, dtype="i1"), chunks=(1,), maxshape=(None,))
    data = file.create_dataset("grown sparse", (200000,), "i1", chunks=(1,), maxshape=(None,))
    data[150000:150010] = 3
    file.create_dataset("tree", data=numbers(150, 150, dtype="i1"), chunks=(1, 1), maxshape=(None, None))


def links(file):
    for i in range(20):
        file[f"group/w{i}"] = np.float32(i)


def links_of_a_heap(file):
    for i in range(700):
        file.create_group("many/group with a long name, so that the heap has blocks of blocks %04d" % i)
    file["many/value"] = numbers(2)


def attributes(file):
    data = file.create_dataset("x", data=numbers(2))
    for i in range(12):
        data.attrs[f"a{i}"] = i
    data.attrs["long"] = numbers(1100)
    data.attrs["dtype"] = "float32"


def texts(file):
    file["numbers"] = numbers(3)
    file["fixed"] = np.array([b"ab", b"cde"])
    file["variable"] = ["ab", "cde"]
    file["record"] = np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f4")])
    file["nothing"] = h5py.Empty("f4")
    file["complex"] = np.array([1 + 2j])
    file.create_dataset("opaque", data=np.array([b"abc"], dtype="V3"))
    file.create_dataset("state", data=np.array([0, 1], "i1"),
                        dtype=h5py.enum_dtype({"OFF": 0, "ON": 1, "BROKEN": 2}, basetype="i1"))
    file["reference"] = np.array([file.ref], dtype=h5py.ref_dtype)
    file["kind"] = np.dtype("<f8")
    file.create_dataset("of the kind", data=numbers(2, dtype="<f8"), dtype=file["kind"])


SKIPPED = {"skipped.fixed": "holds texts, not numbers", "skipped.variable": "holds texts, not numbers",
           "skipped.record": "holds records (a compound type), not numbers",
           "skipped.nothing": "holds nothing (a null data space)",
           "skipped.opaque": "holds opaque bytes, not numbers", "skipped.reference": "holds references, not numbers",
           "skipped.kind": "is neither a group nor a data set"}


def shared(file):
    file["a/x"] = numbers(3)
    file["b"] = file["a/x"]
    file["a/again"] = file["a/x"]
    file["c"] = file["a"]


def files_of_h5py():
    for version in ["earliest", "v108", "v110", "v200"]:
        how = {"libver": (version, version if version != "earliest" else "latest")}
        plain(f"layouts-{version}.h5", layouts, **how)
        if version != "v108":
            plain(f"packed-{version}.h5", packed, **how)
            plain(f"growing-{version}.h5", growing, **how)
        if version in ("earliest", "v200"):
            plain(f"links-{version}.h5", links, **how)
            plain(f"attributes-{version}.h5", attributes, **how)
    plain("dtypes.h5", every_dtype)
    plain("dtypes-latest.h5", every_dtype, libver="latest")
    plain("big-endian.h5", big_endian)
    plain("shapes.h5", shapes)
    plain("skipped.h5", skipped)
    plain("skipped-latest.h5", skipped, libver="latest")
    plain("many-chunks.h5", many_chunks)
    plain("many-chunks-latest.h5", many_chunks, libver="latest")
    plain("paged-v110.h5", paged, libver=("v110", "v110"))
    plain("paged-latest.h5", paged, libver="latest")
    plain("heap-latest.h5", links_of_a_heap, libver="latest")
    plain("texts.h5", texts, SKIPPED)
    plain("texts-latest.h5", texts, SKIPPED, libver="latest")
    plain("shared.h5", shared)
    plain("shared-latest.h5", shared, libver="latest")
    plain("user-block.h5", shapes, userblock_size=512)
    plain("user-block-latest.h5", shapes, userblock_size=2048, libver="latest")
    plain("ordered.h5", layouts, track_order=True)
    plain_of("small-addresses.h5", shapes)
    plain("nothing.h5", lambda file: None)


def fill(model):
    for i, weight in enumerate(model.weights):
        value = numbers(*weight.shape, dtype=str(weight.dtype)) + (0 if "int" in str(weight.dtype) else i)
        weight.assign(value.astype(weight.dtype))
    return model


def sequential():
    return fill(keras.Sequential([
        layers.Input((8, 8, 3)), layers.Conv2D(2, 3, name="conv1"), layers.BatchNormalization(name="bn", scale=False),
        layers.DepthwiseConv2D(3, name="depth", use_bias=False), layers.Conv2D(3, 1), layers.BatchNormalization(center=False),
        layers.SeparableConv2D(2, 2, name="separable"), layers.PReLU(name="alpha"),
        layers.Flatten(), layers.Dense(2, name="head"), layers.LayerNormalization(name="ln")], name="net"))


def functional():
    x = keras.Input((6,), dtype="int32", name="words")
    y = layers.Embedding(5, 4, name="words_of")(x)
    y = layers.MultiHeadAttention(2, 2, name="attend")(y, y)
    y = layers.LSTM(3, name="memory", return_sequences=True)(y)
    y = layers.GRU(2)(y)
    shared = layers.Dense(2, name="shared")
    y = layers.Add()([shared(y), layers.Dense(2, name="b")(y), shared(y)]) * 2.0
    z = layers.Dense(1, name="a", use_bias=False)(y)
    return fill(keras.Model(x, [z, layers.Dropout(0.5)(y)], name="graph"))


def nested():
    def part(name, width):
        return keras.Sequential([layers.Input((width,)), layers.Dense(2, name="same"), layers.Dense(3)], name=name)
    x = keras.Input((4,))
    y = part("left", 4)(x)
    inner = keras.Input((3,))
    graph = keras.Model(inner, layers.BatchNormalization(name="norm")(part("deep", 3)(inner)), name="middle")
    return fill(keras.Model(x, layers.Dense(1, name="head")(graph(y)), name="outer"))


@keras.saving.register_keras_serializable("golden")
class Own(keras.Model):
    def __init__(self, **more):
        super().__init__(**more)
        self.first = layers.Dense(2, name="one")
        self.rest = [layers.Dense(2, name="two"), layers.Dense(1, name="three")]
        self.scale = self.add_weight(shape=(1,), name="scale")

    def call(self, x):
        x = self.first(x)
        for layer in self.rest:
            x = layer(x)
        return x * self.scale


def own():
    model = Own(name="own")
    model(np.zeros((1, 3), "float32"))
    return fill(model)


def half():
    with_half = keras.Sequential([layers.Input((3,)), layers.Dense(2, name="d", dtype="bfloat16")], name="half")
    return fill(with_half)


def value(weight):
    return np.asarray(keras.ops.convert_to_numpy(weight))


def tensors_of(pairs):
    return [tensor(name, value(weight), "BF16" if str(weight.dtype) == "bfloat16" else None) for name, weight in pairs]


OLD = {("MultiHeadAttention", "query"): "query", ("MultiHeadAttention", "key"): "key",
       ("MultiHeadAttention", "value"): "value", ("MultiHeadAttention", "attention_output"): "attention_output"}


def keras2(model, before=""):
    """The weights of a model in the order of its layers, under the names of Keras 2."""
    for layer in model.layers:
        if isinstance(layer, (keras.Sequential, keras.Model)) and layer.layers:
            yield from keras2(layer, f"{before}{layer.name}/")
            continue
        for weight in layer.weights:
            name = weight.path.split(f"{layer.name}/", 1)[1]
            if type(layer).__name__ == "DepthwiseConv2D":
                name = name.replace("kernel", "depthwise_kernel")
            yield f"{before}{layer.name}/{name}:0", weight


def legacy(name, model, full=False, **how):
    path = HERE / name
    weights = [(weight.path, weight) for layer in model.layers
               for weight in layer.trainable_weights + layer.non_trainable_weights]
    names = [n for n, _ in weights]
    owners = [layer.name for layer in model.layers for _ in layer.weights]
    weights = [(f"{owner}/{n}" if names.count(n) > 1 else n, w) for (n, w), owner in zip(weights, owners)]
    top = [v for v in model._trainable_variables + model._non_trainable_variables if any(v is w for w in model.weights)]
    weights += [(weight.path, weight) for weight in top]
    metadata = {"keras_version": keras.__version__, "backend": keras.backend.backend()}
    if full:
        model.save(path)
        if getattr(model, "optimizer", None):
            weights += [(f"optimizer_weights/{v.path}", v) for v in model.optimizer.variables]
        if name == "optimiser-full.h5":
            with h5py.File(path) as file:
                metadata["model_config"] = file.attrs["model_config"]
                metadata["training_config"] = file.attrs["training_config"]
    else:
        from keras.src.legacy.saving import legacy_h5_format
        with h5py.File(path, "w", **how) as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    FILES.append({"file": name, "format": "keras_h5", "tensors": tensors_of(weights), "metadata": metadata})


def split_names():
    """Lists of names too long for one attribute."""
    with h5py.File(HERE / "split.h5", "w", libver="latest") as file:
        tensors = []
        names = [f"layer_{i}" for i in range(6)]
        for part in range(3):
            file.attrs[f"layer_names{part}"] = np.array([n.encode() for n in names[2 * part:2 * part + 2]])
        for i, name in enumerate(names):
            group = file.create_group(name)
            weights = [f"{name}/kernel:0", f"{name}/bias:0"]
            for part in range(2):
                group.attrs[f"weight_names{part}"] = weights[part:part + 1]
            for j, weight in enumerate(weights):
                array = numbers(2, 3 + i + j)
                group[weight] = array
                tensors.append(tensor(weight, array))
        file["else/where"] = numbers(2)
        tensors.append(tensor("else/where", numbers(2)))
    FILES.append({"file": "split.h5", "format": "keras_h5", "tensors": tensors, "metadata": {}})


def archive(name, model, deflate=False, pairs=None):
    path = HERE / name
    model.save(path)
    if deflate:
        with zipfile.ZipFile(path) as source:
            members = [(member, source.read(member)) for member in source.namelist()]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for member, data in members:
                target.writestr(member, data)
    metadata = {"keras_version": keras.__version__}
    if name == "optimiser.keras":
        with zipfile.ZipFile(path) as source:
            metadata["model_config"] = source.read("config.json").decode()
    named = tensors_of(pairs if pairs is not None else keras2(model))
    listed = {t["sha256"] for t in named}
    # What the names above do not reach keeps its path: the states of optimisers and of random numbers.
    with zipfile.ZipFile(path) as source, source.open("model.weights.h5") as inner:
        (HERE / "inner.tmp").write_bytes(inner.read())
    rest = [t for t in by_path(HERE / "inner.tmp") if t["sha256"] not in listed]
    if not named:
        rest = named_by_folder(HERE / "inner.tmp", rest)
    (HERE / "inner.tmp").unlink()
    FILES.append({"file": name, "format": "keras", "tensors": named + rest, "metadata": metadata})


SCALE, KERNEL = ["gamma", "beta"], ["kernel", "bias"]
CLASSES = {"dense": KERNEL, "conv2d": KERNEL, "layer_normalization": SCALE, "p_re_lu": ["alpha"],
           "batch_normalization": [*SCALE, "moving_mean", "moving_variance"], "depthwise_conv2d": ["depthwise_kernel", "bias"],
           "separable_conv2d": ["depthwise_kernel", "pointwise_kernel", "bias"]}


def named_by_folder(path, tensors):
    """The tensors of a `.weights.h5`, those of layers with a name of their own and a folder named by a class under the names
    of Keras 2, and first."""
    folders = {}
    with h5py.File(path) as file:
        file.visititems(lambda p, item: folders.update({p: item.attrs["name"]}) if "name" in item.attrs else None)
    called, count = list(folders.values()), collections.Counter(t["name"].rpartition("/")[0] for t in tensors)
    first, rest = [], []
    for t in tensors:
        folder, _, number = t["name"].rpartition("/")
        names = CLASSES.get(re.sub(r"_\d+$", "", folder.removesuffix("/vars").rpartition("/")[2]))
        name = folders.get(folder)
        if names and name and called.count(name) == 1:
            # A batch norm of three has no gamma.
            at = int(number) + (len(names) - count[folder] if names[0] == "gamma" else 0)
            first.append(t | {"name": f"{name}/{names[at]}:0"})
        else:
            rest.append(t)
    return first + rest


def weights_only(name, model, metadata):
    path = HERE / name
    model.save_weights(path)
    tensors = by_path(path)
    with h5py.File(path) as file:
        found = []
        file.visititems(lambda p, item: found.append((p, item)) if isinstance(item, h5py.Dataset) else None)
        if len(tensors) != len(found):
            tensors = [tensor(p, np.asarray(item[()]), "BF16" if item.dtype.kind == "V" else None) for p, item in found]
    FILES.append({"file": name, "format": "keras", "tensors": named_by_folder(path, tensors), "metadata": metadata})


def files_of_keras():
    keras.utils.clear_session()
    net = sequential()
    legacy("sequential-full.h5", net, full=True)
    legacy("sequential-weights.h5", net)
    legacy("sequential-latest.h5", net, libver="latest")
    archive("sequential.keras", net)
    weights_only("sequential.weights.h5", net, {"layer.layers/conv2d": "conv1", "layer.layers/dense": "head"})
    graph = functional()
    legacy("functional-weights.h5", graph)
    archive("functional.keras", graph)
    outer = nested()
    legacy("nested-full.h5", outer, full=True)
    archive("nested.keras", outer)
    weights_only("nested.weights.h5", outer, {"layer.layers/sequential/layers/dense": "same"})
    model = own()
    legacy("own-weights.h5", model)
    weights_only("own.weights.h5", model, {"layer.first": "one"})
    archive("own.keras", model, pairs=[])
    weights_only("half.weights.h5", half(), {})
    small = keras.Sequential([layers.Input((2,)), layers.Dense(1, name="d")], name="small")
    small.compile("adam", "mse")
    small.optimizer.build(small.trainable_variables)
    fill(small)
    archive("optimiser.keras", small)
    archive("deflated.keras", small, deflate=True)
    legacy("optimiser-full.h5", small, full=True)
    split_names()


def attack(name, write, **how):
    path = HERE / "attacks" / name
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w", **how) as file:
        write(file)
    return path


def virtual(file):
    layout = h5py.VirtualLayout((2, 3), "f4")
    layout[0] = h5py.VirtualSource("/etc/passwd", "x", (3,))
    file.create_virtual_dataset("x", layout)


def doubled(file):
    """A group of two names in a group of two names ..: 2^30 paths."""
    group = file
    for _ in range(30):
        inner = group.create_group("a")
        group["b"] = inner
        group = inner


def looped(file):
    file["a/b/c/up"] = file.create_group("a")


def bomb(file):
    file.create_dataset("x", data=np.zeros(200 << 20, "u1"), chunks=(20 << 20,), compression=9)


def many_names(file):
    low(file, "x0", np.zeros(4 << 20, "f4"), h5py.h5d.CONTIGUOUS, h5py.h5d.ALLOC_TIME_LATE, write=False)
    for i in range(1, 40):
        file[f"x{i}"] = file["x0"]


def attacks():
    """What must be refused; no h5py would write some of it."""
    attack("soft-link.h5", lambda f: f.__setitem__("x", h5py.SoftLink("/y")))
    attack("soft-link-latest.h5", lambda f: f.__setitem__("x", h5py.SoftLink("/y")), libver="latest")
    attack("external-link.h5", lambda f: f.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/")))
    attack("external-storage.h5", lambda f: f.create_dataset("x", (4,), "u1", external=[("/etc/passwd", 0, 4)]))
    attack("virtual.h5", virtual, libver="latest")
    attack("loop.h5", looped)
    attack("loop-latest.h5", looped, libver="latest")
    attack("doubled.h5", doubled, libver="latest")
    attack("shape-bomb.h5", lambda f: f.create_dataset("x", (1 << 20, 1 << 20), "f4", chunks=(64, 64), compression=9))
    attack("late-bomb.h5", lambda f: low(f, "x", np.lib.stride_tricks.as_strided(np.zeros(1, "f8"), (1 << 31,), (0,)),
                                         h5py.h5d.CONTIGUOUS, h5py.h5d.ALLOC_TIME_LATE, write=False))
    attack("deflate-bomb.h5", bomb, libver="latest")
    attack("many-names.h5", many_names)
    attack("lzf.h5", lambda f: f.create_dataset("x", data=numbers(40), chunks=(40,), compression="lzf"))
    with zipfile.ZipFile(HERE / "attacks" / "zip-bomb.keras", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", "{}")
        file.writestr("model.weights.h5", bytes(30 << 20))
    path = attack("overlap.h5", lambda f: f.create_dataset("x", data=numbers(8, 2), chunks=(4, 2)))
    with h5py.File(path) as file:
        first, second = [file["x"].id.get_chunk_info(i).byte_offset for i in range(2)]
    bytes_ = path.read_bytes()
    assert bytes_.count(second.to_bytes(8, "little")) == 1
    path.write_bytes(bytes_.replace(second.to_bytes(8, "little"), (first + 4).to_bytes(8, "little")))


def applications():
    """Names and shapes of the weights of Keras' own models, as the old format has them."""
    made = {"resnet50": keras.applications.ResNet50, "vgg16": keras.applications.VGG16,
            "inception_v3": keras.applications.InceptionV3}
    lines = []
    for name, make in made.items():
        model = make(weights=None)
        named = [[w.path, list(w.shape)] for layer in model.layers
                 for w in layer.trainable_weights + layer.non_trainable_weights]
        lines.append(f"{json.dumps(name)}: {json.dumps(named)}")
        keras.utils.clear_session()
    (HERE / "applications.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    attacks()
    applications()
    if "--only-attacks" in sys.argv:
        return
    for old in HERE.iterdir():
        if old.suffix in (".h5", ".keras"):
            old.unlink()
    files_of_h5py()
    files_of_keras()
    kept, total = [], 0
    for file in FILES:
        packed_size = len(zlib.compress((HERE / file["file"]).read_bytes(), 9))
        if packed_size <= LARGEST and file["file"] not in EXTRA:
            kept.append(file["file"])
            total += packed_size
        else:
            file["large"] = True
    (HERE / ".gitignore").write_text("".join(f"/{f['file']}\n" for f in FILES if f.get("large")))
    lines = ",\n".join(json.dumps(file) for file in FILES)
    (HERE / "expected.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(FILES)} files, {len(kept)} kept, {total} bytes packed, expected.json {len(zlib.compress(lines.encode(), 9))}")


main()
