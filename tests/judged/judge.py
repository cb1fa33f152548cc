"""Runs an original (torchvision's, timm's, transformers', Keras' model) with weights by formula, and writes what it gave.

    "$(scripts/judges | tail -n 1)" tests/judged/judge.py FOLDER NAME   (without arguments: prints the names of all originals)
    ... FOLDER NAME saved    loads what ours saved in FOLDER/saved into the original, and prints the error of its outputs

FOLDER then holds the weights in the format that the original's own library saves, `expected.safetensors` (numbers of the f64
run, rounded to f32, and the inputs) and `expected.json` (sources, and how far the original's own f32 run is from f64):

    inputs.NAME, train.inputs.NAME    what the model is given in evaluation and in training
    outputs.NAME                      logits in evaluation
    odd.inputs.NAME, odd.outputs.NAME the same for an input of another shape, where there is one
    taps.MODULE                       the output of every module in that evaluation
    train.outputs.NAME                logits in training mode
    gradients.PARAMETER               of the first step
    losses                            of STEPS steps of SGD

Dropouts have rate 0. Where a ReLU's input, or two pixels of a max pool, lie within rounding of each other, f32 may take the
other branch, and the gradient jumps whoever computes it. So of `tries` training inputs by formula the first is taken whose
gradients hardly change in f32 when all weights change by up to PERTURBED of themselves, there and back, several times; or the best of
all.
"""

import copy
import functools
import importlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "parity"))
sys.path.insert(0, str(HERE))
import formula  # noqa: E402
import golden  # noqa: E402

STEPS = 10
# Several times what rounding does, and what the gradients may change by then.
PERTURBED, SETTLED = 4e-6, 1e-3
SGD = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}


def save_pth(net, folder):
    torch.save(net.state_dict(), folder / "weights.pth")
    return "weights.pth"


