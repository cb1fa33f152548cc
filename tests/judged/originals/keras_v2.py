"""Keras' ResNets V2, saved in each of Keras' formats; the rest is as in `keras_models`."""

import dataclasses

from originals import keras_models


def modules(depths):
    """Keras' name of each layer by ours."""
    found = {"stem.conv": "conv1_conv", "stem": "pool1_pool", "norm": "post_bn"}
    for s, depth in enumerate(depths):
        for b in range(depth):
            ours, theirs = f"stages.{s}.blocks.{b}", f"conv{s + 2}_block{b + 1}"
            found |= {ours: f"{theirs}_out", f"{ours}.norm1": f"{theirs}_preact_bn"}
            found |= {f"{ours}.conv{c}": f"{theirs}_{c}_conv" for c in (1, 2, 3)}
            found |= {f"{ours}.norm{c + 1}": f"{theirs}_{c}_bn" for c in (1, 2)}
            found |= {f"{ours}.downsample.conv": f"{theirs}_0_conv"} if b == 0 else {}
    return found


keras_models.MODELS |= (
    MODELS := {
        "keras_resnet50v2": ("ResNet50V2", 64, "keras", modules([3, 4, 6, 3])),
        "keras_resnet101v2": ("ResNet101V2", 64, "h5", modules([3, 4, 23, 3])),
        "keras_resnet152v2": ("ResNet152V2", 64, "weights.h5", modules([3, 8, 36, 3])),
    }
)


def fill(net):
    """Blocks add little, so that rounding does not grow from block to block."""
    keras_models.fill(net)
    for variable in net.variables:
        if variable.path.endswith("_3_conv/kernel"):
            variable.assign(variable * 0.2)
    return net


ORIGINALS = {name: dataclasses.replace(keras_models.original(name), fill=fill) for name in MODELS}
