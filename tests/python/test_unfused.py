"""The functions in numpy that stand in for Pillow's on 64-bit ARM have Pillow's pixels."""

import numpy as np
import pytest
import unfused
from PIL import Image, ImageFilter

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
FILL = (124, 116, 104)


@pytest.fixture
def images(photos):
    """Photographs and noise, down to sides of one pixel."""
    rng = np.random.default_rng(5)
    sizes = [(1, 1), (1, 9), (8, 1), (2, 2), (3, 3), (40, 57)]
    noise = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    return [
        Image.fromarray(pixels) for pixels in [*(photo[:150, :170] for photo in photos), *noise]
    ]


class Comparison:
    """Counts the bytes in which Pillow and the functions in numpy differ."""

    def __init__(self):
        self.changed = self.total = 0

    def __call__(self, function, *what):
        results = []
        for in_numpy in (True, False):
            with unfused.in_pillow(in_numpy):
                results.append(np.asarray(function()).astype(int))
        apart = np.abs(results[0] - results[1])
        # Where Pillow fuses, it is off by one in some bytes.
        assert apart.max() <= int(unfused.FUSED), what
        self.changed += np.count_nonzero(apart)
        self.total += apart.size

    def conclude(self):
        print(f"{self.changed} of {self.total} bytes differ")
        assert self.total > 1_000_000
        # On ARM. A single factor of a blend reaches 1.6%, since it has few different results.
        assert self.changed <= self.total / 20


@pytest.fixture
def compare():
    comparison = Comparison()
    yield comparison
    comparison.conclude()


@pytest.mark.parametrize("alpha", [-1.5, 0.0, 1e-3, 0.1, 0.3, 0.55, 1.0, 1.9, 100.0])
def test_blend(images, compare, alpha):
    for first in images:
        for channel in range(3):
            second = Image.merge("RGB", [first.getchannel(channel)] * 3).rotate(180)
            compare(lambda a=first, b=second: Image.blend(a, b, alpha), first.size)


def test_smooth(images, compare):
    for image in images:
        for part in (image, *image.split(), image.rotate(90), image.rotate(180)):
            compare(lambda part=part: part.filter(ImageFilter.SMOOTH), part.size)


@pytest.mark.parametrize("resample", FILTERS)
def test_rotations(images, compare, resample):
    for image in images:
        for degrees in (0, 90, 1e-9, 11.3, -27.3, 123.456):
            compare(lambda im=image, d=degrees: im.rotate(d, resample, fillcolor=FILL), degrees)


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("fill", [FILL, None])
def test_shears_and_translations(images, compare, resample, fill):
    rng = np.random.default_rng(6)
    for image in images:
        for value in rng.normal(size=2) * (0.3, 3):
            for data in (
                (1, value, 0, 0, 1, 0),
                (1, 0, 0, value, 1, 0),
                (1, 0, value, 0, 1, value),
            ):
                compare(
                    lambda im=image, data=data: im.transform(
                        im.size, Image.Transform.AFFINE, data, resample, fillcolor=fill
                    ),
                    data,
                )


def test_other_transforms_are_left_to_pillow(images, compare):
    for image in images * 2:
        for name in ("NEAREST", "BILINEAR", "BICUBIC"):
            filter_ = Image.Resampling[name]
            corners = (1.5, 0, 0, image.height - 2, image.width, image.height, image.width, 1)
            compare(
                lambda im=image, f=filter_, quad=corners: im.transform(
                    im.size, Image.Transform.QUAD, quad, f
                )
            )
