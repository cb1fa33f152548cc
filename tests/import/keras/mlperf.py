"""What the ResNet of MLPerf Tiny (`scripts/fetch-real mlperf-tiny`) says of inputs by formula, run by Keras: mlperf.json.

    python tests/import/keras/mlperf.py

Ran with keras 3.15.1 on jax 0.10.2, h5py 3.16.0, numpy 2.x (pip install keras jax h5py). The weights are set layer by layer:
Keras 3 does not load the whole model of a Keras 2.4 file.
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

L = keras.layers


def build():
    """As the layers of the file's model_config are connected."""

    def conv(x, filters, kernel, stride):
        return L.Conv2D(filters, kernel, strides=stride, padding="same")(x)

    def norm(x):
        return L.BatchNormalization(epsilon=1e-3)(x)

    x = image = L.Input((32, 32, 3))
    x = L.ReLU()(norm(conv(x, 16, 3, 1)))
    outputs = []
    for stage, filters in enumerate([16, 32, 64]):
        stride = 1 if stage == 0 else 2
        y = L.ReLU()(norm(conv(x, filters, 3, stride)))
        y = conv(y, filters, 3, 1)
        # The shortcut is made after the second convolution.
        x = conv(x, filters, 1, 2) if stage else x
        x = L.ReLU()(L.Add()([x, norm(y)]))
        outputs.append(x)
    features = L.Flatten()(L.AveragePooling2D(8)(x))
    return keras.Model(image, [*outputs, features, L.Dense(10)(features)])


def numbers(values):
    return [float(f"{v:.9g}") for v in np.asarray(values, np.float64).ravel()]


def main():
    path = ROOT / ".cache" / "real" / "mlperf-tiny" / "image_classification.h5"
    net = build()
    with h5py.File(path) as file:
        group = file["model_weights"]
        layers = {"conv2d": 0, "batch_normalization": 0, "dense": 0}
        for layer in net.layers:
            kind = {"Conv2D": "conv2d", "BatchNormalization": "batch_normalization", "Dense": "dense"}.get(type(layer).__name__)
            if kind is None:
                continue
            name = kind if layers[kind] == 0 else f"{kind}_{layers[kind]}"
            layers[kind] += 1
            layer.set_weights([group[name][w][()] for w in group[name].attrs["weight_names"]])
    assert layers == {"conv2d": 9, "batch_normalization": 7, "dense": 1}, layers
    x = 128 + 100 * formula.signed("pictures", [4, 3, 32, 32])
    *stages, features, logits = net(x.transpose(0, 2, 3, 1).astype(np.float32))
    out = {"keras": keras.__version__, "features": numbers(features), "logits": numbers(logits)}
    out["stages"] = [{"mean": numbers([np.mean(s)])[0], "std": numbers([np.std(s)])[0]} for s in stages]
    (HERE / "mlperf.json").write_text(json.dumps(out) + "\n")
    print(np.asarray(logits).argmax(1), len((HERE / "mlperf.json").read_text()))


if __name__ == "__main__":
    main()
