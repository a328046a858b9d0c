"""`decode` equals `PIL.Image.open(...).convert("RGB")`: whole arrays, no tolerance."""

import numpy as np
import pytest
import skimage.data
from decode_cases import CASES, SIZES
from image_files import encoded
from PIL import Image
from reference import assert_decodes_as_pillow


@pytest.mark.parametrize("name", CASES)
def test_equals_pillow(name: str) -> None:
    rng = np.random.default_rng(len(name) * 1000 + sum(map(ord, name)))
    for size in SIZES:
        assert_decodes_as_pillow(CASES[name](rng, *size), name, size)


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
