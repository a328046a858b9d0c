"""The gallery: pictures of every op, policy, field of `View` and preset, as pages of the site.

The pictures are made while the site is built, from photographs that ship with scikit-image and
scikit-learn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tied_augment import View, Views, presets, render
from tied_augment.cli.demo.photos import photographs

__all__ = ["FIELDS", "OPS", "POLICIES", "PRESETS", "write_gallery"]

SIDE, SMALL = 144, 80
_FILL = (124, 116, 104)
_BOX = {"x": 20, "y": 60, "w": 60, "h": 50}
_NOISE = {"fill": "noise", "mean": (124.0, 116.0, 104.0), "std": (58.0, 57.0, 57.0), "seed": 1}
_CHAINS = [
    (0.5, [("Posterize", {"bits": 2})]),
    (0.5, [("Rotate", {"degrees": 20.0, "interpolation": "bicubic", "fill": _FILL})]),
]

Pixels = NDArray[np.uint8]
Tile = tuple[str, Pixels]


def _over(argument: str, *values: float) -> list[dict[str, Any]]:
    return [{argument: value} for value in values]


def _moved(argument: str, *values: float) -> list[dict[str, Any]]:
    return [{argument: value, "interpolation": "bicubic", "fill": _FILL} for value in values]


# The arguments that are shown of each op of a plan.
OPS: dict[str, list[dict[str, Any]]] = {
    "AutoContrast": [{}],
    "Equalize": [{}],
    "Invert": [{}],
    "Grayscale": [{}],
    "Posterize": _over("bits", 4, 2, 1),
    "Solarize": _over("threshold", 192.0, 128.0, 64.0),
    "SolarizeAdd": [{"add": add, "threshold": 128} for add in (40, 80, 110)],
    "Brightness": _over("factor", 0.3, 0.7, 1.5),
    "Color": _over("factor", 0.0, 0.5, 1.9),
    "Contrast": _over("factor", 0.3, 0.7, 1.7),
    "Sharpness": _over("factor", 0.1, 1.9, 5.0),
    "Hue": _over("factor", -0.2, 0.1, 0.5),
    "GaussianBlur": _over("radius", 0.5, 1.0, 2.0),
    "GaussianKernel": [{"kernel_size": 23, "sigma": sigma} for sigma in (0.5, 1.0, 2.0)],
    "ShearX": _moved("factor", -0.3, 0.15, 0.3),
    "ShearY": _moved("factor", -0.3, 0.15, 0.3),
    "TranslateX": _moved("pixels", -45.0, 20.0, 45.0),
    "TranslateY": _moved("pixels", -45.0, 20.0, 45.0),
    "Rotate": _moved("degrees", -30.0, 10.0, 30.0),
    "Mix": [{"mixing": "sum", "amount": amount, "chains": _CHAINS} for amount in (0.3, 0.6, 0.9)],
    "Erase": [{**_BOX, "fill": _FILL}, {**_BOX, **_NOISE}],
}

# Strings of `auto_augment`, and what they are.
POLICIES = {
    "rand-m9-mstd0.5-inc1": "timm's RandAugment, as in most of its recipes",
    "rand-m9-n3-p1-tweights": "three ops, each of them certain, chosen by weight",
    "rand-m7-n2-t3a": "RandAugment over the ops of 3-Augment",
    "v0-mstd0.5": "timm's AutoAugment, EfficientNet's version",
    "v0r-mstd0.5": "the same, posterizing less with magnitude",
    "original-mstd0.5": "AutoAugment as in the paper",
    "originalr-mstd0.5": "the same, posterizing as in the authors' code",
    "3a": "3-Augment of DeiT III: grayscale, solarize or blur",
    "augmix-m5-w4-d2": "AugMix: chains of ops, mixed",
    "augmix-b1-m5": "AugMix, blended chain by chain",
    "tv-rand-n2-m9": "torchvision's RandAugment, as in the paper",
    "tv-trivial": "TrivialAugmentWide: one op, any magnitude",
    "tv-auto-imagenet": "torchvision's AutoAugment for ImageNet",
    "tv-auto-cifar10": "for CIFAR-10",
    "tv-auto-svhn": "for SVHN",
    "tv-augmix": "torchvision's AugMix",
}

# Fields of `View` beside the policy.
FIELDS: list[dict[str, Any]] = [
    {"crop": "rrc"},
    {"crop": "rkrc"},
    {"crop": "rkrr"},
    {"crop": "center"},
    {"crop": "squash"},
    {"crop": "border"},
    {"crop": "pad", "padding": 16},
    {"vflip": 0.5},
    {"color_jitter": 0.4},
    {"color_jitter": (0.4, 0.4, 0.2, 0.1)},
    {"grayscale_prob": 1.0},
    {"gaussian_blur_prob": 1.0},
    {"gaussian_blur_prob": 1.0, "gaussian_blur_kernel": None},
    {"solarize_prob": 1.0},
    {"cutout": 48},
    {"re_prob": 1.0},
    {"re_prob": 1.0, "re_mode": "pixel", "re_count": 3},
]

PRESETS: dict[str, Callable[[], Views]] = {
    "simclr": lambda: presets.simclr(SIDE),
    "byol": lambda: presets.byol(SIDE),
    "moco_v2": lambda: presets.moco_v2(SIDE),
    "moco_v3": lambda: presets.moco_v3(SIDE),
    "dino": lambda: presets.dino(SIDE, SMALL),
    "swav": lambda: presets.swav(SIDE, SMALL),
    "vicreg": lambda: presets.vicreg(SIDE),
}


@dataclass(frozen=True)
class _Gallery:
    """The folder of the pages, and the photographs by name."""

    folder: Path
    photographs: dict[str, Pixels]

    def figures(self, name: str, tiles: Iterable[Tile]) -> str:
        """Write the tiles as files, and return the HTML that shows them side by side."""
        stem = re.sub(r"[^\w.]+", "-", name).strip("-")
        html = []
        for number, (caption, pixels) in enumerate(tiles):
            path = f"gallery/{stem}-{number}.webp"
            image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
            image.save(self.folder / path, quality=88)
            size = f'width="{image.width}" height="{image.height}"'
            html.append(
                f'<figure><img src="{path}" alt="{escape(name)}: {caption}" {size} loading="lazy">'
                f"<figcaption>{caption}</figcaption></figure>"
            )
        return f'<div class="gallery" markdown="0">\n{"".join(html)}\n</div>\n'


def _ops(gallery: _Gallery) -> str:
    photograph = gallery.photographs["chelsea"]
    whole = View(SIDE, crop="center", hflip=0.0, interpolation="bicubic")
    steps = whole.plan(photograph.shape[:2], index=0)["ops"]
    parts = ["# Ops", _OPS]
    for name, shown in OPS.items():
        tiles = [("as it was", render(photograph, {"ops": steps}))]
        tiles += [
            (_caption(arguments), render(photograph, {"ops": [*steps, (name, arguments)]}))
            for arguments in shown
        ]
        parts += [f"## {name}", gallery.figures(name, tiles)]
    return "\n\n".join(parts)


def _caption(arguments: dict[str, Any]) -> str:
    """The numbers of an op, and whether it fills with noise."""
    numbers = [
        f"{key} {value:g}"
        for key, value in arguments.items()
        if isinstance(value, (int, float)) and key not in (*_BOX, "seed")
    ]
    if "fill" in arguments and not numbers:
        numbers = ["noise" if arguments["fill"] == "noise" else "one colour"]
    return ", ".join(numbers) or "no arguments"


def _drawn(gallery: _Gallery, name: str, view: View, count: int, nothing: str) -> str:
    """Figures of what `view` draws for each photograph, with the names of the ops."""
    tiles = []
    known = ("crop", "resize", "frame", "hflip", "vflip")
    for index, pixels in enumerate(list(gallery.photographs.values())[:count]):
        height, width = pixels.shape[:2]
        plan = view.plan((height, width), index=index)
        ops = [op for op, _ in plan["ops"] if op not in known]
        flips = ["hflip"] * plan["hflip"] + ["vflip"] * plan["vflip"]
        tiles.append((", ".join([*flips, *ops]) or nothing, view(pixels, index=index)))
    return gallery.figures(name, tiles)


def _policies(gallery: _Gallery) -> str:
    parts = ["# Policies", _POLICIES]
    for policy, about in POLICIES.items():
        view = View(SIDE, scale=(0.6, 1.0), hflip=0.0, interpolation="bicubic", auto_augment=policy)
        parts += [f"## `{policy}`", about + ".", _drawn(gallery, policy, view, 6, "no op")]
    return "\n\n".join(parts)


def _fields(gallery: _Gallery) -> str:
    parts = ["# Crops and colours", _FIELDS]
    for fields in FIELDS:
        call = f"View({', '.join(f'{name}={value!r}' for name, value in fields.items())})"
        drawn = _drawn(gallery, call, View(SIDE, **fields), 4, "not flipped")
        parts += [f"## `{call}`", drawn]
    return "\n\n".join(parts)


def _presets(gallery: _Gallery) -> str:
    parts = ["# Presets", _PRESETS]
    for name, make in PRESETS.items():
        views, pixels = make(), gallery.photographs["chelsea"]
        made = views(pixels, index=1)
        tiles = [(f"view {number}", view) for number, view in enumerate(made, 1)]
        parts += [f"## `presets.{name}`", gallery.figures(name, tiles)]
    return "\n\n".join(parts)


_OPS = """\
What each op of a plan does, at some of its arguments. Policies draw them;
[`render`](api-views.md) executes a plan of your own. [Parity](parity.md#operations) says which
function of Pillow, timm or torchvision each equals."""

_POLICIES = """\
What `View(224, auto_augment=...)` draws for six photographs, with seed 0. Under each is the list of
ops; with some probability a policy does nothing. The strings have
[a page of their own](policies.md)."""

_FIELDS = """\
The crops of a `View`, and what it can do without a policy, with seed 0. A page on
[the order of the steps](policies.md#the-order-of-the-steps) says how they are combined."""

_PRESETS = """\
The views that [`tied_augment.presets`](methods.md) makes of one photograph."""


def write_gallery(folder: Path) -> list[str]:
    """Write the pages and their pictures into `folder`, and return the names of the pages."""
    (folder / "gallery").mkdir()
    named = {name: np.asarray(photo) for name, photo in photographs().items()}
    gallery = _Gallery(folder, named)
    pages = {
        "gallery-policies.md": _policies,
        "gallery-ops.md": _ops,
        "gallery-fields.md": _fields,
        "gallery-presets.md": _presets,
    }
    for page, write in pages.items():
        (folder / page).write_text(write(gallery) + "\n")
    return list(pages)
