"""What the Python peers share: the models and inputs of a work, and the server.

A work is `MODEL KIND SIZE [PRECISION]`: a network of torchvision and a batch, or `bert-base` or `minilm` and texts, such as
`8x128`; for `8x8-128` the texts have 8 to 128 tokens and are padded. Kinds: infer, train, frozen. Precisions: f32, bf16, int8.

    models.py WORK...    exports the models of these works to ONNX, into .cache/bench
"""

import pathlib
import sys
import time

import numpy as np

FILES = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "bench"
TEXT = ("bert-base", "minilm")


def parse(line):
    """Model, kind, size and precision of a work."""
    words = line.split()
    if len(words) not in (3, 4):
        raise ValueError(f"no work {line}")
    return words if len(words) == 4 else [*words, "f32"]


def image_model(name, aux=False):
    import torchvision

    extra = {"aux_logits": aux, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return getattr(torchvision.models, name)(**extra).eval()


def images(name, batch):
    size = 299 if name == "inception_v3" else 224
    return np.random.default_rng(0).standard_normal((batch, 3, size, size)).astype(np.float32)


def text_config(name, **more):
    from transformers import BertConfig

    small = dict(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    return BertConfig(**({} if name == "bert-base" else small), **more)


def text_model(name, **more):
    from transformers import BertModel

    return BertModel(text_config(name, **more), add_pooling_layer=False).eval()


def lengths(size):
    """The lengths of the texts of a size."""
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
    model, kind, size, precision = parse(line)
    if kind != "infer":
        raise ValueError(f"no {kind}")
    FILES.mkdir(parents=True, exist_ok=True)
    inputs = dict(zip(("ids", "mask"), texts(size))) if model in TEXT else {"x": images(model, int(size))}
    path = FILES / f"{model}-{size}.onnx"
    if not path.exists():
        export(model, inputs, path)
    if precision == "int8":
        path, plain = path.with_suffix(".int8.onnx"), path
        if not path.exists():
            from onnxruntime.quantization import quantize_dynamic

            quantize_dynamic(plain, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").rename(path)
    return str(path), inputs


def export(model, inputs, path):
    import torch

    text = model in TEXT
    net = text_model(model, attn_implementation="eager") if text else image_model(model)

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


def status(key):
    """A value in bytes of /proc/self/status."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def warm_up(run):
    """Runs twice, once if that took a second; how many bytes were resident before."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak (VmHWM) is now what is resident
    before, start = status("VmRSS"), time.perf_counter()
    run()
    if time.perf_counter() - start < 1:
        run()
    return before


def serve(build):
    """Answers each line, a work, with the milliseconds of one run, and by how many megabytes the process grew at most in all of
    its runs, of which there are two at least."""
    current, run, before = None, None, 0
    for line in sys.stdin:
        line = line.strip()
        if line in ("", "quit"):
            break
        try:
            if line != current:
                current, run = None, None  # free the work before: one at a time
                run = build(line)
                before = warm_up(run)
                current = line
            start = time.perf_counter()
            run()
            milliseconds = 1e3 * (time.perf_counter() - start)
            print(f"{milliseconds:.3f} {(status('VmHWM') - before) / 1e6:.1f}", flush=True)
        except Exception as error:  # whatever a peer cannot do is its answer
            print(f"error: {(str(error).strip() or repr(error)).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    for work in sys.argv[1:]:
        print(exported(work)[0], flush=True)
