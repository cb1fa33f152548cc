"""Makes pictures of every kind, and what Pillow, torchvision and Keras make of them.

    "$(scripts/judges | tail -n 1)" tests/photos/judge.py FOLDER

FOLDER then holds the pictures and `expected.safetensors`: for each picture NAME.rgb, its bytes upright, and for each way of
preprocessing NAME.WAY, the numbers that go into a net, as (H, W, C).
"""

import io
import os
import struct
import sys
import zlib
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.numpy import save_file
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

SIZES = [(1, 1), (1, 7), (9, 1), (3, 2), (31, 47), (64, 64), (100, 75), (223, 225), (224, 224), (257, 300), (480, 360)]
SIZES += [(300, 1200), (1333, 800), (1500, 20)]


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


def png(samples, bits, colour, interlaced):
    """A PNG of samples (H, W, C) as Pillow does not write them: 2 or 16 bits, interlaced by Adam7."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    def rows(part):
        for row in part.reshape(part.shape[0], -1):
            if bits == 16:
                yield b"\0" + row.astype(">u2").tobytes()
            else:
                each = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
                yield b"\0" + np.packbits(each.ravel()).tobytes()

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [samples[y::h, x::w] for y, x, h, w in passes] if interlaced else [samples]
    body = b"".join(row for part in parts if part.size for row in rows(part))
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def jpeg(image, change, **how):
    """A JPEG as Pillow does not write them: with other sampling or meaning, by a change of its bytes."""
    made = io.BytesIO()
    image.save(made, "jpeg", **how)
    return change(made.getvalue())


def sampling(*sides):
    """Other blocks across and down for each component; as many blocks in all."""

    def change(data):
        data = bytearray(data)
        at = data.index(b"\xff\xc0") + 10
        for i, side in enumerate(sides):
            data[at + 3 * i + 1] = side
        return bytes(data)

    return change


def ycck(data):
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\2" + data[at + 1 :]


def odd(rng):
    """File name and bytes of what Pillow reads but does not write."""
    pixels = scene(rng, 64, 64)
    wide = pixels.astype(np.uint16) * 256 + rng.integers(0, 256, pixels.shape, dtype=np.uint16)
    rgb = Image.fromarray(pixels[..., :3])
    yield "rgb16.png", png(wide[..., :3], 16, 2, False)
    yield "rgba16.png", png(wide, 16, 6, False)
    yield "rgba16-interlaced.png", png(wide[:61, :43], 16, 6, True)
    yield "grey16-interlaced.png", png(wide[:29, :35, :1], 16, 0, True)
    yield "rgb-interlaced.png", png(pixels[:, :63, :3], 8, 2, True)
    yield "grey2-interlaced.png", png(pixels[:33, :, :1] // 64, 2, 0, True)
    yield "grey4.png", png(pixels[:, :13, :1] // 16, 4, 0, False)
    yield "440.jpg", jpeg(rgb, sampling(0x12, 0x11, 0x11), subsampling=1)
    yield "411.jpg", jpeg(rgb, sampling(0x41, 0x11, 0x11), subsampling=2)
    yield "grey-2x2.jpg", jpeg(rgb.convert("L"), sampling(0x22))
    yield "rgb-kept.jpg", jpeg(rgb, bytes, keep_rgb=True, quality=90)
    yield "ycck.jpg", jpeg(rgb.convert("CMYK"), ycck, quality=90)
    yield "cmyk-progressive.jpg", jpeg(rgb.convert("CMYK"), bytes, quality=60, progressive=True)
    yield "progressive-restart.jpg", jpeg(rgb, bytes, quality=97, progressive=True, restart_marker_blocks=2)
    yield "worst.jpg", jpeg(rgb, bytes, quality=1)
    yield "best.jpg", jpeg(Image.fromarray(rng.integers(0, 256, (50, 51, 3), dtype=np.uint8)), bytes, quality=100)


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
    save("q85-420", "jpg", Image.fromarray(scene(rng, 4000, 3000)[..., :3]), quality=85)
    for orientation in range(1, 9):
        rgb = Image.fromarray(scene(rng, 120, 90)[..., :3])
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(f"orientation{orientation}", "png" if orientation % 2 else "jpg", rgb, exif=exif)
    for name, data in odd(rng):
        (folder / name).write_bytes(data)
        made.append(name)
    return made


def upright(path):
    image = Image.open(path)
    if image.mode == "I;16":
        # Pillow's own conversion makes all beyond 255 white.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return ImageOps.exif_transpose(image).convert("RGB")


def torchvision(crop, resize, mode=InterpolationMode.BILINEAR):
    preset = ImageClassification(crop_size=crop, resize_size=resize, interpolation=mode)
    return lambda image: preset(image).permute(1, 2, 0).numpy()


def of_keras(side, mode, interpolation="bilinear"):
    def run(image):
        file = io.BytesIO()
        image.save(file, "png", compress_level=0)
        file.seek(0)
        loaded = keras.utils.load_img(file, target_size=(side, side), interpolation=interpolation)
        values = keras.utils.img_to_array(loaded)
        return keras.applications.imagenet_utils.preprocess_input(values, data_format="channels_last", mode=mode)

    return run


def resizing(image):
    values = keras.layers.Resizing(224, 224)(np.asarray(image, np.float32)[None])[0].numpy()
    return keras.applications.imagenet_utils.preprocess_input(values.copy(), data_format="channels_last", mode="caffe")


WAYS = {
    "torchvision": torchvision(224, 256),
    "torchvision_v2": torchvision(224, 232),
    "inception": torchvision(299, 342),
    "timm": torchvision(224, 235, InterpolationMode.BICUBIC),
    "keras_caffe": of_keras(224, "caffe"),
    "keras_tf": of_keras(299, "tf"),
    "keras_torch": of_keras(224, "torch"),
    "keras_nearest": of_keras(224, "caffe", "nearest"),
    "keras_bicubic": of_keras(299, "tf", "bicubic"),
    "keras_resizing": resizing,
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
