"""pytorch-fid's Inception v3, with which the Frechet inception distance is measured: built as its package does, without the
weights that the package would download."""

import importlib.metadata

import judge
import torchvision
from originals.torchvision_models import adjust, images, loss, outputs
from pytorch_fid.inception import FIDInceptionA, FIDInceptionC, FIDInceptionE_1, FIDInceptionE_2

CLASSES = 1008
BLOCKS = {
    "Mixed_5b": lambda: FIDInceptionA(192, pool_features=32),
    "Mixed_5c": lambda: FIDInceptionA(256, pool_features=64),
    "Mixed_5d": lambda: FIDInceptionA(288, pool_features=64),
    "Mixed_6b": lambda: FIDInceptionC(768, channels_7x7=128),
    "Mixed_6c": lambda: FIDInceptionC(768, channels_7x7=160),
    "Mixed_6d": lambda: FIDInceptionC(768, channels_7x7=160),
    "Mixed_6e": lambda: FIDInceptionC(768, channels_7x7=192),
    "Mixed_7b": lambda: FIDInceptionE_1(1280),
    "Mixed_7c": lambda: FIDInceptionE_2(2048),
}


def build():
    net = torchvision.models.inception_v3(num_classes=CLASSES, aux_logits=False, init_weights=False)
    for name, block in BLOCKS.items():
        setattr(net, name, block())
    return net


ORIGINALS = {
    "fid_inception_v3": judge.Original(
        source=f"pytorch-fid {importlib.metadata.version('pytorch-fid')}",
        build=build,
        inputs=images([2, 3, 139, 139]),
        odd_inputs=images([1, 3, 97, 161]),
        train_inputs=images([2, 3, 139, 139]),
        outputs=outputs,
        loss=loss(0.0),
        adjust=adjust,
        facts={"family": "image"},
    )
}
