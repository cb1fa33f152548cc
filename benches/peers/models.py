"""What the Python peers share: the models and inputs of a work, and the server.

A work is `MODEL KIND SIZE`: a network of torchvision and a batch, or `bert-base` or `minilm` and texts, such as `8x128`; for
`8x8-128` the texts have 8 to 128 tokens and are padded.
"""

import pathlib
import sys
import time

import numpy as np

FILES = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "bench"


def image_model(name):
    import torchvision

    extra = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return getattr(torchvision.models, name)(**extra).eval()


def image_size(name):
    return 299 if name == "inception_v3" else 224


def images(name, batch):
    size = image_size(name)
    return np.random.default_rng(0).standard_normal((batch, 3, size, size)).astype(np.float32)


def text_model(name):
    from transformers import BertConfig, BertModel

    small = dict(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    return BertModel(BertConfig(attn_implementation="eager", **({} if name == "bert-base" else small)), add_pooling_layer=False).eval()


def lengths(size):
    """The lengths of the texts of a size, and whether they differ."""
    batch, tokens = size.split("x")
    least, _, most = tokens.partition("-")
    batch = int(batch)
    if not most:
        return [int(least)] * batch
    least, most = int(least), int(most)
    return [least + (most - least) * i // max(batch - 1, 1) for i in range(batch)]


def texts(size):
    """Ids and mask."""
    count = lengths(size)
    ids = np.zeros((len(count), max(count)), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(count):
        ids[row, :length] = 1000 + np.arange(length) * 7919 % 20000
        mask[row, :length] = 1
    return ids, mask


def exported(line):
    """The path of an ONNX file of the work's model, made if need be, and the inputs by name."""
    model, kind, size = line.split()
    if kind != "infer":
        raise ValueError(f"no {kind}")
    FILES.mkdir(parents=True, exist_ok=True)
    text = model in ("bert-base", "minilm")
    inputs = dict(zip(("ids", "mask"), texts(size))) if text else {"x": images(model, int(size))}
    path = FILES / f"{model}-{size}.onnx"
    if not path.exists():
        import torch

        net = text_model(model) if text else image_model(model)

        class Plain(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = net

            def forward(self, *x):
                return self.net(input_ids=x[0], attention_mask=x[1]).last_hidden_state if text else self.net(*x)

        arguments = tuple(torch.from_numpy(x) for x in inputs.values())
        with torch.no_grad():
            torch.onnx.export(Plain().eval(), arguments, path.with_suffix(".tmp"), input_names=list(inputs), opset_version=17, dynamo=False)
        path.with_suffix(".tmp").rename(path)
    return str(path), inputs


def status(key):
    """A value in bytes of /proc/self/status."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def serve(name, build):
    """Answers each line, a work, with the milliseconds of one run, and the most megabytes that are resident."""
    current, run = None, None
    for line in sys.stdin:
        line = line.strip()
        if line in ("", "quit"):
            break
        try:
            if line != current:
                current, run = None, None  # free the work before: one at a time
                run = build(line)
                run(), run()
                current = line
            start = time.perf_counter()
            run()
            print(f"{1e3 * (time.perf_counter() - start):.3f} {status('VmHWM') / 1e6:.1f}", flush=True)
        except (ValueError, RuntimeError, ImportError) as error:
            print(f"error: {str(error).splitlines()[0]}", flush=True)
