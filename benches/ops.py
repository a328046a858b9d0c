"""Each op at 224 x 224 on one core, in one run: Pillow, torchvision v2, albumentations, ours.

    python benches/ops.py [--rounds 20] [--pillow-simd PYTHON]

The figures are the fastest of many runs, in microseconds; the libraries take turns. Ours is what
one more op adds to the time of `render`. Only our pixels are Pillow's: torchvision works on
uint8 tensors, and albumentations uses OpenCV's filters. `--pillow-simd` names a Python that has
pillow-simd.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import PIL
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

SIDE = 224
FILL = (124, 116, 104)
RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
Work = Callable[[], object]


def photo() -> Any:
    """Smooth shapes with grain, (224, 224, 3) uint8."""
    y, x, c = np.ogrid[:SIDE, :SIDE, :3]
    wave = np.sin(x / (17.0 + c)) * np.cos(y / 23.0) + np.sin(x * y / 9000.0)
    grain = np.random.default_rng(0).normal(size=(SIDE, SIDE, 3)) * 8
    return (128 + 50 * wave + grain).clip(0, 255).astype(np.uint8)


def fastest(works: dict[str, Work], rounds: int) -> dict[str, float]:
    """Microseconds of the fastest run of each.

    They take turns of five runs, so that a change of the machine's speed affects all alike.
    """
    least = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            for _ in range(5):
                start = time.perf_counter()
                work()
                least[name] = min(least[name], time.perf_counter() - start)
    return {name: seconds * 1e6 for name, seconds in least.items()}


def pillow_works(image: Image.Image) -> dict[str, Work]:
    works: dict[str, Work] = {
        "AutoContrast": lambda: ImageOps.autocontrast(image),
        "Equalize": lambda: ImageOps.equalize(image),
        "Invert": lambda: ImageOps.invert(image),
        "Posterize": lambda: ImageOps.posterize(image, 3),
        "Solarize": lambda: ImageOps.solarize(image, 100),
        "SolarizeAdd": lambda: solarize_add(image, 40),
        "Color": lambda: ImageEnhance.Color(image).enhance(0.6),
        "Contrast": lambda: ImageEnhance.Contrast(image).enhance(0.6),
        "Brightness": lambda: ImageEnhance.Brightness(image).enhance(0.6),
        "Sharpness": lambda: ImageEnhance.Sharpness(image).enhance(1.6),
        "Grayscale": lambda: image.convert("L").convert("RGB"),
        "Hue": lambda: hue(image, 25),
        "GaussianBlur": lambda: image.filter(ImageFilter.GaussianBlur(1.3)),
    }
    for name, resample in RESAMPLE.items():
        for op, data in AFFINE.items():
            works[f"{op} {name}"] = partial(
                image.transform, image.size, Image.Transform.AFFINE, data, resample, fillcolor=FILL
            )
        works[f"Rotate {name}"] = partial(image.rotate, 27.1, resample, fillcolor=FILL)
    return works


AFFINE = {
    "ShearX": (1.0, 0.27, 0.0, 0.0, 1.0, 0.0),
    "ShearY": (1.0, 0.0, 0.0, 0.27, 1.0, 0.0),
    "TranslateX": (1.0, 0.0, 13.37, 0.0, 1.0, 0.0),
    "TranslateY": (1.0, 0.0, 0.0, 0.0, 1.0, 13.37),
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Posterize": {"bits": 3},
    "Solarize": {"threshold": 100.0},
    "SolarizeAdd": {"add": 40, "threshold": 128},
    "Color": {"factor": 0.6},
    "Contrast": {"factor": 0.6},
    "Brightness": {"factor": 0.6},
    "Sharpness": {"factor": 1.6},
    "Hue": {"factor": 0.1},
    "GaussianBlur": {"radius": 1.3},
    "ShearX": {"factor": 0.27},
    "ShearY": {"factor": 0.27},
    "TranslateX": {"pixels": 13.37},
    "TranslateY": {"pixels": 13.37},
    "Rotate": {"degrees": 27.1},
}


def solarize_add(image: Image.Image, add: int) -> Image.Image:
    """What timm's op of this name does."""
    table = [min(255, v + add) if v < 128 else v for v in range(256)]
    return image.point(table * 3)


def hue(image: Image.Image, shift: int) -> Image.Image:
    """What torchvision's `adjust_hue` does to a PIL image."""
    h, s, v = image.convert("HSV").split()
    shifted = Image.fromarray(np.asarray(h) + np.uint8(shift))
    return Image.merge("HSV", (shifted, s, v)).convert("RGB")


def torchvision_works(pixels: Any) -> dict[str, Work]:
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as f

    torch.set_num_threads(1)
    image = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
    works: dict[str, Work] = {
        "AutoContrast": lambda: f.autocontrast(image),
        "Equalize": lambda: f.equalize(image),
        "Invert": lambda: f.invert(image),
        "Posterize": lambda: f.posterize(image, 3),
        "Solarize": lambda: f.solarize(image, 100),
        "Color": lambda: f.adjust_saturation(image, 0.6),
        "Contrast": lambda: f.adjust_contrast(image, 0.6),
        "Brightness": lambda: f.adjust_brightness(image, 0.6),
        "Sharpness": lambda: f.adjust_sharpness(image, 1.6),
        "Grayscale": lambda: f.rgb_to_grayscale(image, 3),
        "Hue": lambda: f.adjust_hue(image, 0.1),
        "GaussianBlur": lambda: f.gaussian_blur(image, [9, 9], [1.3, 1.3]),
    }
    for name in ("nearest", "bilinear"):
        given: dict[str, Any] = {
            "interpolation": InterpolationMode(name),
            "fill": [float(v) for v in FILL],
        }
        affine = partial(f.affine, image, angle=0.0, scale=1.0, **given)
        still, unmoved = [0.0, 0.0], [0, 0]
        works[f"ShearX {name}"] = partial(affine, translate=unmoved, shear=[15.1, 0.0])
        works[f"ShearY {name}"] = partial(affine, translate=unmoved, shear=[0.0, 15.1])
        works[f"TranslateX {name}"] = partial(affine, translate=[13, 0], shear=still)
        works[f"TranslateY {name}"] = partial(affine, translate=[0, 13], shear=still)
        works[f"Rotate {name}"] = partial(f.rotate, image, 27.1, **given)
    return works


