"""JPEG equals Pillow: samplings, codings, colour spaces, and what is truncated."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from test_decode import SIZES, assert_equal, image, pillow

from tied_augment import DecodeError, TwoView, View, decode

CODINGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimized": {"optimize": True},
    "restart-blocks": {"restart_marker_blocks": 2},
    "restart-rows": {"restart_marker_rows": 1, "progressive": True},
}


def jpeg(
    rng: np.random.Generator, height: int, width: int, mode: str = "RGB", **options: Any
) -> bytes:
    out = io.BytesIO()
    image(rng, height, width, mode).save(out, "JPEG", **options)
    return out.getvalue()


def sof(data: bytes) -> int:
    """Where the frame header's height stands."""
    return next(data.index(m) for m in (b"\xff\xc0", b"\xff\xc2") if m in data) + 5


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_samplings(coding: str, sampling: int) -> None:
    rng = np.random.default_rng(sampling)
    for size in SIZES:
        for quality in (1, 40, 75, 95, 100):
            options = {"quality": quality, "subsampling": sampling, **CODINGS[coding]}
            assert_equal(jpeg(rng, *size, **options), (size, options))


def test_every_quality() -> None:
    rng = np.random.default_rng(0)
    for quality in range(1, 101):
        assert_equal(jpeg(rng, 37, 43, quality=quality), quality)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    ("sampling", "factors", "mcu"),
    [(1, 0x12, (16, 8)), (2, 0x41, (8, 32)), (2, 0x14, (32, 8))],
    ids=["440", "411", "1x4"],
)
def test_samplings_that_pillow_does_not_write(
    progressive: bool, sampling: int, factors: int, mcu: tuple[int, int]
) -> None:
    # The same number of blocks a unit in another arrangement: a valid file of other pixels.
    rng = np.random.default_rng(factors)
    for _ in range(20):
        down, across = (int(n) for n in rng.integers(1, 5, 2))
        unit = (8, 16) if sampling == 1 else (16, 16)
        options = {"subsampling": sampling, "quality": int(rng.integers(20, 100))}
        source = jpeg(rng, down * unit[0], across * unit[1], progressive=progressive, **options)
        data = bytearray(source)
        at = sof(source)
        cut = rng.integers(0, 8, 2) if not progressive else (0, 0)
        height, width = down * mcu[0] - int(cut[0]), across * mcu[1] - int(cut[1])
        data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        data[at + 6] = factors
        assert_equal(bytes(data), (height, width))


@pytest.mark.parametrize("progressive", [False, True])
def test_colour_spaces(progressive: bool) -> None:
    rng = np.random.default_rng(1)
    for size in SIZES:
        assert_equal(jpeg(rng, *size, "L", progressive=progressive))
        assert_equal(jpeg(rng, *size, keep_rgb=True, progressive=progressive))
        cmyk = jpeg(rng, *size, "CMYK", progressive=progressive)
        assert_equal(cmyk, "CMYK")
        at = cmyk.index(b"\xff\xee")
        length = int.from_bytes(cmyk[at + 2 : at + 4], "big") + 2
        ycck = bytearray(cmyk)
        ycck[at + length - 1] = 2
        assert_equal(bytes(ycck), "YCCK")
        assert_equal(cmyk[:at] + cmyk[at + length :], "CMYK without Adobe's marker")


def test_the_first_picture_of_many_and_what_follows() -> None:
    rng = np.random.default_rng(2)
    out = io.BytesIO()
    first, second = (image(rng, 40, 50, "RGB") for _ in range(2))
    first.save(out, "MPO", save_all=True, append_images=[second])
    assert_equal(out.getvalue(), "MPO")
    assert_equal(jpeg(rng, 40, 50) + b"trailing garbage \xff\xd9 \xff\xd8", "garbage")


def test_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert_equal(jpeg(np.random.default_rng(3), 20, 30, exif=exif))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_truncated_as_pillow_says(coding: str, mode: str) -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    rng = np.random.default_rng(4)
    data = jpeg(rng, 61, 83, mode, quality=80, **CODINGS[coding])
    ends = {*rng.integers(2, len(data), 150).tolist(), *range(len(data) - 40, len(data) + 1)}
    outcomes = set()
    for end in sorted(ends):
        try:
            expected = pillow(data[:end])
        except (OSError, SyntaxError):
            expected = None
        outcomes.add(expected is None)
        if expected is None:
            with pytest.raises(DecodeError):
                decode(data[:end])
            with pytest.raises(DecodeError):
                # The lower the crop, the less is missing below it: still an error.
                TwoView(View(8, scale=(0.05, 0.2)))(data[:end], index=end)
        else:
            assert np.array_equal(decode(data[:end]), expected), end
    assert outcomes == {False, True}
