"""What the network of cifar-10-model (`scripts/fetch-real cifar-vgg`) says of inputs by formula, run by Keras: sequential.json.

    python tests/import/keras/sequential.py

Ran with keras 3.15.1 on jax 0.10.2, h5py 3.16.0 (pip install keras jax h5py). The layers are built from the file's own
model_config, one by one, and filled from its model_weights.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "tests" / "parity"))
import formula  # noqa: E402

KEYS = {
    "Conv2D": ["name", "filters", "kernel_size", "strides", "padding", "use_bias", "activation"],
    "BatchNormalization": ["name", "epsilon", "scale", "center"],
    "MaxPooling2D": ["name", "pool_size", "strides", "padding"],
    "Flatten": ["name"],
    "Dense": ["name", "units", "use_bias", "activation"],
    "Dropout": ["name", "rate"],
}


def numbers(values):
    return [float(f"{v:.9g}") for v in np.asarray(values, np.float64).ravel()]


def main():
    with h5py.File(ROOT / ".cache" / "real" / "cifar-vgg" / "cnn_model.h5") as file:
        config = json.loads(file.attrs["model_config"])
        layers = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
        net = keras.Sequential([keras.layers.Input((32, 32, 3))])
        for layer in layers:
            kind, about = layer["class_name"], layer["config"]
            net.add(getattr(keras.layers, kind)(**{key: about[key] for key in KEYS[kind]}))
        for layer in net.layers:
            group = file["model_weights"][layer.name]
            layer.set_weights([group[name][()] for name in group.attrs["weight_names"]])
    trunk = keras.Model(net.inputs, net.layers[-2].output)
    x = (128 + 100 * formula.signed("pictures", [4, 3, 32, 32])).transpose(0, 2, 3, 1).astype(np.float32)
    out = {"keras": keras.__version__, "features": numbers(trunk(x)[:1]), "logits": numbers(net(x))}
    (HERE / "sequential.json").write_text(json.dumps(out) + "\n")
    print(np.asarray(net(x)))


if __name__ == "__main__":
    main()
