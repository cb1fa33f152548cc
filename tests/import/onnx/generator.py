"""Models written by the onnx package, PyTorch's exporter and onnxruntime's quantiser, with their tensors: expected.json.

    "$(scripts/judges | tail -n 1)" tests/import/onnx/generator.py

Ran with onnx 1.23.2, torch 2.15.0, onnxruntime 1.32.0, numpy 2.4.6. The names that tensors get where the exporter lost them
are written down here by hand, from the modules of the models below.
"""

import hashlib
import json
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

HERE = Path(__file__).resolve().parent
warnings.simplefilter("ignore")
DTYPES = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int8": "I8", "uint8": "U8",
          "int16": "I16", "uint16": "U16", "int32": "I32", "uint32": "U32", "int64": "I64", "uint64": "U64", "bool": "BOOL",
          "complex64": "C64", "complex128": "C128", "float8_e4m3fn": "F8_E4M3", "float8_e4m3fnuz": "F8_E4M3FNUZ",
          "float8_e5m2": "F8_E5M2", "float8_e5m2fnuz": "F8_E5M2FNUZ"}
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


def entry(name, value):
    return {"name": name, "shape": list(value.shape), "dtype": DTYPES[value.dtype.name],
            "sha256": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}


def expect(file, names=None, floats=None, said=None, unread=()):
    """The initialisers, then in order of nodes the constants and the other names of tensors. `names`: old name -> new;
    `floats`: old name -> the dequantised tensor."""
    graph = onnx.load(HERE / file).graph
    names, floats, said, known, tensors = names or {}, floats or {}, dict(said or {}), {}, []
    for initializer in graph.initializer:
        if initializer.name not in unread:
            known[initializer.name] = numpy_helper.to_array(initializer, base_dir=str(HERE))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                known[node.output[0]] = numpy_helper.to_array(attribute.t)
        if node.op_type == "Identity" and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
    assert set(names) | set(floats) <= set(known), (set(names) | set(floats)) - set(known)
    for name, value in known.items():
        tensors.append(entry(names.get(name, name), floats.get(name, value)))
        if name in names:
            said[f"renamed.{names[name]}"] = name
    files.append({"file": file, "format": "onnx", "metadata": said, "tensors": tensors})


def model(name, initializers, nodes=(), outputs=(), opset=21, **more):
    ports = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 4])]
    graph = helper.make_graph(list(nodes), "g", inputs, ports, initializer=initializers)
    built = helper.make_model(graph, producer_name="generator", opset_imports=[helper.make_opsetid("", opset)])
    onnx.save(built, HERE / name, **more)
    return built


def raw(name, value):
    return numpy_helper.from_array(value, name)


def listed(name, value):
    """The values in the list of their type."""
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    tensor = helper.make_tensor(name, kind, value.shape, value.ravel())
    assert not tensor.raw_data
    return tensor


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return self.bn1(self.conv1(x)) + self.downsample(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(Block(2, 3), Block(3, 2))
        self.fc = nn.Linear(4, 5)
        self.act = nn.PReLU(5)

    def forward(self, x):
        return self.act(self.fc(self.layer1(x).flatten(2)).transpose(1, 2))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        self.norm = nn.LayerNorm(3)

    def forward(self, x):
        return self.norm(self.query(x) @ self.key(x).transpose(1, 2) @ x)


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = nn.Embedding(7, 3)
        self.layer = nn.ModuleList([Attention(), Attention()])
        self.pooler = nn.Linear(3, 2)

    def forward(self, ids):
        x = self.embeddings(ids)
        for layer in self.layer:
            x = layer(x)
        return torch.tanh(self.pooler(x[:, 0]))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTM(3, 2, batch_first=False), nn.GRU(2, 2, bidirectional=True)

    def forward(self, x):
        return self.gru(self.lstm(x)[0])[0]


def export(name, module, example, names=None, **more):
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -1, 1)
    module.eval()
    torch.onnx.export(module, example, HERE / name, dynamo=False, opset_version=more.pop("opset", 17), **more)
    lost = [i.name for i in onnx.load(HERE / name).graph.initializer if i.name.startswith("onnx::")]
    # The exporter counts, so the old names are those that are there, in order.
    assert not names or len(lost) == len(names), lost
    return lost


def dequantised(weight, scale, zero=None, axis=None):
    """By the reference implementation of the onnx package."""
    tensors = [raw("w", weight), raw("s", scale)] + ([raw("z", zero)] if zero is not None else [])
    node = helper.make_node("DequantizeLinear", [t.name for t in tensors], ["y"], **({} if axis is None else {"axis": axis}))
    kind = helper.np_dtype_to_tensor_dtype(scale.dtype)
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", kind, None)], tensors)
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    return ReferenceEvaluator(built).run(None, {})[0].astype(np.float32)


