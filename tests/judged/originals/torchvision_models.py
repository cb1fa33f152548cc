"""torchvision's VGG, ResNet, Inception v3 and GoogLeNet."""

import formula
import judge
import torch
import torchvision

CLASSES = 10
SOURCE = f"torchvision {torchvision.__version__.split('+')[0]}"
AUX = {"inception_v3": 0.4, "googlenet": 0.3}
# Shapes of the evaluation input, of an odd one and of the training input.
SHAPES = {
    "inception_v3": ([2, 3, 139, 139], [1, 3, 97, 161], [2, 3, 299, 299]),
    "googlenet": ([2, 3, 96, 96], [1, 3, 97, 161], [4, 3, 64, 64]),
    "vgg16": ([2, 3, 64, 64], [1, 3, 97, 161], [2, 3, 32, 32]),
}
# Inputs without near ties are rare where much is pooled: those before lie on one.
TRIES = {"googlenet": range(30, 62), "vgg11_bn": range(9, 10)}
NAMES = [f"vgg{d}{bn}" for d in (11, 13, 16, 19) for bn in ("", "_bn")] + [
    *(f"resnet{d}" for d in (18, 34, 50, 101, 152)),
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "inception_v3",
    "googlenet",
]


def build(name):
    # transform_input is what torchvision's own weights are loaded with.
    options = {"aux_logits": True, "init_weights": False, "transform_input": True} if name in AUX else {}
    if name.startswith("vgg"):
        options = {"init_weights": False}
    return getattr(torchvision.models, name)(num_classes=CLASSES, **options)


def adjust(net):
    """Shifts of batch norms that leave few inputs of ReLUs near zero; last norms of bottlenecks so small that rounding does not
    grow tenfold from stage to stage."""
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            if name.endswith(".bn3"):
                module.weight *= 0.2
            else:
                module.bias += 4.0 if isinstance(net, torchvision.models.Inception3) else 2.5


def images(shape):
    def make(key):
        return {"images": formula.signed(key, shape), "labels": formula.integers("labels", shape[:1], CLASSES)}

    return make


def outputs(net, given):
    y = net(given["images"])
    if isinstance(y, torch.Tensor):
        return {"logits": y}
    found = [t for t in y if t is not None]
    return {"logits": found[0]} | {f"aux{i}": t for i, t in enumerate(found[1:])}


def loss(weight):
    def total(out, given):
        parts = [torch.nn.functional.cross_entropy(t, given["labels"]) for t in out.values()]
        return parts[0] + weight * sum(parts[1:])

    return total


def original(name):
    batch = 2 if name.startswith("vgg") and not name.endswith("_bn") else 4
    evaluation, odd, training = SHAPES.get(name, ([2, 3, 64, 64], [1, 3, 97, 161], [batch, 3, 64, 64]))
    return judge.Original(
        source=SOURCE,
        build=lambda: build(name),
        inputs=images(evaluation),
        odd_inputs=images(odd),
        train_inputs=images(training),
        outputs=outputs,
        loss=loss(AUX.get(name, 0.0)),
        adjust=adjust,
        tries=TRIES.get(name, range(4)),
        facts={"family": "image"},
    )


ORIGINALS = {name: original(name) for name in NAMES}
