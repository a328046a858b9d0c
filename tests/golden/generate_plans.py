"""Writes plans.json: what a seed means, to hold across the releases of one major version.

Run ``python tests/golden/generate_plans.py`` only for a new major version, or to add cases: a line
that changes means that users' runs change.
"""

import json
from itertools import product
from pathlib import Path

from tied_augment import TwoView, View

PATH = Path(__file__).with_name("plans.json")

POLICIES = [
    "rand-m9-mstd0.5-inc1",
    "rand-m7-n3-p0.9-mstd101",
    "rand-n4-p1-tweights",
    "rand-n4-p1-t3aw-mstd1",
    "rand-t3a",
    "original-mstd0.5",
    "originalr",
    "v0",
    "v0r-mstd1",
    "3a",
    "augmix-m5-w4-d2",
    "augmix-b1-a0.3-mstd1",
    "tv-rand-n2-m9",
    "tv-rand-n3-m5-b10-p0.5-ibicubic",
    "tv-trivial",
    "tv-auto-imagenet",
    "tv-auto-cifar10",
    "tv-auto-svhn",
    "tv-augmix",
]

# Of each a few plans suffice: the draws before a difference agree, those after it don't.
VIEWS = [
    *({"size": 64, "auto_augment": policy} for policy in POLICIES),
    {},
    {"size": [48, 64], "vflip": 0.5, "interpolation": "bicubic", "scale": [0.2, 0.9]},
    {"size": 32, "crop": "pad", "cutout": 16},
    {"size": 96, "crop": "rkrc"},
    {"size": 96, "crop": "rkrr", "scale": [0.5, 2.0], "ratio": [0.5, 2.0]},
    {"size": 96, "crop": "center", "hflip": 0},
    {"size": [96, 80], "crop": "squash"},
    {"size": 64, "color_jitter": [0.4, 0.3, 0.2, 0.1], "color_jitter_prob": 0.8},
    {"size": 64, "grayscale_prob": 0.5, "gaussian_blur_prob": 0.5},
    {"size": 64, "re_prob": 0.7, "re_count": 3},
    {"size": 64, "re_prob": 0.7, "re_mode": "rand"},
    {"size": 64, "re_prob": 0.7, "re_mode": "pixel", "re_num_splits": 2},
    {
        "size": 64,
        "gaussian_blur_prob": 0.7,
        "gaussian_blur_kernel": None,
        "gaussian_blur_sigma": [0.0, 3.0],
        "solarize_prob": 0.5,
        "solarize_threshold": 100,
    },
]

SHAPES = [(120, 180), (333, 95)]
# (index, epoch, seed): each counts, and large ones as well.
KEYS = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**40 + 5, 2**31, 2**63 + 9)]


def plans():
    """Both plans of all cases, in the types of JSON."""
    cases = []
    for fields, same_crop in product(VIEWS, (False, True)):
        views = TwoView(View(**fields), same_crop=same_crop)
        for number, shape in enumerate(SHAPES):
            # With the same crop a single key shows it.
            for index, epoch, seed in KEYS[number:2] if same_crop else KEYS:
                made = views.plan(shape, index=index, epoch=epoch, seed=seed)
                cases.append(
                    {
                        "view": fields,
                        "same_crop": same_crop,
                        "shape": shape,
                        "key": {"index": index, "epoch": epoch, "seed": seed},
                        "plans": made,
                    }
                )
    return json.loads(json.dumps(cases))


if __name__ == "__main__":
    lines = (json.dumps(case, separators=(",", ":")) for case in plans())
    PATH.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{PATH}: {PATH.stat().st_size:,} bytes")
