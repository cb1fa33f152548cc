"""timm's Inception v4 and Inception-ResNet v2, facenet-pytorch's Inception-ResNet v1 and Keras' Inception-ResNet v2."""

import dataclasses
import importlib.metadata
import sys
import types

import judge
import timm
import torch
from originals import keras_models
from originals.timm_v2 import taps
from originals.torchvision_models import CLASSES, images, loss, outputs

# Shapes of the evaluation input and of an odd one. Of the training input 3x3 pixels are left at the end where there are no
# shortcuts past the norms, which magnify rounding over fewer values; fewer pixels meet fewer ReLUs and pools near a tie.
SHAPES = ([2, 3, 107, 107], [1, 3, 97, 161])
TRAINING = {"inception_v4": [4, 3, 139, 139], "inception_resnet_v2": [4, 3, 107, 107]}
# The norm of facenet-pytorch's embedding sees one value an image. Of hundreds of inputs one is without near ties.
FACES, FACES_TRIES = [4, 3, 107, 107], range(169, 177)


def facenet(**options):
    """facenet-pytorch's network, without what its package imports for downloads."""
    for name in ("requests", "requests.adapters"):
        module = sys.modules.setdefault(name, types.ModuleType(name))
        module.HTTPAdapter = getattr(module, "HTTPAdapter", object)
    from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1

    return InceptionResnetV1(**options)


def adjust(net):
    """Shifts of batch norms that leave few inputs of ReLUs near zero, and residual blocks that add little, so that they stay so.
    What shifts all pixels has next to no gradient: so little of it in the first, which another norm follows without padding."""
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias += 1.0 if name == "conv2d_1a.bn" else 2.5
        elif name.endswith(".conv2d"):
            module.weight *= 0.2


def adjust_faces(net):
    """As `adjust`, farther from zero; but not where only a norm follows the last block, and the few below zero are all that has a
    gradient."""
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias += 1.0 if name.startswith(("conv2d_1a.", "block8.")) else 3.0
        elif name.endswith(".conv2d"):
            module.weight *= 0.2


def original(source, build, training, taps=None, adjust=adjust, tries=range(12), **facts):
    evaluation, odd = SHAPES
    return judge.Original(
        source=source,
        build=build,
        inputs=images(evaluation),
        odd_inputs=images(odd),
        train_inputs=images(training),
        outputs=outputs,
        loss=loss(0.0),
        adjust=adjust,
        taps=taps,
        tries=tries,
        facts={"family": "image", **facts},
    )


def of_timm(name):
    return original(f"timm {timm.__version__}", lambda: timm.create_model(name, pretrained=False, num_classes=CLASSES), TRAINING[name], taps)


def keras_modules():
    """Keras' name of each layer by ours."""
    found = {"mixed_5b": "mixed_5b", "mixed_6a": "mixed_6a", "mixed_7a": "mixed_7a", "conv2d_7b.bn": "conv_7b_bn", "conv2d_7b": "conv_7b_ac"}
    for ours, theirs, count in (("repeat", "block35", 10), ("repeat_1", "block17", 20), ("repeat_2", "block8", 9)):
        found |= {f"{ours}.{b}.conv2d": f"{theirs}_{b + 1}_conv" for b in range(count)}
        found |= {f"{ours}.{b}": f"{theirs}_{b + 1}_ac" for b in range(count)}
    return found | {"block8.conv2d": "block8_10_conv"}


def fill_keras(net):
    """As `adjust`."""
    keras_models.fill(net)
    for variable in net.variables:
        if variable.path.startswith("block") and variable.path.endswith("_conv/kernel"):
            variable.assign(variable * 0.2)
    return net


keras_models.MODELS |= {"keras_inception_resnet_v2": ("InceptionResNetV2", 107, "keras", keras_modules())}

FACENET = f"facenet-pytorch {importlib.metadata.version('facenet-pytorch')}"

ORIGINALS = {
    "inception_v4": of_timm("inception_v4"),
    "inception_resnet_v2": of_timm("inception_resnet_v2"),
    "inception_resnet_v1": original(FACENET, lambda: facenet(classify=True, num_classes=CLASSES), FACES, adjust=adjust_faces, tries=FACES_TRIES),
    # Directions of 512 numbers come out.
    "inception_resnet_v1_embedding": original(FACENET, facenet, FACES, adjust=adjust_faces, tries=FACES_TRIES, embeds=True),
    "keras_inception_resnet_v2": dataclasses.replace(keras_models.original("keras_inception_resnet_v2"), fill=fill_keras, tries=range(12)),
}
