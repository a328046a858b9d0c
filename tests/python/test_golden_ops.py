"""The golden pixels of ops are those of the installed libraries, and ours."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tied_augment import render

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_ops", GOLDEN / "generate_ops.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tiles(generator):
    pixels = np.asarray(Image.open(GOLDEN / "ops.png"))
    return pixels.reshape(-1, generator.HEIGHT, generator.WIDTH, 3)


def test_the_installed_libraries_make_them(generator, tiles):
    cases = json.loads((GOLDEN / "ops.json").read_text())
    assert cases == json.loads(json.dumps(generator.CASES))
    assert len(cases) >= 80
    assert (tiles.reshape(-1, generator.WIDTH, 3) == generator.strip()).all()


def test_render_makes_them(generator, tiles):
    crop = ("crop", {"x": 0, "y": 0, "w": generator.WIDTH, "h": generator.HEIGHT})
    for op, expected in zip(generator.CASES, tiles[1:], strict=True):
        ours = render(tiles[0], {"ops": [crop, op]}).transpose(1, 2, 0)
        # Sums of floats in another order than torchvision's.
        most = 1 if op[0] == "GaussianKernel" else 0
        assert np.abs(ours.astype(int) - expected).max() <= most, op
