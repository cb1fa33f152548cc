"""Keras' VGG, ResNet and Inception v3, saved in each of Keras' formats.

Gradients are named as the file's tensors, and the dialect translates both. Images are channels-last there.
"""

import formula
import judge
import keras
import numpy as np
import torch

# Keras takes f64 for f32 where types meet, as in batch norms and means; the f64 run must be one.
of_floats = keras.src.backend.result_type
for module in (keras.src.backend, keras.src.backend.common.dtypes):
    module.result_type = lambda *types: "float64" if any(str(t).endswith("float64") for t in types) else of_floats(*types)

CLASSES = 10
# Of norms: Inception's many units want to be farther away from zero.
INCEPTION_SHIFT = 4.0
SOURCE = f"keras {keras.__version__}"


def resnet_stages(depths):
    """Keras' name of a block's output by ours."""
    return {"bn1": "conv1_bn"} | {
        f"layer{s + 1}.{b}": f"conv{s + 2}_block{b + 1}_out" for s, depth in enumerate(depths) for b in range(depth)
    }


def vgg_features(depths):
    """The first convolution of each block: ours before, Keras' after its activation."""
    places = [2 * sum(depths[:s]) + s for s in range(len(depths))]
    return {f"features.{place}": f"block{s + 1}_conv1" for s, place in enumerate(places)}


MIXED = [f"Mixed_{m}" for m in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a")]
# Name: class, side of the images, format, {our module: layer}, settings.
MODELS = {
    "keras_vgg16": ("VGG16", 64, "h5", vgg_features([2, 2, 3, 3, 3])),
    "keras_vgg19": ("VGG19", 64, "keras", vgg_features([2, 2, 4, 4, 4])),
    "keras_resnet50": ("ResNet50", 64, "keras", resnet_stages([3, 4, 6, 3])),
    "keras_resnet101": ("ResNet101", 64, "weights.h5", resnet_stages([3, 4, 23, 3])),
    "keras_resnet152": ("ResNet152", 64, "h5", resnet_stages([3, 8, 36, 3])),
    "keras_inception_v3": ("InceptionV3", 139, "weights.h5", {name: f"mixed{i}" for i, name in enumerate(MIXED)}),
}


def make(kind, side, dtype):
    keras.utils.clear_session()
    keras.config.set_dtype_policy(str(dtype).removeprefix("torch."))
    model = getattr(keras.applications, kind)
    net = model(weights=None, input_shape=(*side, 3), classes=CLASSES, classifier_activation=None)
    keras.config.set_dtype_policy("float32")
    return net


def weight(name, shape):
    """By formula: as formula.weight, for Keras' names and order of axes."""
    v, kind = formula.signed(name, shape), name.rsplit("/", 1)[-1]
    if len(shape) >= 2:
        v = v * np.sqrt(3.0 / np.prod(shape[:-1]))
    elif kind == "moving_variance":
        v = 1.0 + 0.5 * v
    elif kind == "gamma":
        # As in torchvision's: the last norm of a bottleneck small, the others shifted away from zero.
        v = (0.2 if name.endswith("_3_bn/gamma") else 1.0) * (1.0 + 0.1 * v)
    else:
        shift = INCEPTION_SHIFT if name.startswith("batch_normalization") else 2.5
        v = 0.1 * v + (shift if kind == "beta" and "_3_bn" not in name else 0.0)
    return v.astype(np.float32)


def fill(net):
    # Layers are numbered on from model to model: the order tells them apart, not the name.
    for variable in net.variables:
        variable.assign(weight(variable.path, list(variable.shape)))
    return net


def images(shape):
    def given(key):
        return {"images": formula.signed(key, shape), "labels": formula.integers("labels", shape[:1], CLASSES)}

    return given


def original(name):
    kind, side, extension, taps = MODELS[name]

    def convert(net, dtype):
        converted = make(kind, net.input_shape[1:3], dtype)
        converted.set_weights(net.get_weights())
        return converted

    def fitting(net, x):
        """Keras' networks with classifier have one size of images."""
        if tuple(x.shape[1:3]) == net.input_shape[1:3]:
            return net
        other = make(kind, tuple(x.shape[1:3]), x.dtype)
        other.set_weights(net.get_weights())
        return other

    def outputs(net, given):
        x = given["images"].permute(0, 2, 3, 1)
        return {"logits": fitting(net, x)(x, training=net.training)}

    def tapped(net, given):
        def run(tensors, x):
            return keras.Model(net.inputs, tensors)(x, training=False)

        layers, x = [net.get_layer(layer) for layer in taps.values()], given["images"].permute(0, 2, 3, 1)
        if kind.startswith("VGG"):
            given = run([layer.input for layer in layers], x)
            y = [layer.convolution_op(t.to(x.dtype), layer.kernel) + layer.bias for layer, t in zip(layers, given, strict=True)]
        else:
            y = run([layer.output for layer in layers], x)
        return dict(zip(taps, (t.permute(0, 3, 1, 2) for t in y), strict=True))

    def gradients(net):
        return {v.path: v.value.grad for v in net.trainable_variables}

    def save(net, folder):
        file = f"net.{extension}"
        if extension == "weights.h5":
            net.save_weights(folder / file)
        else:
            net.save(folder / file)
        return file

    return judge.Original(
        source=SOURCE,
        build=lambda: make(kind, (side, side), torch.float32),
        fill=fill,
        convert=convert,
        inputs=images([2, 3, side, side]),
        odd_inputs=None if kind.startswith("VGG") else images([3, 3, 97, 161]),
        train_inputs=images([2 if kind.startswith("VGG") else 4, 3, side, side]),
        outputs=outputs,
        taps=tapped,
        gradients=gradients,
        loss=lambda out, given: torch.nn.functional.cross_entropy(out["logits"], given["labels"]),
        save=save,
        facts={"family": "image", "names": "of the file"},
    )


ORIGINALS = {name: original(name) for name in MODELS}
