"""Golden numbers of the ResNets of small images with weights by formula: resnet20_pad.json, resnet20_projection.json.

    "$(scripts/judges | tail -n 1)" tests/parity/cifar/generator.py

There is no version of these in torchvision: the network below is written from He et al. 2015, section 4.2, with the shortcuts
A (pad) and B (projection) of section 4.1. Ran with torch 2.15.0. The training input is the first by formula whose gradients in
f32 differ from those in f64 by less than 1e-4 in norm, in every parameter: rounding then takes no other branch of a ReLU.
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import formula  # noqa: E402
import golden  # noqa: E402

CLASSES, STEPS, TRIES, BLOCKS = 10, 10, 400, 3
SGD = {"lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-4}


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, project):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.new = outputs - inputs
        if stride > 1 and project:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "shortcut"):
            x = self.shortcut(x)
        elif self.new:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.new // 2, self.new // 2))
        return F.relu(x + y)


class Net(nn.Module):
    def __init__(self, project):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)

        def stage(inputs, outputs, stride):
            first = Block(inputs, outputs, stride, project)
            return nn.Sequential(first, *(Block(outputs, outputs, 1, project) for _ in range(BLOCKS - 1)))

        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.linear = nn.Linear(64, CLASSES)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return self.linear(x.mean((2, 3)))


def build(project, dtype):
    return golden.fill(Net(project), torch.float32).to(dtype)


def image(name, shape, dtype):
    return torch.from_numpy(formula.signed(name, shape)).to(dtype)


def evaluate(project, shape):
    net, stages = build(project, torch.float64).eval(), {}
    for name in ("layer1", "layer2", "layer3"):
        getattr(net, name).register_forward_hook(lambda m, i, o, name=name: stages.__setitem__(name, golden.summary(o)))
    with torch.no_grad():
        logits = net(image("input", shape, torch.float64))
    return {"shape": shape, "logits": golden.tensor_numbers(logits), "stages": stages}


def batch(name, dtype):
    shape = [4, 3, 32, 32]
    return image(name, shape, dtype), torch.from_numpy(formula.integers("labels", shape[:1], CLASSES))


def first_step(project, name, dtype):
    net = build(project, dtype).train()
    x, y = batch(name, dtype)
    logits = net(x)
    F.cross_entropy(logits, y).backward()
    return logits, {n: p.grad for n, p in net.named_parameters()}


def train(project, name, dtype):
    net, losses = build(project, dtype).train(), []
    optimiser = torch.optim.SGD(net.parameters(), foreach=False, **SGD)
    x, y = batch(name, dtype)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return {"losses": golden.numbers(losses)}


def main():
    torch.set_num_threads(1)
    for name, project in [("resnet20_pad", False), ("resnet20_projection", True)]:
        out = {"made by": {"torch": torch.__version__.split("+")[0]}, "model": name, "classes": CLASSES}
        out["eval"] = [evaluate(project, [2, 3, 32, 32]), evaluate(project, [1, 3, 21, 37])]
        for k in range(TRIES):
            (_, g32), (logits, g64) = (first_step(project, f"input{k}", d) for d in (torch.float32, torch.float64))
            noise = max(golden.relative(g32[n].double().numpy(), g64[n].numpy()) for n in g64)
            if noise < 1e-4:
                break
        print(name, f"input{k}", f"{noise:.1e}")
        out["train"] = {
            "input": f"input{k}", "shape": [4, 3, 32, 32], "torch's f32 gradients differ by": float(f"{noise:.3g}"),
            "labels": formula.integers("labels", [4], CLASSES).tolist(), "logits": golden.tensor_numbers(logits),
        }
        out["gradients"] = {n: {"f64": golden.numbers(p)} for n, p in golden.projections(g64).items()}
        out["sgd"] = {**SGD, "f32": train(project, f"input{k}", torch.float32), "f64": train(project, f"input{k}", torch.float64)}
        golden.write(HERE / f"{name}.json", out)


if __name__ == "__main__":
    main()
