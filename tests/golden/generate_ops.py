"""Writes ops.json and ops.png: the pixels of every op, by Pillow, timm and torchvision.

Run ``python tests/golden/generate_ops.py`` to add cases. If a tile changes, the installed libraries
make other pixels than before.

ops.png is a strip of tiles, to be looked at too: the image, then the result of each op in ops.json.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "python"))

from reference import TIMM  # noqa: E402  # the functions that the parity tests compare with

HEIGHT, WIDTH = 17, 24
FILL = (124, 116, 104)


def image():
    """A gradient, noise, and a flat box: (H, W, 3) uint8 with a range below 0 to 255."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([30 + 8 * x, 200 - 9 * y, 60 + 3 * x + 4 * y], -1)
    pixels += np.random.default_rng(0).integers(-25, 26, pixels.shape)
    pixels[4:9, 3:11] = (210, 90, 40)
    pixels[10:14, 12:20] = (70, 70, 70)
    return np.clip(pixels, 12, 240).astype(np.uint8)


def geometric(name, argument, *values):
    """An op at several values, with all three interpolations."""
    return [
        (name, {argument: value, "interpolation": interpolation, "fill": FILL})
        for value in values
        for interpolation in ("nearest", "bilinear", "bicubic")
    ]


CHAINS = [
    (0.5, [("Invert", {})]),
    (0.375, [("Posterize", {"bits": 3}), ("Color", {"factor": 1.7})]),
]
BOX = {"x": 5, "y": 3, "w": 9, "h": 7}
NOISE = {"fill": "noise", "mean": (124.0, 116.0, 104.0), "std": (58.0, 57.0, 57.0)}

CASES = [
    ("AutoContrast", {}),
    ("Equalize", {}),
    ("Invert", {}),
    ("Grayscale", {}),
    *(("Posterize", {"bits": bits}) for bits in (0, 1, 3, 8)),
    *(("Solarize", {"threshold": threshold}) for threshold in (-1.0, 0.0, 99.5, 128.0, 256.0)),
    *(("SolarizeAdd", {"add": 77, "threshold": threshold}) for threshold in (0, 128, 256)),
    *(("Brightness", {"factor": factor}) for factor in (0.0, 0.55, 1.0, 1.9)),
    *(("Color", {"factor": factor}) for factor in (-0.5, 0.0, 0.55, 1.9)),
    *(("Contrast", {"factor": factor}) for factor in (0.0, 0.55, 1.9)),
    *(("Sharpness", {"factor": factor}) for factor in (0.0, 0.55, 1.9)),
    *(("Hue", {"factor": factor}) for factor in (-0.5, -0.13, 0.07, 0.5)),
    *(("GaussianBlur", {"radius": radius}) for radius in (0.0, 0.4, 1.3, 5.0)),
    *(("GaussianKernel", {"kernel_size": 23, "sigma": sigma}) for sigma in (0.1, 1.3)),
    *geometric("ShearX", "factor", -0.31, 1.7),
    *geometric("ShearY", "factor", -0.31, 1.7),
    *geometric("TranslateX", "pixels", -4.6, 3.0),
    *geometric("TranslateY", "pixels", -4.6, 3.0),
    *geometric("Rotate", "degrees", -27.3, 90.0, 180.0),
    ("Mix", {"mixing": "sum", "amount": 0.625, "chains": CHAINS}),
    ("Mix", {"mixing": "blends", "chains": CHAINS}),
    ("Mix", {"mixing": "weighted", "image": 0.125, "chains": CHAINS}),
    ("Erase", {**BOX, "fill": (1, 2, 3)}),
    ("Erase", {**BOX, "x": -3, "y": 14, "fill": FILL}),
    ("Erase", {**BOX, **NOISE, "seed": 2**40 + 7}),
    ("Erase", {**BOX, **NOISE, "x": -3, "y": -2, "seed": 2**63 + 1}),
]


def philox(counter, key):
    """Philox4x32-10 (Salmon et al., SC 2011)."""
    counter, key = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [b >> 32 ^ counter[1] ^ key[0], b, a >> 32 ^ counter[3] ^ key[1], a]
        counter = [word & 0xFFFFFFFF for word in counter]
        key = [key[0] + 0x9E3779B9 & 0xFFFFFFFF, key[1] + 0xBB67AE85 & 0xFFFFFFFF]
    return counter


def normals(seed, row, channel, count):
    """The first numbers of the stream for a row and channel of a box of noise."""
    words = []
    for block in range(count):
        words += philox([row, 0, 0, channel << 16 | block], [seed & 0xFFFFFFFF, seed >> 32])
    units = [
        ((high >> 5) * 2**26 + (low >> 6)) / 2**53
        for high, low in zip(words[::2], words[1::2], strict=True)
    ]
    numbers = []
    for first, second in zip(units[::2], units[1::2], strict=True):
        radius, angle = math.sqrt(-2 * math.log(1 - first)), math.tau * second
        numbers += [radius * math.cos(angle), radius * math.sin(angle)]
    return numbers[:count]


def noise(pixels, x, y, w, h, mean, std, seed):
    """A box of noise, the one op that no other library has."""
    result = pixels.copy()
    for row in range(max(0, -y), min(h, HEIGHT - y)):
        for channel in range(3):
            values = normals(seed, row, channel, w)
            for column in range(max(0, -x), min(w, WIDTH - x)):
                value = mean[channel] + std[channel] * values[column]
                result[y + row, x + column, channel] = np.clip(np.floor(value + 0.5), 0, 255)
    return result


def weighted(pixels, image, chains):
    """torchvision's `AugMix`: the sum in f32, truncated."""
    total = np.float32(image) * pixels.astype(np.float32)
    for weight, ops in chains:
        result = pixels
        for name, arguments in ops:
            result = expected(result, name, arguments)
        total += np.float32(weight) * result.astype(np.float32)
    return total.astype(np.uint8)


def expected(pixels, name, arguments):
    """What the op must make of an image."""
    if arguments.get("fill") == "noise":
        return noise(pixels, **{key: value for key, value in arguments.items() if key != "fill"})
    if arguments.get("mixing") == "weighted":
        return weighted(pixels, arguments["image"], arguments["chains"])
    return np.asarray(TIMM[name](Image.fromarray(pixels), **arguments))


def strip():
    """All tiles, one below the other."""
    pixels = image()
    return np.concatenate([pixels, *(expected(pixels, *case) for case in CASES)])


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(case) for case in CASES)
    (FOLDER / "ops.json").write_text(f"[\n{lines}\n]\n")
    Image.fromarray(strip()).save(FOLDER / "ops.png", optimize=True)
    print(f"{len(CASES)} ops, {(FOLDER / 'ops.png').stat().st_size:,} bytes of pixels")
