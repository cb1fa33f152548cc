"""OpenVINO, a side of the speed tests: a server that answers as onnx_bench.py does, from the same ONNX files.

Threads: OMP_NUM_THREADS, by default 2. f32 is forced: OpenVINO itself would take bf16 where the processor has it.
"""

import os

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))

from models import exported, serve  # noqa: E402


def build(line):
    import openvino

    path, inputs = exported(line)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda: request.infer(inputs)


if __name__ == "__main__":
    serve("openvino", build)
