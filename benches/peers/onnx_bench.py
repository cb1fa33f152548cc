"""ONNX Runtime, a side of the speed tests: a server that answers with the milliseconds of one run of a work (see models.py).

A model is exported once into .cache/bench; for int8 its products are quantised dynamically by onnxruntime.quantization.
Threads: OMP_NUM_THREADS, by default 2.
"""

import os

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))

from models import exported, parse, serve  # noqa: E402


def build(line):
    import onnxruntime

    if parse(line)[3] == "bf16":
        raise ValueError("no bf16 on a CPU")
    path, inputs = exported(line)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


if __name__ == "__main__":
    serve(build)
