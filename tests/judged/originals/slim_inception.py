"""TF-slim's Inception v3, stated again in torch, with slim's names and order of axes in its file: TensorFlow is not among the
judges. It is torchvision's but for means that do not count the padding, and norms without a scale.

Source: tensorflow/models `slim/nets/inception_v3.py`.
"""

import dataclasses

import torch
import torchvision
from originals import fid_models
from originals.fid_models import BLOCKS
from originals.torchvision_models import CLASSES, adjust
from pytorch_fid.inception import FIDInceptionE_1
from safetensors.torch import save_file

# torchvision's branches of each kind of block, and slim's.
A = {"branch1x1": "0/Conv2d_0a_1x1", "branch5x5_1": "1/Conv2d_0a_1x1", "branch5x5_2": "1/Conv2d_0b_5x5", "branch3x3dbl_1": "2/Conv2d_0a_1x1", "branch3x3dbl_2": "2/Conv2d_0b_3x3", "branch3x3dbl_3": "2/Conv2d_0c_3x3", "branch_pool": "3/Conv2d_0b_1x1"}
B = {"branch3x3": "0/Conv2d_1a_1x1", "branch3x3dbl_1": "1/Conv2d_0a_1x1", "branch3x3dbl_2": "1/Conv2d_0b_3x3", "branch3x3dbl_3": "1/Conv2d_1a_1x1"}
C = {"branch1x1": "0/Conv2d_0a_1x1", "branch7x7_1": "1/Conv2d_0a_1x1", "branch7x7_2": "1/Conv2d_0b_1x7", "branch7x7_3": "1/Conv2d_0c_7x1", "branch7x7dbl_1": "2/Conv2d_0a_1x1", "branch7x7dbl_2": "2/Conv2d_0b_7x1", "branch7x7dbl_3": "2/Conv2d_0c_1x7", "branch7x7dbl_4": "2/Conv2d_0d_7x1", "branch7x7dbl_5": "2/Conv2d_0e_1x7", "branch_pool": "3/Conv2d_0b_1x1"}
D = {"branch3x3_1": "0/Conv2d_0a_1x1", "branch3x3_2": "0/Conv2d_1a_3x3", "branch7x7x3_1": "1/Conv2d_0a_1x1", "branch7x7x3_2": "1/Conv2d_0b_1x7", "branch7x7x3_3": "1/Conv2d_0c_7x1", "branch7x7x3_4": "1/Conv2d_1a_3x3"}
E = {"branch1x1": "0/Conv2d_0a_1x1", "branch3x3_1": "1/Conv2d_0a_1x1", "branch3x3_2a": "1/Conv2d_0b_1x3", "branch3x3_2b": "1/Conv2d_0c_3x1", "branch3x3dbl_1": "2/Conv2d_0a_1x1", "branch3x3dbl_2": "2/Conv2d_0b_3x3", "branch3x3dbl_3a": "2/Conv2d_0c_1x3", "branch3x3dbl_3b": "2/Conv2d_0d_3x1", "branch_pool": "3/Conv2d_0b_1x1"}
# One block of each kind has names that its authors did not mean.
ODD = {"Mixed_5c.branch5x5_1": "1/Conv2d_0b_1x1", "Mixed_5c.branch5x5_2": "1/Conv_1_0c_5x5", "Mixed_7b.branch3x3_2b": "1/Conv2d_0b_3x1"}
KINDS = {"5b": A, "5c": A, "5d": A, "6a": B, "6b": C, "6c": C, "6d": C, "6e": C, "7a": D, "7b": E, "7c": E}
PARTS = {"conv.weight": "weights", "bn.bias": "BatchNorm/beta", "bn.running_mean": "BatchNorm/moving_mean", "bn.running_var": "BatchNorm/moving_variance"}


def renamed(name):
    """Slim's name of a tensor; `None` of what it does not have."""
    if name.startswith("fc."):
        return "InceptionV3/Logits/Conv2d_1c_1x1/" + {"fc.weight": "weights", "fc.bias": "biases"}[name]
    layer, part = name.rsplit(".", 2)[0], ".".join(name.rsplit(".", 2)[1:])
    if part not in PARTS:
        return None
    if layer.startswith("Mixed_"):
        block, branch = layer.split(".")
        layer = f"{block}/Branch_{ODD.get(layer, KINDS[block[6:]][branch])}"
    return f"InceptionV3/{layer}/{PARTS[part]}"


def of_file(named):
    """Tensors by slim's names, kernels as (height, width, in, out)."""
    found = {}
    for name, tensor in named:
        if renamed(name) is not None:
            kernel = tensor[:, :, None, None] if name == "fc.weight" else tensor
            found[renamed(name)] = (kernel.permute(2, 3, 1, 0) if kernel.ndim == 4 else kernel).contiguous()
    return found


def build():
    net = torchvision.models.inception_v3(num_classes=CLASSES, aux_logits=False, init_weights=False)
    for name, block in BLOCKS.items():
        setattr(net, name, FIDInceptionE_1(2048) if name == "Mixed_7c" else block())
    return net


def unscaled(net):
    adjust(net)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.fill_(1.0).requires_grad_(False)


def save(net, folder):
    save_file(of_file(net.state_dict().items()), folder / "weights.safetensors")
    return "weights.safetensors"


def taps(net, given):
    found = {}
    for path, module in net.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.BatchNorm2d)) or path in BLOCKS:
            module.register_forward_hook(lambda module, given, output, path=path: found.__setitem__(path, output.detach().clone()))
    net(given["images"])
    return found


ORIGINALS = {
    "slim_inception_v3": dataclasses.replace(
        fid_models.ORIGINALS["fid_inception_v3"],
        source="TF-slim, stated again in torch",
        build=build,
        adjust=unscaled,
        save=save,
        taps=taps,
        gradients=lambda net: of_file((n, p.grad) for n, p in net.named_parameters() if p.grad is not None),
        facts={"family": "image", "names": "of the file"},
    )
}
