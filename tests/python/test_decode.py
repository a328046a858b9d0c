"""`decode` equals `PIL.Image.open(...).convert("RGB")`: whole arrays, no tolerance."""

import numpy as np
import pytest
import skimage.data
from decode_cases import CASES, SIZES
from image_files import encoded
from PIL import Image
from reference import assert_decodes_as_pillow

from tied_augment import View, decode


@pytest.mark.parametrize("name", CASES)
def test_equals_pillow(name: str) -> None:
    rng = np.random.default_rng(len(name) * 1000 + sum(map(ord, name)))
    for size in SIZES:
        assert_decodes_as_pillow(CASES[name](rng, *size), name, size)


@pytest.mark.parametrize("name", CASES)
def test_views_of_a_file_are_those_of_its_pixels(name: str) -> None:
    """The shape by which a crop is drawn is that of the image as it is decoded."""
    rng = np.random.default_rng(0)
    view = View(8, scale=(0.1, 0.5))
    for index, size in enumerate(SIZES):
        data = CASES[name](rng, *size)
        assert np.array_equal(view(data, index=index), view(decode(data), index=index)), size


def test_there_are_cases_of_every_format() -> None:
    formats = {name.split("-")[0] for name in CASES}
    assert formats == {"png", "gif", "bmp", "tiff", "webp"}
    assert len(CASES) > 250


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("WEBP", {"quality": 75}),
        ("WEBP", {"lossless": True}),
        ("PNG", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 75, "progressive": True}),
        ("GIF", {}),
    ],
    ids=str,
)
def test_photos_equal_pillow(kind: str, options: dict[str, object]) -> None:
    """Real photographs have edges and texture that no generated picture has."""
    for photo in (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()):
        assert_decodes_as_pillow(encoded(Image.fromarray(photo), kind, **options))