def quantised():
    node = helper.make_node
    cases = {
        "per_tensor": (numbers([3, 4], "int8"), np.float32(0.37), np.int8(-3), None),
        "per_axis_0": (numbers([3, 2, 2], "int8"), np.array([0.1, 2.5, 1e-3], np.float32), np.zeros(3, np.int8), 0),
        "per_axis_1": (numbers([2, 3, 2], "uint8"), np.array([0.1, 2.5, 1e-3], np.float32), np.array([0, 128, 255], np.uint8), None),
        "per_last": (numbers([2, 3], "uint8"), np.array([0.1, 2.5, 1e-3], np.float32), np.array([7, 8, 9], np.uint8), -1),
        "no_zero": (numbers([4], "int8"), np.array([0.3], np.float32)[0], None, None),
        "bias": (np.array([2**31 - 1, -2**31, 12345678], np.int32), np.array([1e-4, 3e-5, 7e-6], np.float32), None, 0),
        "wide": (numbers([3], "int16"), np.float32(0.011), np.int16(-20), None),
    }
    initializers, nodes, floats, said, names = [], [], {}, {}, {}
    for name, (weight, scale, zero, axis) in cases.items():
        initializers += [raw(f"{name}_quantized", np.asarray(weight)), raw(f"{name}_scale", np.asarray(scale))]
        inputs = [f"{name}_quantized", f"{name}_scale"]
        if zero is not None:
            initializers.append(raw(f"{name}_zero_point", np.asarray(zero)))
            inputs.append(f"{name}_zero_point")
        nodes.append(node("DequantizeLinear", inputs, [f"{name}_dq"], name=name, **({} if axis is None else {"axis": axis})))
        floats[inputs[0]] = dequantised(np.asarray(weight), np.asarray(scale), None if zero is None else np.asarray(zero), axis)
        names[inputs[0]] = name
    said["quantised.per_axis_1"] = "U8 along axis 1, scale per_axis_1_scale, zero point per_axis_1_zero_point"
    model("quantised.onnx", initializers, nodes, [f"{name}_dq" for name in cases])
    expect("quantised.onnx", names, floats, said)

    weight, scale = numbers([2, 2, 1, 1], "int8"), np.array([0.5, 0.25], np.float32)
    nodes = [node("DequantizeLinear", ["onnx::Conv_9", "s"], ["dq"], axis=0),
             node("Conv", ["x", "dq"], ["y"], name="/features/features.0/Conv")]
    model("quantised_lost.onnx", [raw("onnx::Conv_9", weight), raw("s", scale), raw("alone", weight)], nodes, ["y"])
    expect("quantised_lost.onnx", {"onnx::Conv_9": "features.0.weight"}, {"onnx::Conv_9": dequantised(weight, scale, None, 0)})

    half = np.array(0.3, np.float16)
    nodes = [node("DequantizeLinear", ["w", "s"], ["dq"]), node("DequantizeLinear", ["b", "bs"], ["db"], axis=0, block_size=2)]
    model("quantised_half.onnx", [raw("w", numbers([5], "int8")), raw("s", half), raw("b", numbers([4], "int8")),
                                  raw("bs", np.ones(2, np.float32))], nodes, ["dq", "db"])
    exact = numbers([5], "int8").astype(np.float32) * np.float32(half)
    expect("quantised_half.onnx", floats={"w": exact}, said={"quantised.b": "I8 with scales of the shape [2]"})


def quantised_by_onnxruntime():
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = [{"x": numbers([1, 2, 5, 5]) / 60}]

        def get_next(self):
            return self.left.pop() if self.left else None

    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 2))
    export("before.onnx", net, torch.zeros(1, 2, 5, 5), input_names=["x"])
    for file, per_channel, kind in [("onnxruntime.onnx", False, QuantType.QUInt8), ("onnxruntime_axis.onnx", True, QuantType.QInt8)]:
        quantize_static(HERE / "before.onnx", HERE / file, Reader(), quant_format=QuantFormat.QDQ, per_channel=per_channel,
                        weight_type=kind, activation_type=QuantType.QUInt8)
        graph = onnx.load(HERE / file).graph
        known = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        floats, names = {}, {}
        for node in graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] in known:
                axis = next((a.i for a in node.attribute if a.name == "axis"), None)
                floats[node.input[0]] = dequantised(*[known[i] for i in node.input], axis=axis)
                names[node.input[0]] = node.input[0].removesuffix("_quantized")
        assert sorted(names.values()) == ["0.bias", "0.weight", "3.bias", "3.weight"], names
        expect(file, names, floats, {"producer": "onnx.quantize"})
    (HERE / "before.onnx").unlink()


