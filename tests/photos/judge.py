"""Makes pictures of every kind, and what Pillow, torchvision and Keras make of them.

    "$(scripts/judges | tail -n 1)" tests/photos/judge.py FOLDER

FOLDER then holds the pictures and `expected.safetensors`: for each picture NAME.rgb, its bytes upright, and for each way of
preprocessing NAME.WAY, the numbers that go into a net, as (H, W, C).
"""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.numpy import save_file
from torchvision.transforms import functional as tf
from torchvision.transforms import InterpolationMode

SIZES = [(1, 1), (1, 7), (9, 1), (3, 2), (31, 47), (64, 64), (100, 75), (223, 225), (224, 224), (257, 300), (480, 360), (300, 1200), (1333, 800)]


def scene(rng, width, height):
    """Smooth shades, an edge, and some noise: as photographs have."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    channels = []
    for _ in range(4):
        a, b, c, d = rng.uniform(-4, 4, 4)
        shade = np.sin(a * x / max(width, 32) + c) * np.cos(b * y / max(height, 32) + d)
        edge = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1) > rng.uniform(-50, 50)) * rng.uniform(0, 0.7)
        channels.append(0.5 + 0.4 * shade * 0.6 + 0.3 * (edge - 0.35) + rng.normal(0, 0.02, x.shape))
    return (np.clip(np.stack(channels, -1), 0, 1) * 255).round().astype(np.uint8)


def pictures(folder):
    """Name by name, with each size at least one picture."""
    rng = np.random.default_rng(7)
    made = []

    def save(kind, ending, image, **how):
        name = f"{len(made):02d}-{kind}-{image.width}x{image.height}.{ending}"
        image.save(folder / name, **how)
        made.append(name)

    for i, (width, height) in enumerate(SIZES):
        pixels = scene(rng, width, height)
        rgb, rgba = Image.fromarray(pixels[..., :3]), Image.fromarray(pixels)
        save("rgb", "png", rgb)
        save("q90-444", "jpg", rgb, quality=90, subsampling=0)
        save(["q75-420", "q85-422", "q95-420"][i % 3], "jpg", rgb, quality=[75, 85, 95][i % 3], subsampling=[2, 1, 2][i % 3])
        grey = rgb.convert("L")
        match i % 6:
            case 0:
                save("grey", "png", grey)
                save("progressive", "jpg", rgb, quality=80, progressive=True)
            case 1:
                save("rgba", "png", rgba)
                save("grey", "jpg", grey, quality=85)
            case 2:
                save("palette", "png", rgb.quantize(40), transparency=3)
                save("cmyk", "jpg", rgb.convert("CMYK"), quality=90)
            case 3:
                save("grey-alpha", "png", rgba.convert("LA"))
                save("one-bit", "png", grey.convert("1"))
            case 4:
                wide = np.stack([pixels[..., 0].astype(np.uint16) * 257] * 1, -1)[..., 0]
                save("grey16", "png", Image.fromarray(wide))
                save("palette16", "png", rgb.quantize(9), bits=4)
            case 5:
                save("rgb", "png", rgb, compress_level=0)
                save("restart", "jpg", rgb, quality=70, restart_marker_blocks=3)
    for orientation in range(1, 9):
        rgb = Image.fromarray(scene(rng, 120, 90)[..., :3])
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(f"orientation{orientation}", "png" if orientation % 2 else "jpg", rgb, exif=exif)
    return made


def upright(path):
    image = Image.open(path)
    if image.mode == "I;16":
        # Pillow's own conversion makes all beyond 255 white.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return ImageOps.exif_transpose(image).convert("RGB")


def torchvision(image, resize, crop, bicubic=False, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    mode = InterpolationMode.BICUBIC if bicubic else InterpolationMode.BILINEAR
    image = tf.center_crop(tf.resize(image, resize, mode), crop)
    return tf.normalize(tf.to_tensor(image), mean, std).permute(1, 2, 0).numpy()


def of_keras(image, side, mode):
    resized = image.resize((side, side), Image.Resampling.BILINEAR)  # keras.utils.load_img(target_size, "bilinear")
    values = keras.utils.img_to_array(resized)
    return keras.src.applications.imagenet_utils.preprocess_input(values.copy(), data_format="channels_last", mode=mode)


WAYS = {
    "torchvision": lambda image: torchvision(image, 256, 224),
    "torchvision_v2": lambda image: torchvision(image, 232, 224),
    "inception": lambda image: torchvision(image, 342, 299),
    "timm": lambda image: torchvision(image, 235, 224, bicubic=True),
    "keras_caffe": lambda image: of_keras(image, 224, "caffe"),
    "keras_tf": lambda image: of_keras(image, 299, "tf"),
    "keras_torch": lambda image: of_keras(image, 224, "torch"),
}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name in pictures(folder):
        image = upright(folder / name)
        expected[f"{name}.rgb"] = np.asarray(image)
        for way, run in WAYS.items():
            expected[f"{name}.{way}"] = np.ascontiguousarray(run(image), dtype=np.float32)
    save_file(expected, folder / "expected.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
