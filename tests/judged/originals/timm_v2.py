"""timm's ResNets V2. Their norms hold the activation: what the norm alone gives is what goes through its `drop`."""

import judge
import timm
import torch
from originals.torchvision_models import CLASSES, images, loss, outputs
from timm.layers import BatchNormAct2d

NAMES = ["resnetv2_18", "resnetv2_34", "resnetv2_50", "resnetv2_101", "resnetv2_152", "resnetv2_50d", "resnetv2_50t"]


def adjust(net):
    """As torchvision's: few inputs of ReLUs near zero, and blocks that add little, so that rounding does not grow from block to
    block."""
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias += 2.5
        elif name.startswith("stages.") and name.endswith(".conv3" if hasattr(net.stages[0].blocks[0], "conv3") else ".conv2"):
            module.weight *= 0.2


def taps(net, given):
    """The output of every module, of norms before their activation."""
    found, handles = {}, []
    active = {path for path, module in net.named_modules() if isinstance(module, BatchNormAct2d)}
    for path, module in net.named_modules():
        if not path or path in active:
            continue
        inside = path.removesuffix(".drop")

        def keep(module, given, output, path=inside if inside in active else path):
            found[path] = output.detach().clone()

        handles.append(module.register_forward_hook(keep))
    net(given["images"])
    for handle in handles:
        handle.remove()
    return found


def original(name):
    return judge.Original(
        source=f"timm {timm.__version__}",
        build=lambda: timm.create_model(name, pretrained=False, num_classes=CLASSES),
        inputs=images([2, 3, 64, 64]),
        odd_inputs=images([1, 3, 97, 161]),
        train_inputs=images([4, 3, 64, 64]),
        outputs=outputs,
        loss=loss(0.0),
        adjust=adjust,
        taps=taps,
        facts={"family": "image"},
    )


ORIGINALS = {name: original(name) for name in NAMES}
