"""ONNX Runtime, a side of the paired speed tests: a server that answers as torch_bench.py does.

Works: `MODEL infer N` for the networks of torchvision, `bert-base infer 8x128`, `minilm infer 32x128`. A model is exported
once into .cache/bench. Threads: OMP_NUM_THREADS, by default 2.
"""

import os
import pathlib
import sys

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))

import numpy as np  # noqa: E402

from models import FILES, exported, serve  # noqa: E402


def build(line):
    import onnxruntime

    path, inputs = exported(line)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


if __name__ == "__main__":
    serve("onnxruntime", build)
