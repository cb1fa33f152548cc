"""Writes the TensorFlow.js models of this folder and expected.json: python generator.py

Ran with Python 3.11, tensorflowjs 4.22.0 (its module write_weights, with a stand-in for tensorflow, of which it only
opens files), numpy 2.4.6. Expected are the values that TensorFlow.js computes: v * scale + min in double precision,
rounded once. JavaScript modules are written here, as browserify and terser write them.
"""

import base64
import hashlib
import importlib
import json
import re
import sys
import types
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
tensorflow = types.ModuleType("tensorflow")
tensorflow.io = types.SimpleNamespace(gfile=types.SimpleNamespace(GFile=open))
sys.modules["tensorflow"] = tensorflow
# The package's own __init__ imports its converters and all of TensorFlow: only the folder is wanted.
package = types.ModuleType("tensorflowjs")
package.__path__ = [str(Path(path) / "tensorflowjs") for path in sys.path if (Path(path) / "tensorflowjs").is_dir()]
sys.modules["tensorflowjs"] = package
write_weights = importlib.import_module("tensorflowjs.write_weights").write_weights

random = np.random.default_rng(11)
expected = []
NAMES = {"float32": "F32", "int32": "I32", "bool": "BOOL", "uint8": "U8", "uint16": "U16", "complex64": "C64"}
KERAS = {"class_name": "Sequential", "config": {"name": "s", "layers": [
    {"class_name": "Dense", "config": {"name": "dense_1", "units": 3}},
    {"class_name": "Activation", "config": {"name": "out", "activation": "softmax"}}]}}
LAYERS = "Dense dense_1\nActivation out\n"


def floats(*shape):
    return np.asarray(random.standard_normal(shape), np.float32)


def values_of(spec, data):
    """The weight that a manifest entry describes, from the bytes at the start of `data`; and how many they are."""
    count = int(np.prod(spec["shape"], dtype=int))
    quantised = spec.get("quantization")
    stored = np.dtype(quantised["dtype"] if quantised else spec["dtype"])
    raw = np.frombuffer(data, stored, count)
    if not quantised:
        values = raw
    elif stored == np.float16:
        values = raw.astype(np.float32)
    else:
        values = raw.astype(np.float64) * quantised["scale"] + quantised["min"]
        values = np.floor(values + 0.5).astype(np.int32) if spec["dtype"] == "int32" else values.astype(np.float32)
    return values.reshape(spec["shape"]), count * stored.itemsize


def listed(manifest, folder):
    tensors, said = [], {}
    for group in manifest:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        for spec in group["weights"]:
            values, size = values_of(spec, data)
            data = data[size:]
            tensors.append({"name": spec["name"], "shape": spec["shape"], "dtype": NAMES[values.dtype.name],
                            "sha256": hashlib.sha256(values.tobytes()).hexdigest()})
            if "quantization" in spec:
                said["quantised." + spec["name"]] = spec["quantization"]["dtype"]
        assert not data
    return tensors, said


def write(name, groups, shard=4096, quantise=None, model=None, change=lambda manifest: None, ending=None):
    """groups: lists of (name, array). `ending`: of JavaScript modules instead of JSON and bytes."""
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    groups = [[{"name": n, "data": d} for n, d in group] for group in groups]
    manifest = write_weights(groups, str(folder), shard, False, quantise)
    change(manifest)
    tensors, said = listed(manifest, folder)
    if model is None:
        (folder / "weights_manifest.json").write_text(json.dumps(manifest))
        file = "weights_manifest.json"
    else:
        said |= {key: value for key, value in model.items() if isinstance(value, str)}
        whole = json.dumps(model | {"weightsManifest": manifest})
        file = "model" + (ending or ".json")
        (folder / file).write_text(module("model", minified(whole)) if ending else whole)
        if "class_name" in json.dumps(model):
            said |= {"class_name": "Sequential", "layers": LAYERS}
    if ending:
        for path in [path for group in manifest for path in group["paths"]]:
            digits = base64.b64encode((folder / path).read_bytes()).decode()
            (folder / (path + ending)).write_text(module(path, f'"{digits}"'))
            (folder / path).unlink()
    expected.append({"file": f"{name}/{file}", "format": "tfjs", "tensors": tensors, "metadata": said})


def module(name, value):
    return ('!function(e){"object"==typeof exports&&"undefined"!=typeof module?module.exports=e():window["' + name
            + '"]=e()}(function(){return function r(e){return e[1][0]}({1:[function(e,n,t){n.exports=' + value
            + '},{}]},{},[1])(1)});')


