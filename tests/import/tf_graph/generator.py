"""Graphs written by TensorFlow, and what TensorFlow says of their constants: expected.json.

    pip install tensorflow-cpu==2.21.0
    python tests/import/tf_graph/generator.py
"""

import hashlib
import json
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.core.framework import graph_pb2, tensor_pb2, types_pb2  # noqa: E402
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # noqa: E402

v1 = tf.compat.v1
HERE = Path(__file__).resolve().parent
NAMES = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int8": "I8", "uint8": "U8",
         "int16": "I16", "uint16": "U16", "int32": "I32", "uint32": "U32", "int64": "I64", "uint64": "U64", "bool": "BOOL",
         "complex64": "C64", "complex128": "C128"}
LISTS = {"float32": "float_val", "float64": "double_val", "float16": "half_val", "bfloat16": "half_val", "int8": "int_val",
         "uint8": "int_val", "int16": "int_val", "uint16": "int_val", "int32": "int_val", "uint32": "uint32_val",
         "int64": "int64_val", "uint64": "uint64_val", "bool": "bool_val", "complex64": "scomplex_val",
         "complex128": "dcomplex_val"}
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


def write(name, graph):
    graph = graph if isinstance(graph, graph_pb2.GraphDef) else graph.as_graph_def()
    (HERE / name).write_bytes(graph.SerializeToString(deterministic=True))
    tensors, said = [], {"producer": str(graph.versions.producer)} if graph.versions.producer else {}
    if graph.library.function:
        said["functions"] = f"{len(graph.library.function)}, whose constants are not read"
    for node in graph.node:
        if node.op != "Const":
            continue
        value = tf.make_ndarray(node.attr["value"].tensor)
        if value.dtype == object:
            said[f"skipped.{node.name}"] = "strings"
            continue
        tensors.append({"name": node.name, "shape": list(value.shape), "dtype": NAMES[value.dtype.name],
                        "sha256": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()})
    files.append({"file": name, "format": "tf_graph", "metadata": said, "tensors": tensors})


def constants(name, values):
    """By TensorFlow's own function that makes tensors' messages."""
    graph = tf.Graph()
    with graph.as_default():
        for key, value in values.items():
            tf.constant(value, name=key)
    write(name, graph)


def listed(name, protos):
    """Tensors whose values are listed by type."""
    graph = graph_pb2.GraphDef()
    graph.versions.producer = 27
    for key, proto in protos.items():
        node = graph.node.add(name=key, op="Const")
        node.attr["dtype"].type = proto.dtype
        node.attr["value"].tensor.CopyFrom(proto)
    write(name, graph)


def proto(value, keep=None):
    """A message with the first `keep` values, listed."""
    kind = tf.dtypes.as_dtype(value.dtype)
    message = tensor_pb2.TensorProto(dtype=kind.as_datatype_enum, tensor_shape=tf.TensorShape(value.shape).as_proto())
    flat = value.ravel()[:keep]
    if kind.name in ("float16", "bfloat16"):
        flat = flat.view(np.uint16)
    if kind.is_complex:
        flat = flat.view(np.float32 if kind.name == "complex64" else np.float64)
    getattr(message, LISTS[kind.name]).extend(flat.tolist())
    return message


def main():
    for path in HERE.glob("*.pb"):
        path.unlink()
    for name, shape in SHAPES.items():
        constants(f"raw_{name}.pb", {f"model/{name}/kernel": numbers(shape), f"{name}_i": numbers(shape, "int64")})
    constants("dtypes.pb", {f"of/{dtype}": numbers([2, 3], dtype) for dtype in NAMES})
    constants("special.pb", {"f32": SPECIAL, "f64": SPECIAL.astype(np.float64), "bf16": SPECIAL.astype(ml_dtypes.bfloat16)})
    constants("strings.pb", {"words": np.array(["a", "bc"], object), "w": numbers([3])})
    listed("listed.pb", {f"of/{dtype}": proto(numbers([2, 3], dtype)) for dtype in NAMES})
    listed("listed_shapes.pb", {name: proto(numbers(shape)) for name, shape in SHAPES.items()})
    listed("listed_special.pb", {"f32": proto(SPECIAL), "f64": proto(SPECIAL.astype(np.float64)),
                                 "f16": proto(np.clip(SPECIAL, -6e4, 6e4).astype(np.float16)),
                                 "i8": proto(np.array([-128, 127], np.int8)), "i16": proto(np.array([-32768, 32767], np.int16)),
                                 "i32": proto(np.array([-2**31, 2**31 - 1], np.int32)),
                                 "i64": proto(np.array([-2**63, 2**63 - 1], np.int64)),
                                 "u64": proto(np.array([0, 2**64 - 1], np.uint64))})
    # A list that is too short: the last value stands for the rest, none for zeros.
    short = {f"of/{dtype}": proto(numbers([3, 4], dtype), 1) for dtype in NAMES}
    listed("repeated_one.pb", short)
    listed("repeated_last.pb", {f"of/{dtype}": proto(numbers([3, 4], dtype), 5) for dtype in NAMES})
    listed("repeated_none.pb", {f"of/{dtype}": proto(numbers([3, 4], dtype), 0) for dtype in NAMES})
    listed("repeated_large.pb", {"zeros": proto(np.zeros([64, 1000], np.float32), 1)})
    constants("filled.pb", {"ones": tf.ones([2, 2]).numpy(), "same": np.full([70], 3, np.int32)})

    # Frozen as programs do it: TensorFlow 1 and 2.
    graph = tf.Graph()
    with graph.as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4, 4, 2], name="input")
        kernel = v1.get_variable("conv/weights", initializer=numbers([3, 3, 2, 2]), use_resource=False)
        bias = v1.get_variable("conv/biases", initializer=numbers([2]), use_resource=False)
        y = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)
        tf.identity(tf.reshape(y, [-1, 32]), name="output")
        session.run(v1.global_variables_initializer())
        write("frozen_1.pb", v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["output"]))

    kernel, bias = tf.Variable(numbers([2, 3]), name="dense/kernel"), tf.Variable(numbers([3]), name="dense/bias")

    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def dense(x):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x @ kernel + bias, lambda: x @ kernel)

    write("frozen_2.pb", convert_variables_to_constants_v2(dense.get_concrete_function(), lower_control_flow=False).graph)
    dense = tf.function(lambda x: tf.nn.relu(x @ kernel + bias), input_signature=[tf.TensorSpec([None, 2])])
    write("frozen_3.pb", convert_variables_to_constants_v2(dense.get_concrete_function()).graph)

    (HERE / "expected.json").write_text("[\n" + ",\n".join(json.dumps(f, ensure_ascii=False) for f in files) + "\n]\n")
    print(len(files), "files", sum(p.stat().st_size for p in HERE.iterdir()), "bytes")


main()
