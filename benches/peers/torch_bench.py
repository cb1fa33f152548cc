"""PyTorch eager, the other side of the paired speed tests: a server over standard input and output.

Reads lines, answers each with one line:

    resnet50 infer 8        one timed inference of a batch of 8 at 224x224
    resnet50 train 8        one timed training step: forward, cross-entropy, backward, SGD with momentum
    bert-base infer 8x128   one timed inference of 8 texts of 128 tokens, 2 classes
    bert-base train 8x128   one timed training step with AdamW, dropout as configured (0.1)
    resnet50 load pth       torch.load of a state_dict and load_state_dict into a model that is there
    bert-base load safetensors
                            load_file and load_state_dict into a model that is there
    quit                    leave

The answer is the time of that one iteration in milliseconds and by how many megabytes the process grew at most in the
first run of the work, or "error: ..". The first request of a work builds it, warms it
up, and for ResNet-50 times both memory layouts once and keeps the faster. The works `resnet50 trunk 16` (frozen trunk, new
last layer) and other batch sizes follow the same form. Threads: OMP_NUM_THREADS, by default 2. The files to load are written to
.cache/bench, where our side reads them.
"""

import os
import pathlib
import sys
import time

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))
FILES = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "bench"

import torch  # noqa: E402
import torchvision  # noqa: E402
from models import status  # noqa: E402
from transformers import BertConfig, BertForSequenceClassification  # noqa: E402


def resnet50(kind, size, layout):
    net = torchvision.models.resnet50().to(memory_format=layout)
    x = torch.randn(size, 3, 224, 224).contiguous(memory_format=layout)
    if kind == "infer":
        return inference(net.eval(), x)
    y = torch.randint(0, 1000, (size,))
    if kind == "trunk":
        # What a frozen trunk costs in torch: parameters without gradient, batch norm by its statistics, a fresh last layer.
        net.requires_grad_(False).eval()
        net.fc.requires_grad_(True)
    else:
        net.train()
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=1e-3, momentum=0.9)
    return training(optimiser, lambda: torch.nn.functional.cross_entropy(net(x), y))


def bert_base(kind, size, layout):
    batch, tokens = size
    net = BertForSequenceClassification(BertConfig(num_labels=2))
    ids = torch.randint(1000, 30000, (batch, tokens))
    mask = torch.ones_like(ids)
    if kind == "infer":
        net.eval()
        return inference(lambda x: net(input_ids=x, attention_mask=mask).logits, ids)
    y = torch.randint(0, 2, (batch,))
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-5)
    return training(optimiser, lambda: net(input_ids=ids, attention_mask=mask, labels=y).loss)


def loading(model):
    """Opening a file of weights and filling a model that is there."""
    FILES.mkdir(parents=True, exist_ok=True)
    if model == "resnet50":
        net, path = torchvision.models.resnet50(), FILES / "resnet50.pth"
        torch.save(net.state_dict(), path)
        return lambda: net.load_state_dict(torch.load(path, weights_only=True))
    import safetensors.torch

    net, path = BertForSequenceClassification(BertConfig(num_labels=2)), FILES / "bert-base" / "model.safetensors"
    net.save_pretrained(path.parent)
    return lambda: net.load_state_dict(safetensors.torch.load_file(path))


def inference(net, x):
    def run():
        with torch.inference_mode():
            net(x)

    return run


def training(optimiser, loss):
    def run():
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()

    return run


def warm_up(run):
    """Runs twice; by how many megabytes the process grew at most in the first run."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak (VmHWM) is now what is resident
    before = status("VmRSS")
    run()
    growth = status("VmHWM") - before
    run()
    return growth / 1e6


def timed(run):
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def build(line):
    model, kind, size = line.split()
    if (model, kind, size) in (("resnet50", "load", "pth"), ("bert-base", "load", "safetensors")):
        run = loading(model)
        return run, warm_up(run)
    if kind not in ("infer", "train", "trunk"):
        raise ValueError(f"no kind {kind}")
    if model == "resnet50":
        make, size = resnet50, int(size)
        layouts = [torch.channels_last, torch.contiguous_format]
    elif model == "bert-base" and kind != "trunk":
        make, size = bert_base, tuple(int(n) for n in size.split("x"))
        layouts = [torch.contiguous_format]
    else:
        raise ValueError(f"no work {line}")
    best = None
    for layout in layouts:
        run = make(kind, size, layout)
        growth = warm_up(run)
        milliseconds = timed(run) if len(layouts) > 1 else 0.0
        print(f"torch_bench: {line}: {layout} {milliseconds:.1f} ms", file=sys.stderr)
        if best is None or milliseconds < best[0]:
            best = (milliseconds, run, growth)
    return best[1:]


def main():
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    current, run = None, None
    for line in sys.stdin:
        line = line.strip()
        if line in ("", "quit"):
            break
        try:
            if line != current:
                current, run = None, None  # free the work before: one at a time
                run, growth = build(line)
                current = line
            print(f"{timed(run):.3f} {growth:.1f}", flush=True)
        except (ValueError, RuntimeError) as error:
            print(f"error: {str(error).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    main()
