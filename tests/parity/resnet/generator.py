"""Golden numbers of torchvision's ResNets with weights by formula: resnet18.json, resnet50.json.

    "$(scripts/judges | tail -n 1)" tests/parity/resnet/generator.py [resnet18 resnet50]
    "$(scripts/judges | tail -n 1)" tests/parity/resnet/generator.py --search resnet50

README.md beside this file says why the training input of each model is the one in TRAIN, and how --search found it.
"""

import sys
from pathlib import Path

import torch
import torchvision

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import formula  # noqa: E402
import golden  # noqa: E402

CLASSES, STEPS = 10, 10
# Name and shape of the training input.
TRAIN = {"resnet18": ("input143", [4, 3, 64, 64]), "resnet50": ("input371", [2, 3, 48, 48])}
# The last batch norm of a bottleneck is scaled down, or rounding grows tenfold from stage to stage.
LAST_SCALE = 0.2
OPTIMISERS = {
    "sgd": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4},
    # A step of Adam is m / (sqrt(v) + eps): with an eps far below a gradient's rounding its sign alone decides, and ten
    # steps of a deep net with batch norm measure rounding. This eps keeps the ten losses a measure of the formulas.
    "adamw": {"lr": 1e-4, "betas": [0.9, 0.999], "eps": 1e-3, "weight_decay": 0.01},
}


def build(name, dtype):
    net = golden.fill(getattr(torchvision.models, name)(num_classes=CLASSES), torch.float32)
    with torch.no_grad():
        for parameter, tensor in net.named_parameters():
            if parameter.endswith("bn3.weight"):
                tensor *= LAST_SCALE
    return net.to(dtype)


def image(name, shape, dtype):
    return torch.from_numpy(formula.signed(name, shape)).to(dtype)


def training_batch(model, dtype):
    name, shape = TRAIN[model]
    return image(name, shape, dtype), torch.from_numpy(formula.integers("labels", shape[:1], CLASSES))


def evaluate(name, shape, dtype):
    net, stages, hooks = build(name, dtype).eval(), {}, []
    for stage, module in [("stem", "maxpool"), ("layer1",) * 2, ("layer2",) * 2, ("layer3",) * 2, ("layer4",) * 2, ("pooled", "avgpool")]:
        hooks.append(getattr(net, module).register_forward_hook(lambda m, i, o, s=stage: stages.__setitem__(s, golden.summary(o))))
    with torch.no_grad():
        logits = net(image("input", shape, dtype))
    return {"logits": golden.tensor_numbers(logits), "stages": stages}


def first_step(name, dtype):
    net = build(name, dtype).train()
    x, y = training_batch(name, dtype)
    logits = net(x)
    loss = torch.nn.functional.cross_entropy(logits, y)
    loss.backward()
    return logits, loss.item(), {n: p.grad for n, p in net.named_parameters()}


def train(name, optimiser, dtype):
    net, losses = build(name, dtype).train(), []
    make = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimiser]
    opt = make(net.parameters(), foreach=False, **OPTIMISERS[optimiser])
    x, y = training_batch(name, dtype)
    for _ in range(STEPS):
        opt.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return {
        "losses": golden.numbers(losses),
        "bn1.running_mean norm": golden.numbers([net.bn1.running_mean.double().norm()])[0],
        "bn1.running_var norm": golden.numbers([net.bn1.running_var.double().norm()])[0],
    }


def generate(name):
    print(name)
    both = {"f32": torch.float32, "f64": torch.float64}
    out = {
        "made by": {"torch": torch.__version__.split("+")[0], "torchvision": torchvision.__version__.split("+")[0]},
        "model": name,
        "classes": CLASSES,
        "bn3.weight scale": LAST_SCALE,
    }
    for key, shape in [("eval", [2, 3, 96, 96]), ("eval odd", [1, 3, 97, 161])]:
        out[key] = {"shape": shape, **{k: evaluate(name, shape, d) for k, d in both.items()}}
        print(f" {key}: logits f32 against f64 {golden.relative(out[key]['f32']['logits'], out[key]['f64']['logits']):.2e}")
    step = {k: first_step(name, d) for k, d in both.items()}
    out["train"] = {
        "input": TRAIN[name][0],
        "shape": TRAIN[name][1],
        "labels": training_batch(name, torch.float32)[1].tolist(),
        **{k: {"logits": golden.tensor_numbers(s[0]), "loss": golden.numbers([s[1]])[0]} for k, s in step.items()},
    }
    print(f" train: logits f32 against f64 {golden.relative(out['train']['f32']['logits'], out['train']['f64']['logits']):.2e}; gradients:")
    golden.gradient_noise(step["f32"][2], step["f64"][2])
    projected = {k: golden.projections(s[2]) for k, s in step.items()}
    out["gradients"] = {n: {k: golden.numbers(p[n]) for k, p in projected.items()} for n in projected["f64"]}
    for optimiser, setting in OPTIMISERS.items():
        out[optimiser] = {**setting, **{k: train(name, optimiser, d) for k, d in both.items()}}
        a, b = out[optimiser]["f32"]["losses"], out[optimiser]["f64"]["losses"]
        print(f" {optimiser}: {b}\n  worst step f32 against f64 {max(abs(x - y) / y for x, y in zip(a, b)):.2e}")
    golden.write(HERE / f"{name}.json", out)


def relu_inputs(net, x):
    inputs, hooks = [], []
    for module in net.modules():
        if isinstance(module, torch.nn.ReLU):
            hooks.append(module.register_forward_pre_hook(lambda m, i: inputs.append(i[0].detach().double().clone())))
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return inputs


def search(name, tries=1000):
    """Prints ever better names of the training input, by the distance of the ReLU input nearest to zero from zero, in units of
    the f32 rounding error (root mean square) of its layer."""
    single, double = build(name, torch.float32).train(), build(name, torch.float64).train()
    best = 0.0
    for k in range(tries):
        x = image(f"input{k}", TRAIN[name][1], torch.float64)
        pairs = zip(relu_inputs(single, x.float()), relu_inputs(double, x))
        margin = min(float(d.abs().min() / (s - d).pow(2).mean().sqrt()) for s, d in pairs)
        if margin > best:
            best = margin
            print(f"{name} input{k}: {margin:.2f}", flush=True)


if __name__ == "__main__":
    models = [a for a in sys.argv[1:] if a != "--search"] or ["resnet18", "resnet50"]
    for model in models:
        search(model) if "--search" in sys.argv else generate(model)
