"""Golden pixels of Pillow: antialiased resize (resize.json) and decoding of small files (files/, files.json). See README.md.

    "$(scripts/judges | tail -n 1)" tests/data/resize/generator.py
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "parity"))
import formula  # noqa: E402

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# (mode, content, input width, input height, output width, output height)
CASES = [
    ("L", "noise", 7, 5, 3, 4), ("RGB", "noise", 4, 3, 6, 5),  # stored in full
    ("L", "noise", 1, 1, 1, 1), ("L", "noise", 1, 1, 5, 7), ("RGB", "noise", 2, 2, 1, 1), ("RGB", "noise", 1, 9, 4, 4), ("L", "noise", 64, 1, 9, 3),
    ("RGB", "noise", 13, 17, 13, 17), ("RGB", "noise", 13, 17, 13, 8), ("RGB", "noise", 13, 17, 6, 17), ("L", "noise", 300, 300, 256, 256),
    ("L", "noise", 300, 300, 224, 224), ("RGB", "noise", 300, 200, 384, 256), ("RGB", "noise", 341, 256, 299, 224), ("RGB", "noise", 97, 161, 32, 32),
    ("RGB", "ramp", 320, 240, 224, 224), ("RGB", "ramp", 33, 47, 224, 224), ("L", "ramp", 500, 375, 256, 192), ("RGB", "edges", 50, 40, 23, 31),
    ("RGB", "edges", 19, 23, 64, 64), ("L", "edges", 28, 28, 32, 32), ("RGB", "noise", 1000, 3, 17, 3),
]


def picture(mode, content, width, height):
    """noise: floor(u * 256), u of the name "image" over [height, width, channels]. ramp: (3x + 5y + 85c) mod 256.
    edges: 255 where (x div 4 + y div 3 + c) is odd, else 0: black and white overshoot in bicubic and must be clipped."""
    channels = len(mode) if mode == "RGB" else 1
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    pixels = {
        "noise": lambda: formula.integers("image", [height, width, channels], 256),
        "ramp": lambda: (3 * x + 5 * y + 85 * c) % 256,
        "edges": lambda: 255 * ((x // 4 + y // 3 + c) % 2),
    }[content]().astype(np.uint8)
    return Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])


def digest(data):
    return {"fnv1a": f"{fnv1a_bytes(data):016x}", "sha256": hashlib.sha256(data).hexdigest()}


def fnv1a_bytes(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & formula.MASK
    return h


def resize_cases():
    out = []
    for k, (mode, content, w, h, ow, oh) in enumerate(CASES):
        image = picture(mode, content, w, h)
        for name, resample in FILTERS.items():
            data = image.resize((ow, oh), resample).tobytes()
            case = {"mode": mode, "content": content, "from": [w, h], "to": [ow, oh], "filter": name, **digest(data)}
            if k < 2:
                case["pixels"] = list(data)
            out.append(case)
    return out


def smooth(width, height):
    """A soft colour picture: JPEG decoders agree on it within a step or two."""
    y, x = np.mgrid[0:height, 0:width]
    red, green, blue = 255 * x / (width - 1), 255 * y / (height - 1), 127 + 120 * np.cos(x / 7) * np.cos(y / 5)
    return Image.fromarray(np.stack([red, green, blue], -1).round().astype(np.uint8))


def write_files(folder):
    folder.mkdir(exist_ok=True)
    image = smooth(24, 16)
    alpha = Image.fromarray(formula.integers("alpha", [16, 24], 256).astype(np.uint8))
    grey = image.convert("L")
    image.save(folder / "rgb.png")
    grey.save(folder / "grey.png")
    grey.convert("1").save(folder / "one_bit.png")
    Image.merge("LA", (grey, alpha)).save(folder / "grey_alpha.png")
    rgba = image.copy()
    rgba.putalpha(alpha)
    rgba.save(folder / "rgba.png")
    palette = image.quantize(16)
    palette.save(folder / "palette_alpha.png", transparency=bytes((37 * i) % 256 for i in range(16)), bits=4)
    image.save(folder / "baseline.jpg", quality=92, subsampling=0)
    image.save(folder / "subsampled.jpg", quality=90, subsampling=2)
    image.save(folder / "progressive.jpg", quality=92, subsampling=0, progressive=True)
    grey.save(folder / "grey.jpg", quality=92)
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    for orientation in (3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(folder / f"orientation{orientation}.jpg", quality=92, subsampling=0, exif=exif)


def decoded(folder):
    out = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            plain, upright = image.convert("RGB"), ImageOps.exif_transpose(image).convert("RGB")
        entry = {"file": path.name, "size": list(plain.size), **digest(plain.tobytes()), "rgb": base64.b64encode(plain.tobytes()).decode()}
        if upright.size != plain.size or upright.tobytes() != plain.tobytes():
            entry["upright"] = {"size": list(upright.size), **digest(upright.tobytes()), "rgb": base64.b64encode(upright.tobytes()).decode()}
        out.append(entry)
    return out


def write(name, cases):
    lines = ",\n  ".join(json.dumps(c) for c in cases)
    (HERE / name).write_text(f'{{"made by": {{"pillow": "{PIL.__version__}"}},\n "cases": [\n  {lines}\n ]}}\n')
    print(name, len(cases), "cases", (HERE / name).stat().st_size, "bytes")


if __name__ == "__main__":
    write("resize.json", resize_cases())
    write_files(HERE / "files")
    write("files.json", decoded(HERE / "files"))
