"""What the parity generators share: filling a torch model by formula, projections of gradients, compact golden files."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
import formula  # noqa: E402

PROBES = 4


def fill(model, dtype):
    """Sets every floating-point tensor of the state dict by formula; tied tensors get the value of their first name."""
    seen = set()
    with torch.no_grad():
        for name, tensor in model.state_dict(keep_vars=True).items():
            if tensor.is_floating_point() and tensor.data_ptr() not in seen:
                seen.add(tensor.data_ptr())
                tensor.copy_(torch.from_numpy(formula.weight(name, list(tensor.shape))))
    return model.to(dtype)


def numbers(values):
    """Floats as lists with nine significant digits: enough to name every f32."""
    return [float(f"{v:.9g}") for v in np.asarray(values, dtype=np.float64).ravel()]


def tensor_numbers(tensor):
    return numbers(tensor.detach().double().numpy())


def summary(tensor):
    """Shape, mean, standard deviation (population) and the first 8 values in row-major order."""
    d = tensor.detach().double()
    return {
        "shape": list(tensor.shape),
        "mean": numbers([d.mean()])[0],
        "std": numbers([d.std(unbiased=False)])[0],
        "first": tensor_numbers(d.reshape(-1)[:8]),
    }


def projections(gradients):
    """name -> [norm, probe0 .. probe3]: L2 norm and dot products with the formula vectors `<name>.probeK`, in f64."""
    out = {}
    for name, g in gradients.items():
        flat = g.detach().double().reshape(-1).numpy()
        row = [float(np.linalg.norm(flat))]
        row += [float(flat @ formula.signed(f"{name}.probe{k}", [flat.size])) for k in range(PROBES)]
        out[name] = row
    return out


def relative(a, b):
    """|a - b| / |b| in norm."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-300))


def judge(logits, stated, tolerance):
    """Prints how far the stated {"shape", "logits"} are from `logits`; True if within `tolerance`, relative in norm."""
    if list(logits.shape) != stated["shape"] or len(stated["logits"]) != logits.numel():
        print(f"logits have shape {stated['shape']} and {len(stated['logits'])} values, expected {list(logits.shape)}")
        return False
    error = relative(stated["logits"], logits.double().reshape(-1).numpy())
    print(f"logits {list(logits.shape)}: relative error {error:.2e}, tolerance {tolerance:.0e}")
    return error <= tolerance


def gradient_noise(g32, g64):
    """Prints how far the f32 gradients are from the f64 ones, relative in norm, worst first."""
    rows = sorted(((relative(g32[n].double().numpy(), g64[n].numpy()), float(g64[n].norm()), n) for n in g64), reverse=True)
    for error, norm, name in rows[:6]:
        print(f"  {error:9.2e}  norm {norm:9.2e}  {name}")
    print(f"  median {rows[len(rows) // 2][0]:.2e}, above 3e-4: {sum(r[0] > 3e-4 for r in rows)} of {len(rows)}")


def write(path, golden):
    """JSON with one line per innermost list or small object, so that changes read well in a diff."""

    def layout(value, indent):
        flat = json.dumps(value)
        if len(flat) <= 140 or not isinstance(value, (dict, list)):
            return flat
        if isinstance(value, list) and not any(isinstance(v, (dict, list)) for v in value):
            return flat
        pad = " " * (indent + 1)
        if isinstance(value, dict):
            inner = [f"{pad}{json.dumps(k)}: {layout(v, indent + 1)}" for k, v in value.items()]
            return "{\n" + ",\n".join(inner) + "\n" + " " * indent + "}"
        return "[\n" + ",\n".join(pad + layout(v, indent + 1) for v in value) + "\n" + " " * indent + "]"

    Path(path).write_text(layout(golden, 0) + "\n", encoding="utf-8")
    print(f"{path}: {Path(path).stat().st_size:,} bytes")