def minified(text):
    """JSON as a minifier writes it: names without quotes, !0 and !1, .5, 1e3."""
    text = json.dumps(json.loads(text), separators=(",", ":"))
    text = re.sub(r'"([A-Za-z_]\w*)":', r"\1:", text)
    text = re.sub(r"\btrue\b", "!0", re.sub(r"\bfalse\b", "!1", text))
    text = re.sub(r"(?<![\w.])(-?)0\.(\d)", r"\1.\2", text)
    return re.sub(r"(?<=[\[,])(\d)000(?=[\],])", r"\1e3", text)


layers = {"format": "layers-model", "generatedBy": "keras v2.13.1", "convertedBy": "TensorFlow.js Converter v4.22.0",
          "modelTopology": {"keras_version": "2.13.1", "backend": "tensorflow", "model_config": KERAS}}
graph = {"format": "graph-model", "generatedBy": "2.13.1", "convertedBy": "x", "modelTopology": {
    "node": [{"name": "w", "op": "Const", "attr": {"dtype": {"type": "DT_FLOAT"}}}], "versions": {"producer": 1}}}
special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1.5], np.float32)
write("float32", [[("dense_1/kernel", floats(2, 3)), ("dense_1/bias", floats(3))]], model=layers)
write("special", [[("x", special)]], model=layers)
write("int32", [[("x", np.array([-2**31, -1, 0, 2**31 - 1], np.int32)), ("y", np.array(7, np.int32))]], model=graph)
write("bool", [[("x", np.array([[True], [False]])), ("y", floats(2))]], model=graph)
write("bytes", [[("x", np.array([0, 128, 255], np.uint8)), ("y", np.array([0, 65535], np.uint16))]], model=graph)
write("complex", [[("x", (floats(2) + 1j * floats(2)).astype(np.complex64))]], model=graph)
write("ranks", [[(f"rank{n}", floats(*[1, 2, 3, 1, 2, 2][:n])) for n in range(7)]], model=graph)
write("empty", [[("none", floats(0, 3)), ("some", floats(2)), ("none2", floats(2, 0))]], model=graph)
write("straddle", [[("x", floats(3)), ("y", floats(2, 2))]], 5, model=graph)
write("bytewise", [[("x", floats(2))]], 1, model=graph)
write("groups", [[("x", floats(3))], [("y", floats(2)), ("z", floats(1))]], 8, model=layers)
write("manifest", [[("x", floats(3))]])
write("uint8", [[("x", floats(2, 5)), ("y", floats(1))]], quantise={"uint8": True}, model=layers)
write("uint16", [[("x", floats(3, 4)), ("y", np.full(3, 2.5, np.float32))]], quantise={"uint16": True}, model=layers)
write("float16", [[("x", floats(7)), ("special", special)]], quantise={"float16": True}, model=graph)
write("mixed", [[("a", floats(5)), ("b", floats(3)), ("c", floats(4)), ("d", np.arange(3, dtype=np.int32)), ("e", floats(2))]],
      quantise={"uint8": "a", "uint16": "b", "float16": "c"}, model=graph)


def integers(manifest):
    """Quantised integers, whose halves are rounded up; the converter does not write them, TensorFlow.js reads them."""
    manifest[0]["weights"][0] |= {"dtype": "int32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -3.0}}


def extremes(manifest):
    """Numbers of which a rounding on the way would show."""
    manifest[0]["weights"][0]["quantization"] |= {"scale": 1963169733975448e-20, "min": -0.0023754353781102917}


write("int32-uint8", [[("x", np.arange(12, dtype=np.uint8))]], model=graph, change=integers)
write("extremes", [[("x", floats(64))]], quantise={"uint8": True}, model=graph, change=extremes)
write("module", [[("dense_1/kernel", floats(2, 3)), ("dense_1/bias", floats(3))]], 5, model=layers | {"trained": True}, ending=".js")
write("module-uint8", [[("x", floats(5, 2)), ("y", floats(3)), ("z", np.zeros(1000, np.float32))]], 512,
      quantise={"uint8": True}, model=layers, ending=".min.js")
write("module-one", [[("x", floats(1)), ("y", np.array([True]))]], model=graph, ending=".min.js")

lines = ",\n".join(json.dumps(e) for e in expected)
(HERE / "expected.json").write_text(f"[\n{lines}\n]\n")
