"""Writes the Caffe models of this folder and expected.json: python generator.py

Ran with Python 3.11, protobuf 7.36.2, numpy 2.4.6. Caffe itself has no package any more: its messages are declared here
as far as weights need them, with the field numbers of caffe.proto (those of raw data from NVIDIA's branch), and Google's
protobuf writes them.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

HERE = Path(__file__).resolve().parent
random = np.random.default_rng(5)
expected = []
TYPES = {"F32": np.float32, "F64": np.float64, "F16": np.float16}

KINDS = {"int32": 5, "int64": 3, "uint32": 13, "float": 2, "double": 1, "bool": 8, "string": 9, "bytes": 12}
# message -> field: (number, type), with * for repeated, + for repeated and packed.
MESSAGES = {
    "BlobShape": {"dim": (1, "+int64")},
    "LooseShape": {"dim": (1, "*int64")},
    "BlobProto": {"num": (1, "int32"), "channels": (2, "int32"), "height": (3, "int32"), "width": (4, "int32"),
                  "data": (5, "+float"), "diff": (6, "+float"), "shape": (7, "BlobShape"), "double_data": (8, "+double"),
                  "double_diff": (9, "+double"), "raw_data_type": (10, "int32"), "raw_data": (12, "bytes")},
    "LooseBlob": {"data": (5, "*float"), "shape": (7, "LooseShape"), "double_data": (8, "*double")},
    "Convolution": {"num_output": (1, "uint32"), "bias_term": (2, "bool"), "pad": (3, "*uint32"), "kernel_size": (4, "*uint32"),
                    "group": (5, "uint32"), "stride": (6, "*uint32"), "pad_h": (9, "uint32"), "dilation": (18, "*uint32")},
    "Pooling": {"pool": (1, "int32"), "kernel_size": (2, "uint32"), "stride": (3, "uint32"), "pad": (4, "uint32"),
                "global_pooling": (12, "bool"), "round_mode": (13, "int32")},
    "BatchNorm": {"use_global_stats": (1, "bool"), "eps": (3, "float")},
    "Layer": {"name": (1, "string"), "type": (2, "string"), "bottom": (3, "*string"), "top": (4, "*string"),
              "blobs": (7, "*BlobProto"), "convolution_param": (106, "Convolution"), "pooling_param": (121, "Pooling"),
              "batch_norm_param": (139, "BatchNorm")},
    "LooseLayer": {"name": (1, "string"), "type": (2, "string"), "blobs": (7, "*LooseBlob")},
    "V0Layer": {"name": (1, "string"), "type": (2, "string"), "num_output": (3, "uint32"), "biasterm": (4, "bool"),
                "pad": (7, "uint32"), "kernelsize": (8, "uint32"), "group": (9, "uint32"), "stride": (10, "uint32"),
                "pool": (11, "int32"), "blobs": (50, "*BlobProto"), "blobs_lr": (51, "*float")},
    "V1Layer": {"layer": (1, "V0Layer"), "bottom": (2, "*string"), "top": (3, "*string"), "name": (4, "string"), "type": (5, "int32"),
                "blobs": (6, "*BlobProto"), "blobs_lr": (7, "*float"), "convolution_param": (10, "Convolution"),
                "pooling_param": (19, "Pooling")},
    "Net": {"name": (1, "string"), "layers": (2, "*V1Layer"), "input": (3, "*string"), "input_dim": (4, "*int32"),
            "force_backward": (5, "bool"), "layer": (100, "*Layer")},
    "LooseNet": {"name": (1, "string"), "layer": (100, "*LooseLayer")},
}
file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
for name, fields in MESSAGES.items():
    message = file.message_type.add(name=name)
    for field, (number, kind) in fields.items():
        plain = kind.lstrip("*+")
        added = message.field.add(name=field, number=number, label=1 if plain == kind else 3, type=KINDS.get(plain, 11))
        if plain not in KINDS:
            added.type_name = f".caffe.{plain}"
        if kind[0] == "+":
            added.options.packed = True
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
Net, LooseNet = (message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}")) for name in ("Net", "LooseNet"))


def values(*shape, dtype=np.float32):
    return np.asarray(random.standard_normal(shape), dtype)


def current(array, **more):
    """A blob in the current form."""
    field = "double_data" if array.dtype == np.float64 else "data"
    return {"shape": {"dim": array.shape}, field: array.ravel().tolist()} | more


def legacy(array, **more):
    """A blob with four dimensions of its own."""
    n, c, h, w = array.shape
    return current(array, num=n, channels=c, height=h, width=w, **more) | {"shape": None}


def raw(array):
    kind = {"float64": 0, "float32": 1, "float16": 2}[array.dtype.name]
    return {"shape": {"dim": array.shape}, "raw_data_type": kind, "raw_data": array.tobytes()}


def write(name, net, arrays, metadata=None, kind=Net):
    clean = lambda v: {k: clean(x) for k, x in v.items() if x is not None} if isinstance(v, dict) else [clean(x) for x in v] if isinstance(v, list) else v
    (HERE / f"{name}.caffemodel").write_bytes(kind(**clean(net)).SerializeToString())
    tensors = [{"name": n, "shape": list(a.shape), "dtype": next(k for k, t in TYPES.items() if a.dtype == t),
                "sha256": hashlib.sha256(a.tobytes()).hexdigest()} for n, a in arrays]
    expected.append({"file": f"{name}.caffemodel", "format": "caffe", "tensors": tensors, "metadata": metadata or {}})


def layer(name, kind, *blobs, **more):
    return {"name": name, "type": kind, "blobs": list(blobs)} | more


w, b = values(2, 3, 2, 1), values(2)
conv = {"num_output": 2, "bias_term": True, "pad": [1], "kernel_size": [2], "group": 1, "stride": [2]}
said = {"conv.type": "Convolution", "conv.pad": "1", "conv.kernel_size": "2", "conv.stride": "2", "conv.bias_term": "1"}
write("convolution", {"name": "net", "layer": [layer("data", "Input"), layer("conv", "Convolution", current(w), current(b), convolution_param=conv)]},
      [("conv.0", w), ("conv.1", b)], said)
w = values(3, 4)
write("inner-product", {"layer": [layer("ip", "InnerProduct", current(w))]}, [("ip.0", w)])
mean, var, count = values(3), np.abs(values(3)), np.array([999.98], np.float32)
gamma, beta = values(3), values(3)
write("batch-norm", {"layer": [layer("bn", "BatchNorm", current(mean), current(var), current(count), batch_norm_param={"eps": 0.001}),
                              layer("scale", "Scale", current(gamma), current(beta))]},
      [("bn.0", mean), ("bn.1", var), ("bn.2", count), ("scale.0", gamma), ("scale.1", beta)], {"bn.eps": "0.001", "bn.type": "BatchNorm"})
write("pooling", {"layer": [layer("pool", "Pooling", pooling_param={"pool": 1, "kernel_size": 3, "stride": 2, "round_mode": 1}), layer("x", "Bias", current(b))]},
      [("x.0", b)], {"pool.pool": "1", "pool.round_mode": "floor"})
for rank in range(7):
    a = values(*[1, 2, 3, 1, 2, 2][:rank])
    write(f"rank{rank}", {"layer": [layer("x", "Parameter", current(a))]}, [("x.0", a)])
none, some = values(0, 3), values(2)
write("empty", {"layer": [layer("x", "Parameter", current(none), current(some))]}, [("x.0", none), ("x.1", some)])
special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1.5], np.float32)
write("special", {"layer": [layer("x", "Parameter", raw(special), raw(special.astype(np.float16)))]},
      [("x.0", special), ("x.1", special.astype(np.float16))])
d = values(2, 2, dtype=np.float64)
write("double", {"layer": [layer("x", "Parameter", current(d))]}, [("x.0", d)])
write("double-and-float", {"layer": [layer("x", "Parameter", current(d) | {"data": [1.0] * 4})]}, [("x.0", d)])
h, f = values(2, 3, dtype=np.float16), values(3)
write("raw", {"layer": [layer("x", "Parameter", raw(h), raw(f), raw(d))]}, [("x.0", h), ("x.1", f), ("x.2", d)])
a = values(1, 1, 2, 3)
write("legacy", {"layer": [layer("x", "InnerProduct", legacy(a))]}, [("x.0", a)])
both = legacy(a) | {"shape": {"dim": [6]}}
write("legacy-and-shape", {"layer": [layer("x", "InnerProduct", both)]}, [("x.0", a)])
write("diff", {"layer": [layer("x", "Bias", current(b, diff=[9.0, 9.0]))]}, [("x.0", b)])
write("v1", {"name": "old", "input": ["data"], "input_dim": [1, 3, 8, 8], "layers": [
    {"name": "conv", "type": 4, "blobs": [legacy(a), legacy(b.reshape(1, 1, 1, 2))], "blobs_lr": [1.0, 2.0], "convolution_param": conv},
    {"name": "relu", "type": 18, "bottom": ["conv"], "top": ["conv"]}]},
      [("conv.0", a), ("conv.1", b.reshape(1, 1, 1, 2))], {"conv.type": "4", "conv.stride": "2"})
write("v1-shape", {"layers": [{"name": "ip", "type": 14, "blobs": [current(w)]}]}, [("ip.0", w)])
write("v0", {"name": "oldest", "layers": [
    {"layer": {"name": "conv", "type": "conv", "num_output": 1, "biasterm": True, "pad": 1, "kernelsize": 3, "group": 1, "stride": 2,
               "blobs": [legacy(a), legacy(b.reshape(1, 1, 1, 2))], "blobs_lr": [1.0, 2.0]}, "bottom": ["data"], "top": ["conv"]},
    {"layer": {"name": "pool", "type": "pool", "pool": 1, "kernelsize": 2, "stride": 2}, "bottom": ["conv"], "top": ["pool"]}]},
      [("conv.0", a), ("conv.1", b.reshape(1, 1, 1, 2))],
      {"conv.type": "conv", "conv.kernel_size": "3", "conv.stride": "2", "conv.pad": "1", "pool.pool": "1"})
write("v1-and-current", {"layers": [{"name": "a", "type": 14, "blobs": [current(w)]}], "layer": [layer("b", "Bias", current(b))]},
      [("a.0", w), ("b.0", b)])
write("names", {"layer": [layer("größe/3x3_reduce", "Bias", current(b)), layer("", "Bias", current(f))]},
      [("größe/3x3_reduce.0", b), (".0", f)])
write("unpacked", {"layer": [layer("x", "Parameter", {"shape": {"dim": [2, 3, 4]}, "data": (a := values(2, 3, 4)).ravel().tolist()},
                                   {"shape": {"dim": [2, 2]}, "double_data": d.ravel().tolist()})]}, [("x.0", a), ("x.1", d)], kind=LooseNet)

lines = ",\n".join(json.dumps(e, ensure_ascii=False) for e in expected)
(HERE / "expected.json").write_text(f"[\n{lines}\n]\n")
