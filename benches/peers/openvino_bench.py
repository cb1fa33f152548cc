"""OpenVINO, a side of the speed tests: a server that answers as onnx_bench.py does, from the same ONNX files.

Threads: OMP_NUM_THREADS, by default 2. The precision is the work's; with the argument `default` it is OpenVINO's own, which is
bf16 where the processor has it.
"""

import os
import sys

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))

from models import exported, parse, serve  # noqa: E402


def build(line):
    import openvino

    precision = parse(line)[3]
    if precision == "int8":
        raise ValueError("no int8 without data to calibrate with")
    path, inputs = exported(line)
    settings = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
    if "default" not in sys.argv:
        settings["INFERENCE_PRECISION_HINT"] = precision
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda: request.infer(inputs)


if __name__ == "__main__":
    serve(build)
