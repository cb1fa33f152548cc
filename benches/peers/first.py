"""The peers' sides of the race from process start to the first prediction of ResNet-50 from disk.

    first.py torch|onnxruntime|openvino    prints the class of one picture
    first.py write                         writes resnet50.safetensors for torch and ukulele; prints its path

The files are in .cache/bench; models.py exports the ONNX file. Threads: OMP_NUM_THREADS.
"""

import os
import pathlib
import sys

import numpy as np

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))
FILES = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "bench"
WEIGHTS, ONNX = FILES / "resnet50.safetensors", str(FILES / "resnet50-1.onnx")


def torch_net():
    import torchvision

    return torchvision.models.resnet50().eval()


def predict(who, x):
    if who == "torch":
        import torch
        from safetensors.torch import load_file

        torch.set_num_threads(THREADS)
        with torch.device("meta"):
            net = torch_net()
        net.load_state_dict(load_file(WEIGHTS), assign=True)
        with torch.inference_mode():
            return net(torch.from_numpy(x)).numpy()
    if who == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
        return onnxruntime.InferenceSession(ONNX, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
    return openvino.Core().compile_model(ONNX, "CPU", settings).create_infer_request().infer({"x": x})[0]


if __name__ == "__main__":
    if sys.argv[1] == "write":
        if not WEIGHTS.exists():
            from safetensors.torch import save_file

            FILES.mkdir(parents=True, exist_ok=True)
            save_file(torch_net().state_dict(), WEIGHTS.with_suffix(".tmp"))
            WEIGHTS.with_suffix(".tmp").rename(WEIGHTS)
        print(WEIGHTS)
    else:
        x = (np.arange(3 * 224 * 224, dtype=np.float32) % 255 / 255).reshape(1, 3, 224, 224)
        print(predict(sys.argv[1], x).argmax(), flush=True)
