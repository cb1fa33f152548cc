"""Golden numbers of torchvision's VGG, Inception v3 and GoogLeNet with weights by formula.

    "$(scripts/judges | tail -n 1)" tests/parity/vision/generator.py [vgg16 ...]

Ran with torch 2.15.0 and torchvision 0.29.2. Dropouts have rate 0. Where a ReLU's input lies within rounding of zero, f32 may
take the other branch, and the gradient jumps whoever computes it: so the shifts of batch norms are NORM_SHIFT more than by
formula, which leaves few inputs of ReLUs near zero, and the training input of each model is the one of the first TRIES by
formula whose gradients change least in f32 and in f64 when all weights change by PERTURBED of themselves (as the largest of
two pixels of a max pool may change too).
"""

import sys
from pathlib import Path

import torch
import torchvision

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import formula  # noqa: E402
import golden  # noqa: E402

CLASSES, STEPS, TRIES, NORM_SHIFT, PERTURBED = 10, 10, 30, 2.5, 2e-6
# Shapes of the evaluation inputs and of the training input.
MODELS = {
    "vgg16": ([[2, 3, 64, 64], [1, 3, 97, 161]], [2, 3, 64, 64]),
    "vgg11_bn": ([[2, 3, 64, 64], [1, 3, 97, 161]], [4, 3, 64, 64]),
    "inception_v3": ([[2, 3, 139, 139], [1, 3, 97, 161]], [2, 3, 299, 299]),
    "googlenet": ([[2, 3, 96, 96], [1, 3, 97, 161]], [4, 3, 96, 96]),
}
AUX = {"inception_v3": 0.4, "googlenet": 0.3}
OPTIMISERS = {
    "sgd": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4},
    # See the generator of the ResNets for this eps.
    "adamw": {"lr": 1e-5, "betas": [0.9, 0.999], "eps": 1e-3, "weight_decay": 0.01},
}


def build(name, dtype, **options):
    if name in AUX:
        options = {"aux_logits": True, "init_weights": False, **options}
    else:
        options = {"init_weights": False, **options}
    net = golden.fill(getattr(torchvision.models, name)(num_classes=CLASSES, **options), torch.float32)
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.BatchNorm2d):
            with torch.no_grad():
                module.bias += NORM_SHIFT
    return net.to(dtype)


def image(name, shape, dtype):
    return torch.from_numpy(formula.signed(name, shape)).to(dtype)


def outputs(net, x):
    """Logits, and those of the auxiliary heads, the one nearest to the output first."""
    y = net(x)
    return [y] if isinstance(y, torch.Tensor) else [t for t in y if t is not None]


def loss_of(name, logits, labels):
    main, *aux = (torch.nn.functional.cross_entropy(y, labels) for y in logits)
    return main + AUX.get(name, 0.0) * sum(aux) if aux else main


def evaluate(name, shape, dtype, **options):
    with torch.no_grad():
        return golden.tensor_numbers(build(name, dtype, **options).eval()(image("input", shape, dtype)))


def first_step(name, source, shape, dtype, perturbation=None):
    net = build(name, dtype).train()
    if perturbation is not None:
        generator = torch.Generator().manual_seed(perturbation)
        with torch.no_grad():
            for p in net.parameters():
                p *= 1 + PERTURBED * (2 * torch.rand(p.shape, generator=generator, dtype=dtype) - 1)
    labels = torch.from_numpy(formula.integers("labels", shape[:1], CLASSES))
    logits = outputs(net, image(source, shape, dtype))
    loss_of(name, logits, labels).backward()
    return logits, {n: p.grad for n, p in net.named_parameters()}


def train(name, source, shape, optimiser, dtype):
    net, losses = build(name, dtype).train(), []
    make = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimiser]
    opt = make(net.parameters(), foreach=False, **OPTIMISERS[optimiser])
    x, y = image(source, shape, dtype), torch.from_numpy(formula.integers("labels", shape[:1], CLASSES))
    for _ in range(STEPS):
        opt.zero_grad()
        loss = loss_of(name, outputs(net, x), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return {"losses": golden.numbers(losses)}


def worst(g32, g64):
    largest = max(float(g.norm()) for g in g64.values())
    return max(golden.relative(g32[n].double().numpy(), g64[n].numpy()) for n in g64 if float(g64[n].norm()) > 1e-9 * largest)


def generate(name):
    shapes, training = MODELS[name]
    f32, f64 = torch.float32, torch.float64
    out = {"made by": {"torch": torch.__version__.split("+")[0], "torchvision": torchvision.__version__.split("+")[0]}}
    out |= {"model": name, "classes": CLASSES, "norm shift": NORM_SHIFT, "eval": []}
    for shape in shapes:
        out["eval"].append({"shape": shape, **{k: evaluate(name, shape, d) for k, d in [("f32", f32), ("f64", f64)]}})
    if name in AUX:
        out["transformed"] = {"shape": shapes[0], "f64": evaluate(name, shapes[0], f64, transform_input=True)}
    if training:
        found = []
        for k in range(TRIES):
            (_, g32), (logits, g64) = (first_step(name, f"input{k}", training, d) for d in (f32, f64))
            noise = worst(g32, g64)
            for seed in range(3):
                if noise < 3e-4:
                    noise = max(noise, worst(first_step(name, f"input{k}", training, f64, seed)[1], g64))
            found.append((noise, k, logits, g64))
            print(f"{name} input{k}: gradients change by {noise:.2e}", flush=True)
            if noise < 3e-4:
                break
        noise, k, logits, g64 = min(found, key=lambda f: f[:2])
        out["train"] = {
            "input": f"input{k}",
            "shape": training,
            "labels": formula.integers("labels", training[:1], CLASSES).tolist(),
            "gradients change by": noise,
            "logits": [golden.tensor_numbers(y) for y in logits],
        }
        out["gradients"] = {n: {"f64": golden.numbers(p)} for n, p in golden.projections(g64).items()}
        for optimiser, setting in OPTIMISERS.items():
            both = {k2: train(name, f"input{k}", training, optimiser, d) for k2, d in [("f32", f32), ("f64", f64)]}
            out[optimiser] = {**setting, **both}
            a, b = both["f32"]["losses"], both["f64"]["losses"]
            print(f" {optimiser}: {b}\n  worst step f32 against f64 {max(abs(x - y) / y for x, y in zip(a, b)):.2e}")
    golden.write(HERE / f"{name}.json", out)


if __name__ == "__main__":
    for model in sys.argv[1:] or MODELS:
        generate(model)