@dataclass
class Original:
    """A model and how to run it. `inputs(key)` gives the arrays by formula under that key, `outputs(net, inputs)` a dict of
    tensors, `loss(outputs, inputs)` a scalar."""

    source: str
    build: Callable[[], torch.nn.Module]
    inputs: Callable[[str], dict]
    outputs: Callable
    loss: Callable
    train_inputs: Callable[[str], dict] = None
    odd_inputs: Callable[[str], dict] = None
    adjust: Callable = lambda net: None
    save: Callable = save_pth
    fill: Callable = lambda net: golden.fill(net, torch.float32)
    convert: Callable = lambda net, dtype: copy.deepcopy(net).to(dtype)
    # The outputs of modules, where hooks cannot tell them, and gradients, where parameters have other names in the file.
    taps: Callable = None
    gradients: Callable = lambda net: {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    # Numbers of the training inputs to try.
    tries: range = range(4)
    # Loads what ours saved in a folder, as the original's library does, and complains of names that do not fit.
    load: Callable = None
    # Anything that the test in Rust has to know.
    facts: dict = field(default_factory=dict)


@functools.cache
def originals():
    found = {}
    for path in sorted((HERE / "originals").glob("*.py")):
        found |= importlib.import_module(f"originals.{path.stem}").ORIGINALS
    return found


@functools.cache
def filled(name):
    original = originals()[name]
    net = original.fill(original.build())
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        original.adjust(net)
    return net


def build(name, dtype):
    return originals()[name].convert(filled(name), dtype)


def tensors(arrays, dtype):
    return {k: torch.from_numpy(np.ascontiguousarray(v)).to(dtype if v.dtype.kind == "f" else torch.int64) for k, v in arrays.items()}


def evaluate(name, arrays, dtype, taps=None):
    original, net, given = originals()[name], build(name, dtype).eval(), tensors(arrays, dtype)
    for path, module in net.named_modules():
        if taps is not None and original.taps is None and path:

            def keep(module, given, output, path=path):
                output = output if isinstance(output, torch.Tensor) else next(iter(output.values() if isinstance(output, dict) else output), None)
                if isinstance(output, torch.Tensor) and output.is_floating_point():
                    taps[path] = output.detach().clone()

            module.register_forward_hook(keep)
    with torch.no_grad():
        if taps is not None and original.taps is not None:
            taps |= original.taps(net, given)
        return original.outputs(net, given)


def first_step(name, arrays, dtype, perturbation=None, sign=1):
    original, net = originals()[name], build(name, dtype).train()
    if perturbation is not None:
        generator = torch.Generator().manual_seed(perturbation)
        with torch.no_grad():
            for p in net.parameters():
                p *= 1 + sign * PERTURBED * (2 * torch.rand(p.shape, generator=generator, dtype=torch.float64).to(dtype) - 1)
    given = tensors(arrays, dtype)
    outputs = original.outputs(net, given)
    original.loss(outputs, given).backward()
    return outputs, original.gradients(net)


def train(name, arrays, dtype):
    original, net, losses = originals()[name], build(name, dtype).train(), []
    optimiser = torch.optim.SGD(net.parameters(), foreach=False, **SGD)
    given = tensors(arrays, dtype)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = original.loss(original.outputs(net, given), given)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return np.array(losses)


def errors(ours, theirs):
    """|a - b| / |b| of each, but for those that are zero by construction."""
    ours, theirs = ({n: t.detach().double() for n, t in side.items()} for side in (ours, theirs))
    norms = {n: float(t.norm()) for n, t in theirs.items()}
    largest = max(norms.values(), default=0.0)
    return {n: golden.relative(ours[n].numpy(), theirs[n].numpy()) for n in theirs if norms[n] > 1e-9 * largest}


def noise(name, arrays, gradients, enough):
    """The largest error of a gradient in f32 under perturbations; not further than `enough`."""
    worst = 0.0
    for seed, sign in [(seed, sign) for seed in (7, 8, 9) for sign in (1, -1)]:
        worst = max(worst, *errors(first_step(name, arrays, torch.float32, seed, sign)[1], gradients).values())
        if worst >= enough:
            break
    return worst


def judge(folder, name):
    original = originals()[name]
    single, double = torch.float32, torch.float64
    folder.mkdir(parents=True, exist_ok=True)
    weights = original.save(filled(name), folder)
    expected, own = {}, {}

    def keep(prefix, arrays):
        for key, value in arrays.items():
            value = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
            expected[f"{prefix}.{key}"] = np.ascontiguousarray(value, dtype=np.float32 if value.dtype.kind == "f" else np.int64)

    for prefix, inputs in [("", original.inputs), ("odd.", original.odd_inputs)]:
        if inputs is None:
            continue
        arrays, taps = inputs("input"), ({}, {})
        f32 = evaluate(name, arrays, single, None if prefix else taps[0])
        f64 = evaluate(name, arrays, double, None if prefix else taps[1])
        keep(prefix + "inputs", arrays)
        keep(prefix + "outputs", f64)
        keep(prefix + "taps", taps[1])
        own[prefix + "outputs"] = max(errors(f32, f64).values())
        if taps[1]:
            own["taps"] = max(golden.relative(taps[0][n].double().numpy(), t.numpy()) for n, t in taps[1].items() if t.norm() > 0)

    best = None
    for k in original.tries:
        arrays = (original.train_inputs or original.inputs)(f"input{k}")
        f64 = first_step(name, arrays, double)
        worst = noise(name, arrays, f64[1], best[0] if best else np.inf) if len(original.tries) > 1 else 0.0
        if best is None or worst < best[0]:
            best = (worst, arrays, f64)
        if worst < SETTLED:
            break
    _, arrays, (outputs, gradients) = best
    f32 = first_step(name, arrays, single)
    keep("train.inputs", arrays)
    keep("train.outputs", outputs)
    keep("gradients", gradients)
    own["train.outputs"] = max(errors(f32[0], outputs).values())
    own["gradients"] = errors(f32[1], gradients)
    losses = train(name, arrays, double)
    expected["losses"] = losses.astype(np.float32)
    own["losses"] = float(np.max(np.abs(train(name, arrays, single) - losses) / np.abs(losses)))

    save_file(expected, folder / "expected.safetensors")
    facts = {"name": name, "source": original.source, "weights": weights, "sgd": SGD, "own": own, **original.facts}
    (folder / "expected.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def judge_saved(folder, name):
    """Prints how far the original with the weights that ours saved in FOLDER/saved is from the f64 run."""
    original = originals()[name]
    expected = load_file(folder / "expected.safetensors")
    net = original.load(folder / "saved").eval()
    given = {k.removeprefix("inputs."): v for k, v in expected.items() if k.startswith("inputs.")}
    with torch.no_grad():
        outputs = original.outputs(net, tensors(given, torch.float32))
    print(max(golden.relative(y.numpy(), expected[f"outputs.{k}"]) for k, y in outputs.items()))


if __name__ == "__main__":
    torch.manual_seed(0)
    if len(sys.argv) == 4 and sys.argv[3] == "saved":
        judge_saved(Path(sys.argv[1]), sys.argv[2])
    elif len(sys.argv) == 3:
        judge(Path(sys.argv[1]), sys.argv[2])
    else:
        print("\n".join(originals()))
