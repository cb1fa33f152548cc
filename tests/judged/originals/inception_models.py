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

# Shapes of the evaluation input and of an odd one.
SHAPES = ([2, 3, 107, 107], [1, 3, 97, 161])
# Of the training input, and its number: of tens or hundreds of inputs one is without near ties, mostly of max pools. 3x3 pixels
# are left at the end where there are no shortcuts past the norms, which magnify rounding over fewer values; facenet-pytorch's
# last norm sees one value an image.
TRAINING = {"inception_v4": ([2, 3, 139, 139], 36), "inception_resnet_v2": ([4, 3, 107, 107], 14), "inception_resnet_v1": ([4, 3, 107, 107], 169)}
# Shifts of batch norms that leave few inputs of ReLUs near zero; but where another norm follows without padding, what shifts all
# pixels has no gradient, and the few below zero are all that has.
SHIFT, SHIFTS = 3.0, {"conv2d_1a.": 1.0, "block8.": 1.0, "features.0.": 1.0} | {f"features.{b}.": 2.0 for b in (19, 20, 21)}


def facenet(**options):
    """facenet-pytorch's network, without what its package imports for downloads."""
    for name in ("requests", "requests.adapters"):
        module = sys.modules.setdefault(name, types.ModuleType(name))
        module.HTTPAdapter = getattr(module, "HTTPAdapter", object)
    from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1

    return InceptionResnetV1(**options)


def adjust(net):
    """And residual blocks that add little, so that inputs of ReLUs stay where they are."""
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias += next((shift for start, shift in SHIFTS.items() if name.startswith(start)), SHIFT)
        elif name.endswith(".conv2d"):
            module.weight *= 0.2


def original(source, build, name, taps=None, **facts):
    (evaluation, odd), (training, number) = SHAPES, TRAINING[name]
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
        tries=range(number, number + 1),
        facts={"family": "image", **facts},
    )


def of_timm(name):
    return original(f"timm {timm.__version__}", lambda: timm.create_model(name, pretrained=False, num_classes=CLASSES), name, taps)


def keras_modules():
    """Keras' name of each layer by ours."""
    found = {"mixed_5b": "mixed_5b", "mixed_6a": "mixed_6a", "mixed_7a": "mixed_7a", "conv2d_7b.bn": "conv_7b_bn", "conv2d_7b": "conv_7b_ac"}
    for ours, theirs, count in (("repeat", "block35", 10), ("repeat_1", "block17", 20), ("repeat_2", "block8", 9)):
        found |= {f"{ours}.{b}.conv2d": f"{theirs}_{b + 1}_conv" for b in range(count)}
        found |= {f"{ours}.{b}": f"{theirs}_{b + 1}_ac" for b in range(count)}
    return found | {"block8.conv2d": "block8_10_conv"}


def fill_keras(net):
    """As `adjust`: the first norm, and those of the last block, are closer to zero."""
    keras_models.fill(net)
    shifts = [v for v in net.variables if v.path.startswith("batch_normalization") and v.path.endswith("/beta")]
    for place, variable in enumerate(shifts):
        variable.assign(variable - keras_models.INCEPTION_SHIFT + (SHIFT if 0 < place < len(shifts) - 4 else 1.0))
    for variable in net.variables:
        if variable.path.startswith("block") and variable.path.endswith("_conv/kernel"):
            variable.assign(variable * 0.2)
    return net


keras_models.MODELS |= {"keras_inception_resnet_v2": ("InceptionResNetV2", 107, "keras", keras_modules())}

FACENET = f"facenet-pytorch {importlib.metadata.version('facenet-pytorch')}"

ORIGINALS = {
    "inception_v4": of_timm("inception_v4"),
    "inception_resnet_v2": of_timm("inception_resnet_v2"),
    "inception_resnet_v1": original(FACENET, lambda: facenet(classify=True, num_classes=CLASSES), "inception_resnet_v1"),
    # Directions of 512 numbers come out.
    "inception_resnet_v1_embedding": original(FACENET, facenet, "inception_resnet_v1", embeds=True),
    "keras_inception_resnet_v2": dataclasses.replace(keras_models.original("keras_inception_resnet_v2"), fill=fill_keras, tries=range(12)),
}
