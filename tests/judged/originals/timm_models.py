"""timm's ResNets where they differ from torchvision's: stems and shortcuts."""

import judge
import timm
from originals.torchvision_models import CLASSES, adjust, images, loss, outputs

NAMES = ["resnet26", "resnet26d", "resnet50b", "resnet50c", "resnet50d", "resnet50s", "resnet26t", "resnet18d", "resnet101d", "resnet152d"]


def build(name):
    # torchvision's own are what timm calls b.
    return timm.create_model("resnet50" if name == "resnet50b" else name, pretrained=False, num_classes=CLASSES)


def original(name):
    return judge.Original(
        source=f"timm {timm.__version__}",
        build=lambda: build(name),
        inputs=images([2, 3, 64, 64]),
        odd_inputs=images([1, 3, 97, 161]),
        train_inputs=images([4, 3, 64, 64]),
        outputs=outputs,
        loss=loss(0.0),
        adjust=adjust,
        facts={"family": "image"},
    )


ORIGINALS = {name: original(name) for name in NAMES}