def main():
    for path in HERE.iterdir():
        if path.suffix not in (".py", ".md", ".json"):
            path.unlink()
    said = {"producer": "generator", "opset": "21", "input.x": "F32[?, 2, 4]"}
    model("raw_shapes.onnx", [raw(name, numbers(shape)) for name, shape in SHAPES.items()])
    expect("raw_shapes.onnx", said=said)
    model("listed_shapes.onnx", [listed(name, numbers(shape)) for name, shape in SHAPES.items()])
    expect("listed_shapes.onnx", said=said)
    model("raw_dtypes.onnx", [raw(dtype, numbers([2, 3], dtype)) for dtype in DTYPES])
    expect("raw_dtypes.onnx")
    whole = [dtype for dtype in DTYPES if not dtype.startswith("float8")]
    model("listed_dtypes.onnx", [listed(dtype, numbers([2, 3], dtype)) for dtype in whole])
    expect("listed_dtypes.onnx")
    limits = [np.array([np.iinfo(d).min, np.iinfo(d).max], d) for d in DTYPES if "int" in d]
    model("limits.onnx", [listed(v.dtype.name, v) for v in limits])
    expect("limits.onnx")
    special = {"f32": SPECIAL, "f64": SPECIAL.astype(np.float64), "f16": np.clip(SPECIAL, -6e4, 6e4).astype(np.float16),
               "bf16": SPECIAL.astype(ml_dtypes.bfloat16)}
    model("special.onnx", [raw(n, v) for n, v in special.items()] + [listed(n + "_listed", v) for n, v in special.items()])
    expect("special.onnx")
    model("float8.onnx", [helper.make_tensor(f"of_{k}", k, [2], [1.0, -2.0]) for k in (17, 18, 19, 20)])
    expect("float8.onnx")
    four = helper.make_tensor("four", TensorProto.INT4, [4], [1, -2, 3, 4])
    model("unread.onnx", [helper.make_tensor("words", TensorProto.STRING, [2], ["a", "b"]), four, raw("größe/ß:0", numbers([2]))])
    expect("unread.onnx", unread=["words", "four"], said={"skipped.words": "strings", "skipped.four": "integers of 4 bits"})
    constant = [helper.make_node("Constant", [], [f"/a/Constant_{i}_output_0"], value=raw("", numbers([i, 2]))) for i in range(3)]
    constant.append(helper.make_node("Constant", [], ["w_const"], value=listed("ignored", numbers([2, 2], "float64"))))
    constant.append(helper.make_node("Conv", ["x", "/a/Constant_2_output_0"], ["y"], name="/a/conv/Conv"))
    constant.append(helper.make_node("Identity", ["w_const"], ["w_other"]))
    model("constants.onnx", [raw("b", numbers([3]))], constant, ["y"])
    expect("constants.onnx", {"/a/Constant_2_output_0": "a.conv.weight"})

    # Values in files beside the model.
    parts = [raw(f"layer.{i}.weight", numbers([3, i + 1], seed=i)) for i in range(3)]
    for file, more in [("external.onnx", {"location": "external.bin"}), ("external_each.onnx", {"all_tensors_to_one_file": False})]:
        built = helper.make_model(helper.make_graph([], "g", [], [], initializer=parts))
        onnx.save_model(built, HERE / file, save_as_external_data=True, size_threshold=16, **more)
        expect(file)

    # Names: kept, lost, taken.
    node = helper.make_node
    lost = [("497", numbers([2, 4])), ("498", numbers([2])), ("onnx::MatMul_5", numbers([4, 3])), ("6", numbers([3])),
            ("onnx::Conv_7", numbers([2, 2, 1])), ("b.weight", numbers([1])), ("onnx::Conv_8", numbers([2, 2, 1])),
            ("onnx::Gemm_9", numbers([4, 2])), ("onnx::Mul_10", numbers([1]))]
    nodes = [node("Gemm", ["x", "497", "498"], ["a"], name="/classifier/classifier.6/Gemm", transB=1),
             node("MatMul", ["x", "onnx::MatMul_5"], ["m"], name="/bert/encoder/layer.0/query/MatMul"), node("Add", ["m", "6"], ["n"]),
             node("Conv", ["x", "onnx::Conv_7"], ["c"], name="/b/Conv"), node("Conv", ["x", "onnx::Conv_8"], ["d"], name="Conv_3"),
             node("Gemm", ["x", "onnx::Gemm_9"], ["e"], name="/head/Gemm"), node("Mul", ["x", "onnx::Mul_10"], ["f"], name="/s/Mul"),
             node("Conv", ["x", "onnx::Conv_7"], ["g"], name="/again/Conv")]
    model("lost.onnx", [raw(n, v) for n, v in lost], nodes, list("acdefgmn"))
    expect("lost.onnx", {"497": "classifier.6.weight", "498": "classifier.6.bias", "onnx::Gemm_9": "head.weight",
                         "onnx::MatMul_5": "bert.encoder.layer.0.query.weight"},
           said={"layout.bert.encoder.layer.0.query.weight": "in,out", "layout.head.weight": "in,out"})
    old = helper.make_model(helper.make_graph([], "g", [helper.make_tensor_value_info("w", 1, [2]),
                                                        helper.make_tensor_value_info("in", 10, [1, 3])], [], [raw("w", numbers([2]))]))
    old.ir_version = 3
    onnx.save(old, HERE / "old.onnx")
    expect("old.onnx", said={"ir_version": "3", "input.in": "F16[1, 3]"})

    # PyTorch's exporter.
    block = ["layer1.0.conv1", "layer1.0.downsample.0", "layer1.1.conv1", "layer1.1.downsample.0"]
    names = [f"{b}.{r}" for b in block for r in ("weight", "bias")] + ["fc.weight", "act.weight"]
    found = export("torch_resnet.onnx", Net(), torch.zeros(1, 2, 6, 6), names)
    expect("torch_resnet.onnx", dict(zip(found, names)), said={"producer": "pytorch", "layout.fc.weight": "in,out"})
    net = Net()
    for module in net.modules():  # equal biases are kept once
        if isinstance(module, nn.BatchNorm2d):
            module.register_parameter("bias", None), module.register_parameter("weight", None)
    export("torch_shared.onnx", net, torch.zeros(1, 2, 6, 6))
    graph = onnx.load(HERE / "torch_shared.onnx").graph
    consumer = {i: (n.name, k) for n in reversed(graph.node) if n.op_type != "Identity" for k, i in enumerate(n.input)}
    lost = [i.name for i in graph.initializer if i.name.startswith("onnx::")] + [n.output[0] for n in graph.node if n.op_type == "Identity"]
    by_node = {f"/layer1/{b.rsplit('.', 1)[0]}/{b.rsplit('.', 1)[1]}/Conv": b for b in block[::2]}
    by_node |= {f"/layer1/layer1.{i}/downsample/downsample.0/Conv": block[2 * i + 1] for i in range(2)}
    by_node |= {"/fc/MatMul": "fc", "/act/PRelu": "act"}
    names = {old: f"{by_node[consumer[old][0]]}.{['weight', 'bias'][consumer[old][1] - 1]}" for old in lost if consumer[old][0] in by_node}
    expect("torch_shared.onnx", names)
    names = ["layer.0.query.weight", "layer.0.key.weight", "layer.1.query.weight", "layer.1.key.weight"]
    found = export("torch_text.onnx", Text(), torch.zeros(1, 4, dtype=torch.int64), names)
    expect("torch_text.onnx", dict(zip(found, names)), said={"layout.layer.1.key.weight": "in,out"})
    export("torch_recurrent.onnx", Recurrent(), torch.zeros(2, 1, 3))
    nodes = {n.op_type.lower(): n for n in onnx.load(HERE / "torch_recurrent.onnx").graph.node}
    expect("torch_recurrent.onnx", {old: f"{m}.{r}" for m in ("lstm", "gru") for old, r in zip(nodes[m].input[1:4], "WRB")})
    export("torch_training.onnx", Net(), torch.zeros(1, 2, 6, 6), training=torch.onnx.TrainingMode.PRESERVE,
           do_constant_folding=False, keep_initializers_as_inputs=True, opset=11)
    expect("torch_training.onnx")
    export("torch_half.onnx", nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(2, 2)).half(), torch.zeros(1, 1, 1, 1).half())
    expect("torch_half.onnx")
    quantised()
    quantised_by_onnxruntime()
    (HERE / "expected.json").write_text("[\n" + ",\n".join(json.dumps(f, ensure_ascii=False) for f in files) + "\n]\n")
    print(len(files), "files", sum(p.stat().st_size for p in HERE.iterdir()), "bytes")


main()
