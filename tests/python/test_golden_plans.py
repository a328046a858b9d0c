"""A seed means the same plans in every release of a major version: golden plans, bit for bit."""

import importlib.util
import json
from pathlib import Path

import pytest

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
