"""PyTorch, a side of the speed tests: a server over standard input and output, one line in names a work, one line answers it.

    resnet50 infer 8          inference of a batch of 8 at 224x224
    resnet50 train 8          a training step: forward, cross-entropy, backward, SGD with momentum
    resnet50 frozen 16        the same with a trunk under no_grad, in eval mode, and a last layer that trains
    bert-base infer 8x128     hidden states of 8 texts of 128 tokens; 8x8-128: of 8 to 128 tokens, padded
    bert-base train 8x128     a training step of two classes with AdamW, dropout as configured (0.1)
    .. bf16                   any of these under autocast to bf16
    resnet50 load pth         torch.load of a state_dict and load_state_dict into a model that is there
    bert-base load safetensors    load_file and load_state_dict into a model that is there
    quit                      leave

The answer is the time of one run in milliseconds and by how many megabytes the process grew at most since the first, or
"error: ..". An argument says how: `default`, `channels_last` or `compile`; without one both layouts of images are timed once
and the faster serves. Threads: OMP_NUM_THREADS, by default 2. The files to load are written to .cache/bench, where our side
reads them.
"""

import os
import sys
import time

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))
HOW = sys.argv[1] if len(sys.argv) > 1 else None
if HOW == "compile":
    from models import FILES

    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(FILES / "inductor"))
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no processes beside this one

import torch  # noqa: E402
from models import FILES, TEXT, image_model, images, parse, serve, text_config, text_model, texts, warm_up  # noqa: E402


def compiled(function):
    return torch.compile(function) if HOW == "compile" else function


def inference(net, x, cast):
    if HOW == "compile":
        from torch._inductor import config

        config.freezing = True  # folds the norms and packs the weights
    net = compiled(net)

    def run():
        with torch.inference_mode() if HOW != "compile" else torch.no_grad(), cast():
            net(**x)

    return run


def training(optimiser, loss, cast):
    loss = compiled(loss)

    def run():
        optimiser.zero_grad(set_to_none=True)
        with cast():
            value = loss()
        value.backward()
        optimiser.step()

    if HOW == "compile":
        run()  # compiles; what it takes belongs neither to the warm-up nor to the memory
    return run


def frozen(trunk, head, y, optimiser, cast):
    """`trunk` gives the features of the batch."""

    def loss():
        with torch.no_grad():
            features = trunk()
        return torch.nn.functional.cross_entropy(head(features), y)

    return training(optimiser(head.parameters()), loss, cast)


def image_work(model, kind, batch, layout, cast):
    net = image_model(model, aux=kind == "train").to(memory_format=layout)
    x = torch.from_numpy(images(model, batch)).contiguous(memory_format=layout)
    if kind == "infer":
        return inference(net, {"x": x}, cast)
    y = torch.arange(batch) % 1000
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=1e-3, momentum=0.9)  # noqa: E731
    if kind == "frozen":
        head, net.fc = net.fc, torch.nn.Identity()
        return frozen(lambda: net(x), head, y, sgd, cast)
    net.train()

    def loss():
        answer = net(x)
        logits, *aux = answer if isinstance(answer, tuple) else (answer,)
        loss = torch.nn.functional.cross_entropy(logits, y)
        for more in aux:  # torchvision's references weigh Inception's other head so
            loss = loss + 0.4 * torch.nn.functional.cross_entropy(more, y)
        return loss

    return training(sgd(net.parameters()), loss, cast)


def text_work(model, kind, size, cast):
    ids, mask = (torch.from_numpy(x) for x in texts(size))
    x = {"input_ids": ids, "attention_mask": mask}
    if kind == "infer":
        return inference(text_model(model), x, cast)
    from transformers import BertForSequenceClassification

    net = BertForSequenceClassification(text_config(model, num_labels=2))
    y = torch.arange(len(ids)) % 2
    adamw = lambda parameters: torch.optim.AdamW(parameters, lr=2e-5)  # noqa: E731
    if kind == "frozen":
        return frozen(lambda: net.eval().bert(**x).pooler_output, net.classifier, y, adamw, cast)
    net.train()
    return training(adamw(net.parameters()), lambda: net(**x, labels=y).loss, cast)


def loading(model):
    """Opening a file of weights and filling a model that is there."""
    FILES.mkdir(parents=True, exist_ok=True)
    if model == "resnet50":
        net, path = image_model(model), FILES / "resnet50.pth"
        torch.save(net.state_dict(), path)
        return lambda: net.load_state_dict(torch.load(path, weights_only=True))
    import safetensors.torch
    from transformers import BertForSequenceClassification

    net, path = BertForSequenceClassification(text_config(model, num_labels=2)), FILES / "bert-base" / "model.safetensors"
    net.save_pretrained(path.parent)
    return lambda: net.load_state_dict(safetensors.torch.load_file(path))


def build(line):
    if line in ("resnet50 load pth", "bert-base load safetensors"):
        return loading(line.split()[0])
    model, kind, size, precision = parse(line)
    if kind not in ("infer", "train", "frozen") or precision not in ("f32", "bf16"):
        raise ValueError(f"no work {line}")
    cast = lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")  # noqa: E731
    if model in TEXT:
        return text_work(model, kind, size, cast)
    layouts = {"default": [torch.contiguous_format], None: [torch.channels_last, torch.contiguous_format]}.get(HOW, [torch.channels_last])
    best = None
    for layout in layouts:
        run = image_work(model, kind, int(size), layout, cast)
        if len(layouts) == 1:
            return run
        warm_up(run)
        start = time.perf_counter()
        run()
        milliseconds = time.perf_counter() - start
        if best is None or milliseconds < best[0]:
            best = milliseconds, run
    return best[1]


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    serve(build)
