"""Views of packed images are those of the JPEG files, and pixels are Pillow's, for all kinds."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
import pytest
from image_files import encoded, picture
from PIL import Image
from reference import assert_equal

from tied_augment import TwoView, View, decode
from tied_augment.packed import pack, unpack

KINDS: dict[str, dict[str, Any]] = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "gray": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "RGB": {"keep_rgb": True},
}
CODINGS: list[dict[str, Any]] = [
    {},
    {"progressive": True},
    {"optimize": True},
    {"restart_marker_blocks": 5},
    {"restart_marker_rows": 1},
    {"progressive": True, "restart_marker_rows": 1},
]


def files(kind: str) -> list[bytes]:
    """A file of every quality, of any size and coding."""
    rng = np.random.default_rng(sorted(KINDS).index(kind))
    options = dict(KINDS[kind])
    mode = options.pop("mode", "RGB")
    found = []
    for quality in range(1, 101):
        height, width = (int(side) for side in rng.integers(1, 90, 2))
        # Some have several tiles in a row.
        width += 200 * (quality % 10 == 0)
        coding = CODINGS[int(rng.integers(len(CODINGS)))]
        image = picture(rng, height, width, mode)
        found.append(encoded(image, "JPEG", quality=quality, **options, **coding))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_quality_size_and_coding(kind: str) -> None:
    jpegs = files(kind)
    images = [pack(jpeg) for jpeg in jpegs]
    for jpeg, image in zip(jpegs, images, strict=True):
        with Image.open(io.BytesIO(jpeg)) as opened:
            assert_equal(decode(image), np.asarray(opened.convert("RGB")))
        assert hashlib.sha256(unpack(image)).digest() == hashlib.sha256(jpeg).digest()
    crops = TwoView(
        View(24, scale=(0.02, 0.6), interpolation="bicubic"),
        View(24, scale=(0.02, 1.0), auto_augment="rand-m9-mstd0.5-inc1"),
    )
    for epoch in range(4):
        ours, theirs = (crops.batch(data, range(100), epoch) for data in (images, jpegs))
        assert_equal(ours, theirs, epoch)