def albumentations_works(pixels: Any) -> dict[str, Work]:
    import albumentations as a
    import cv2

    cv2.setNumThreads(1)
    level = (0.6, 0.6)
    still = (1.0, 1.0)
    kinds: dict[str, Any] = {
        "AutoContrast": a.AutoContrast(p=1),
        "Equalize": a.Equalize(p=1),
        "Invert": a.InvertImg(p=1),
        "Posterize": a.Posterize(num_bits=3, p=1),
        "Solarize": a.Solarize(threshold_range=(0.4, 0.4), p=1),
        "Color": a.ColorJitter(still, still, level, (0, 0), p=1),
        "Contrast": a.ColorJitter(still, level, still, (0, 0), p=1),
        "Brightness": a.ColorJitter(level, still, still, (0, 0), p=1),
        "Sharpness": a.Sharpen(alpha=(0.6, 0.6), p=1),
        "Grayscale": a.ToGray(p=1),
        "Hue": a.ColorJitter(still, still, still, (0.1, 0.1), p=1),
        "GaussianBlur": a.GaussianBlur(sigma_limit=(1.3, 1.3), p=1),
    }
    filters = {
        "nearest": cv2.INTER_NEAREST,
        "bilinear": cv2.INTER_LINEAR,
        "bicubic": cv2.INTER_CUBIC,
    }
    for name, flag in filters.items():
        given: dict[str, Any] = {"interpolation": flag, "fill": FILL, "p": 1}
        kinds[f"ShearX {name}"] = a.Affine(shear={"x": (15.1, 15.1), "y": (0, 0)}, **given)
        kinds[f"ShearY {name}"] = a.Affine(shear={"x": (0, 0), "y": (15.1, 15.1)}, **given)
        kinds[f"TranslateX {name}"] = a.Affine(translate_px={"x": (13, 13), "y": (0, 0)}, **given)
        kinds[f"TranslateY {name}"] = a.Affine(translate_px={"x": (0, 0), "y": (13, 13)}, **given)
        kinds[f"Rotate {name}"] = a.Rotate((27.1, 27.1), **given)
    return {name: partial(kind, image=pixels) for name, kind in kinds.items()}


def our_works(pixels: Any, name: str) -> tuple[dict[str, Work], int]:
    """A plan with the op several times and one without it, and how many times that is."""
    from tied_augment import render

    op, *interpolation = name.split()
    arguments = dict(ARGUMENTS.get(op, {}))
    if interpolation:
        arguments.update(interpolation=interpolation[0], fill=FILL)
    crop = ("crop", {"x": 0, "y": 0, "w": SIDE, "h": SIDE})

    def work(count: int) -> Work:
        return lambda: render(pixels, {"ops": [crop, *[(op, arguments)] * count]})

    # Enough ops for about a millisecond: a run is short, and the cost of the call is small.
    once = fastest({"ours": work(1)}, 1)["ours"]
    count = max(1, min(20, int(1000 / once)))
    return {"ours": work(count), "no op": work(0)}, count


def pillow_simd(python: str, rounds: int) -> dict[str, float]:
    command = [python, __file__, "--pillow-only", "--rounds", str(rounds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pillow-simd", metavar="PYTHON", help="a Python with pillow-simd")
    parser.add_argument("--pillow-only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    pixels = photo()
    pillow = pillow_works(Image.fromarray(pixels))
    if args.pillow_only:
        print(json.dumps(fastest(pillow, args.rounds)))
        return
    peers = {
        name: works(pixels)
        for name, works in (
            ("torchvision", torchvision_works),
            ("albumentations", albumentations_works),
        )
        if importlib.util.find_spec(name)
    }
    simd = pillow_simd(args.pillow_simd, args.rounds) if args.pillow_simd else {}
    import tied_augment

    print(f"Pillow {PIL.__version__}, {platform.processor() or platform.machine()}, one core, us")
    print(tied_augment.build_info())
    columns = ["Pillow", *(["pillow-simd"] if simd else []), *peers, "ours", "Pillow / ours"]
    print(f"| {'op':19} | " + " | ".join(f"{column:>14}" for column in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, work in pillow.items():
        own, count = our_works(pixels, name)
        others = {peer: works[name] for peer, works in peers.items() if name in works}
        times = fastest({"Pillow": work, **others, **own}, args.rounds)
        if simd:
            times["pillow-simd"] = simd[name]
        times["ours"] = (times["ours"] - times["no op"]) / count
        cells = [
            f"{times[column]:14.{1 if column == 'ours' else 0}f}" if column in times else " " * 14
            for column in columns[:-1]
        ]
        cells.append(f"{times['Pillow'] / times['ours']:13.1f}x")
        print(f"| {name:19} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
