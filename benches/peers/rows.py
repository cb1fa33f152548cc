"""The rows of the table: which works are measured, against whom, and what is set out for."""

from collections import namedtuple

# The work, its precision, the peers the fastest of which counts, further ones that are shown, and the least ratio.
Row = namedtuple("Row", "work precision peers shown goal")

TORCH = ("torch", "torch channels_last")
RUST = ("candle", "burn", "tract")
NAMES = ("torch", "onnxruntime", "openvino", *RUST)
RUST_GOAL = 1.5
MEMORY_GOAL = 1.6
FIRST = "resnet50 first 1 f32"
FIRST_GOALS = {"torch": 10, "onnxruntime": 2, "openvino": 2}
TEXT = ("bert-base", "minilm")


def rows():
    def add(model, kind, sizes, precision, peers, goal, shown=()):
        for size in sizes:
            fit = [peer for peer in peers if model not in TEXT or peer != "torch channels_last"]
            yield Row(f"{model} {kind} {size}", precision, fit, shown, goal)

    def infer(model, sizes, goal):
        yield from add(model, "infer", sizes, "f32", ("onnxruntime", "openvino", *TORCH, "torch compile"), goal, ("openvino default", *RUST))

    def bf16(model, size, goal):
        yield from add(model, "infer", [size], "bf16", ("openvino", *TORCH, "torch compile"), goal)

    yield from infer("resnet50", (1, 8), 1.1)
    yield from infer("vgg16", (1, 8), 1.4)
    for model in ("inception_v3", "googlenet", "resnet18"):
        yield from infer(model, (1, 8), 1.1)
    yield from infer("bert-base", ("1x128", "8x128"), 1.0)
    yield from infer("bert-base", ["8x8-128"], 1.6)
    yield from infer("minilm", ("1x128", "8x128", "32x128"), 1.1)
    yield from bf16("resnet50", 8, 1.0)
    yield from bf16("bert-base", "8x128", 1.0)
    yield from bf16("minilm", "32x128", 1.0)
    yield from bf16("bert-base", "8x8-128", 1.6)
    yield from bf16("minilm", "32x8-128", 1.6)
    yield from add("bert-base", "infer", ["8x128"], "int8", ["onnxruntime"], 1.0)
    yield from add("bert-base", "infer", ["8x8-128"], "int8", ["onnxruntime"], 1.6)
    for model, size in (("resnet18", 16), ("resnet50", 8), ("vgg16", 4), ("inception_v3", 4), ("bert-base", "8x128"), ("minilm", "32x128")):
        # tract does not train, and the networks of candle-transformers do not.
        yield from add(model, "train", [size], "f32", (*TORCH, "torch compile"), 1.1 if model == "resnet18" else 1.2, ["burn"])
    for model, size in (("resnet50", 8), ("bert-base", "8x128"), ("minilm", "32x128")):
        yield from add(model, "train", [size], "bf16", TORCH, 1.1)
    yield from add("resnet50", "frozen", [16], "f32", TORCH, 1.3, RUST[:2])
    yield from add("bert-base", "frozen", ["8x128"], "f32", TORCH, 1.3, RUST[:2])
