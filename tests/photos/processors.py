"""What transformers' processors make of a picture, from the `preprocessor_config.json` that ukulele wrote.

    "$(scripts/judges | tail -n 1)" tests/photos/processors.py FOLDER

FOLDER holds one picture, WIDTHxHEIGHT.rgb, and folders of configurations; `expected.safetensors` gets (H, W, C) of each.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from transformers import AutoImageProcessor

folder = Path(sys.argv[1])
(picture,) = folder.glob("*.rgb")
image = Image.frombytes("RGB", tuple(map(int, picture.stem.split("x"))), picture.read_bytes())
expected = {}
for config in folder.glob("*/preprocessor_config.json"):
    processor = AutoImageProcessor.from_pretrained(config.parent, use_fast=False)
    values = np.asarray(processor(image, return_tensors="np")["pixel_values"][0], np.float32)
    expected[config.parent.name] = np.ascontiguousarray(values.transpose(1, 2, 0))
save_file(expected, folder / "expected.safetensors")
