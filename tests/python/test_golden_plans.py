"""A seed means the same plans in every release of a major version: golden plans, bit for bit."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from tied_augment import render

GENERATOR = Path(__file__).parents[1] / "golden" / "generate_plans.py"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_plans", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_plans_are_those_of_this_major_version(generator):
    golden = json.loads(generator.PATH.read_text())
    plans = generator.plans()
    assert len(golden) == len(plans) > 300
    for expected, case in zip(golden, plans, strict=True):
        # Floats too: JSON keeps every bit of them.
        assert case == expected, {name: case[name] for name in ("view", "shape", "key")}


def test_every_op_that_a_view_may_draw_is_among_them(generator):
    text = generator.PATH.read_text()
    ops = {
        *("AutoContrast", "Equalize", "Invert", "Posterize", "Solarize", "SolarizeAdd", "Color"),
        *("Contrast", "Brightness", "Sharpness", "Grayscale", "Hue", "ShearX", "ShearY", "Rotate"),
        *("TranslateX", "TranslateY", "GaussianBlur", "GaussianKernel", "Mix", "Erase"),
        *("crop", "resize", "frame", "hflip", "vflip"),
    }
    assert {op for op in ops if f'["{op}"' not in text} == set()


def test_noise_is_that_of_this_major_version():
    """The one op whose pixels follow from a seed, cut off at the left by a column."""
    noise = {"fill": "noise", "mean": (124, 116, 104), "std": (58, 57, 57), "seed": 2**40 + 7}
    ops = [
        ("crop", {"x": 0, "y": 0, "w": 5, "h": 2}),
        ("Erase", {"x": -1, "y": 0, "w": 5, "h": 2, **noise}),
    ]
    assert render(np.zeros((2, 5, 3), np.uint8), {"ops": ops}).tolist() == [
        [[135, 174, 175, 62, 0], [179, 116, 192, 200, 0]],
        [[143, 143, 207, 183, 0], [109, 200, 108, 3, 0]],
        [[58, 34, 49, 46, 0], [151, 153, 61, 74, 0]],
    ]
