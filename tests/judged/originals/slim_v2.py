"""TF-slim's ResNets v2, stated again in torch with slim's names, order of axes and padding: TensorFlow is not among the judges.

Source: tensorflow/models `slim/nets/resnet_v2.py`, `resnet_utils.py`.
"""

import formula
import judge
import numpy as np
import torch
import torch.nn.functional as F
from originals.torchvision_models import CLASSES, images, loss
from safetensors.torch import save_file

DEPTHS = {"resnet_v2_50": [3, 4, 6, 3], "resnet_v2_101": [3, 4, 23, 3], "resnet_v2_152": [3, 8, 36, 3]}


class Slim(torch.nn.Module):
    def __init__(self, scope, classes):
        super().__init__()
        self.scope, self.depths, self.eps = scope, DEPTHS[scope], 1e-5
        self.conv("conv1", 7, 3, 64, bias=True)
        inputs = 64
        for unit, width, _ in self.units():
            self.norm(f"{unit}/preact", inputs)
            if inputs != 4 * width:
                self.conv(f"{unit}/shortcut", 1, inputs, 4 * width, bias=True)
            self.conv(f"{unit}/conv1", 1, inputs, width)
            self.norm(f"{unit}/conv1/BatchNorm", width)
            self.conv(f"{unit}/conv2", 3, width, width)
            self.norm(f"{unit}/conv2/BatchNorm", width)
            self.conv(f"{unit}/conv3", 1, width, 4 * width, bias=True)
            inputs = 4 * width
        self.norm("postnorm", inputs)
        self.conv("logits", 1, inputs, classes, bias=True)

    def units(self):
        """Name, width and stride: that of a block is in its last unit."""
        for s, depth in enumerate(self.depths):
            for b in range(depth):
                yield f"block{s + 1}/unit_{b + 1}/bottleneck_v2", 64 << s, 2 if s < 3 and b + 1 == depth else 1

    def conv(self, name, kernel, inputs, outputs, bias=False):
        self.register_parameter(f"{self.scope}/{name}/weights", torch.nn.Parameter(torch.empty(kernel, kernel, inputs, outputs)))
        if bias:
            self.register_parameter(f"{self.scope}/{name}/biases", torch.nn.Parameter(torch.empty(outputs)))

    def norm(self, name, channels):
        for part in ("gamma", "beta"):
            self.register_parameter(f"{self.scope}/{name}/{part}", torch.nn.Parameter(torch.empty(channels)))
        for part in ("moving_mean", "moving_variance"):
            self.register_buffer(f"{self.scope}/{name}/{part}", torch.empty(channels))

    def get(self, name):
        return getattr(self, f"{self.scope}/{name}", None)

    def convolve(self, x, name, stride=1):
        """conv2d_same: padding that does not depend on the size."""
        kernel = self.get(f"{name}/weights")
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), self.get(f"{name}/biases"), stride, (kernel.shape[0] - 1) // 2)

    def normalise(self, x, name):
        gamma, beta, mean, variance = (self.get(f"{name}/{part}") for part in ("gamma", "beta", "moving_mean", "moving_variance"))
        return F.batch_norm(x, mean, variance, gamma, beta, self.training, 0.0, self.eps)

    def forward(self, x, taps=None):
        def tap(name, y):
            if taps is not None:
                taps[name] = y
            return y

        x = tap("stem.conv", self.convolve(x, "conv1", 2))
        h, w = x.shape[2:]
        # SAME: of an even size nothing above and at the left.
        x = tap("stem", F.max_pool2d(F.pad(x, (w % 2, 1, h % 2, 1), value=-torch.inf), 3, 2))
        counts = [0] * 4
        for unit, width, stride in self.units():
            s = int(unit[5]) - 1
            ours, counts[s] = f"stages.{s}.blocks.{counts[s]}", counts[s] + 1
            preact = F.relu(tap(f"{ours}.norm1", self.normalise(x, f"{unit}/preact")))
            if self.get(f"{unit}/shortcut/weights") is None:
                shortcut = x[:, :, ::stride, ::stride]
            else:
                shortcut = tap(f"{ours}.downsample.conv", self.convolve(preact, f"{unit}/shortcut", stride))
            y = tap(f"{ours}.conv1", self.convolve(preact, f"{unit}/conv1"))
            y = F.relu(tap(f"{ours}.norm2", self.normalise(y, f"{unit}/conv1/BatchNorm")))
            y = tap(f"{ours}.conv2", self.convolve(y, f"{unit}/conv2", stride))
            y = F.relu(tap(f"{ours}.norm3", self.normalise(y, f"{unit}/conv2/BatchNorm")))
            x = tap(ours, shortcut + tap(f"{ours}.conv3", self.convolve(y, f"{unit}/conv3")))
        x = F.relu(tap("norm", self.normalise(x, "postnorm")))
        return self.convolve(x.mean((2, 3), keepdim=True), "logits").flatten(1)


def fill(net):
    """By formula, for slim's names and order of axes."""
    with torch.no_grad():
        for name, tensor in net.state_dict(keep_vars=True).items():
            v, kind = formula.signed(name, list(tensor.shape)), name.rsplit("/", 1)[-1]
            if kind == "weights":
                v *= (0.2 if name.endswith("/conv3/weights") else 1.0) * np.sqrt(3.0 / np.prod(tensor.shape[:-1]))
            elif kind == "moving_variance":
                v = 1.0 + 0.5 * v
            elif kind == "gamma":
                v = 1.0 + 0.1 * v
            else:
                v = 0.1 * v + (2.5 if kind == "beta" else 0.0)
            tensor.copy_(torch.from_numpy(v.astype(np.float32)))
    return net


def taps(net, given):
    found = {}
    net(given["images"], found)
    return found


def save(net, folder):
    save_file(net.state_dict(), folder / "weights.safetensors")
    return "weights.safetensors"


def original(name):
    return judge.Original(
        source="TF-slim, stated again in torch",
        build=lambda: Slim(name, CLASSES + 1),
        fill=fill,
        inputs=images([2, 3, 64, 64]),
        odd_inputs=images([1, 3, 97, 161]),
        train_inputs=images([4, 3, 64, 64]),
        outputs=lambda net, given: {"logits": net(given["images"])},
        taps=taps,
        loss=loss(0.0),
        save=save,
        facts={"family": "image", "names": "of the file"},
    )


ORIGINALS = {f"slim_{name}": original(name) for name in DEPTHS}
