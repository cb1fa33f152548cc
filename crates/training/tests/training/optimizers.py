"""Writes optimizers.json: where torch's optimisers go in ten steps. Ran with torch 2.15.0 (f64, CPU).

    python optimizers.py > optimizers.json
"""

import json

import torch

STEPS, RATE = 10, 0.05
SHAPES = {"weight": (2, 3), "kernel": (2, 3, 2, 2), "bias": (3,)}


def numbers(shape, stream):
    """Element i of stream s: ((7919 i + 104729 s) mod 2003) / 1001 - 1, rounded to f32."""
    count = torch.Size(shape).numel()
    values = [((i * 7919 + stream * 104729) % 2003) / 1001 - 1 for i in range(count)]
    return torch.tensor(values, dtype=torch.float32).double().reshape(shape)


def run(make):
    params = {name: torch.nn.Parameter(numbers(shape, k)) for k, (name, shape) in enumerate(SHAPES.items())}
    optimizer = make(params)
    bases = [group["lr"] for group in optimizer.param_groups]
    for step in range(STEPS):
        for group, base in zip(optimizer.param_groups, bases):
            group["lr"] = base * (1 - step / STEPS)
        for k, param in enumerate(params.values()):
            param.grad = numbers(param.shape, 10 + 3 * step + k)
        optimizer.step()
    return {name: [float(f"{x:.9g}") for x in param.detach().flatten().tolist()] for name, param in params.items()}


def grouped(p):
    groups = [
        {"params": [p["weight"]]},
        {"params": [p["kernel"]], "lr": 0.1 * RATE},
        {"params": [p["bias"]], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=RATE, weight_decay=0.3)


CASES = {
    "sgd": lambda p: torch.optim.SGD(p.values(), lr=RATE),
    "momentum": lambda p: torch.optim.SGD(p.values(), lr=RATE, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p.values(), lr=RATE, momentum=0.8, nesterov=True, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p.values(), lr=RATE),
    "adam_decay": lambda p: torch.optim.Adam(p.values(), lr=RATE, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.2),
    "adamw": lambda p: torch.optim.AdamW(p.values(), lr=RATE, weight_decay=0.3),
    "grouped": grouped,
}

lines = [f" {json.dumps(name)}: {json.dumps(run(make))}" for name, make in CASES.items()]
print("{\n" + ",\n".join(lines) + "\n}")
