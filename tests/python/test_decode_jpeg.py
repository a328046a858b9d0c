"""JPEG files decode as in Pillow: samplings, codings, colour spaces and truncated files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from decode_cases import SIZES
from image_files import Rng, encoded, jpeg_size_at, picture
from PIL import Image, ImageFile
from reference import assert_decodes_as_pillow, decoded

from tied_augment import DecodeError, TwoView, View, decode

CODINGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimized": {"optimize": True},
    "restart-blocks": {"restart_marker_blocks": 2},
    "restart-rows": {"restart_marker_rows": 1, "progressive": True},
}


def jpeg(rng: Rng, height: int, width: int, mode: str = "RGB", **options: Any) -> bytes:
    return encoded(picture(rng, height, width, mode), "JPEG", **options)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_samplings(coding: str, sampling: int) -> None:
    rng = np.random.default_rng(sampling)
    for size in SIZES:
        for quality in (1, 40, 75, 95, 100):
            options = {"quality": quality, "subsampling": sampling, **CODINGS[coding]}
            assert_decodes_as_pillow(jpeg(rng, *size, **options), (size, options))


def test_every_quality() -> None:
    rng = np.random.default_rng(0)
    for quality in range(1, 101):
        assert_decodes_as_pillow(jpeg(rng, 37, 43, quality=quality), quality)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    ("sampling", "factors", "mcu"),
    [(1, 0x12, (16, 8)), (2, 0x41, (8, 32)), (2, 0x14, (32, 8))],
    ids=["440", "411", "1x4"],
)
def test_samplings_that_pillow_does_not_write(
    progressive: bool, sampling: int, factors: int, mcu: tuple[int, int]
) -> None:
    # The header is changed to another arrangement of as many blocks per unit. The file stays valid
    # and shows other pixels.
    rng = np.random.default_rng(factors)
    for _ in range(20):
        down, across = (int(n) for n in rng.integers(1, 5, 2))
        unit = (8, 16) if sampling == 1 else (16, 16)
        options = {"subsampling": sampling, "quality": int(rng.integers(20, 100))}
        source = jpeg(rng, down * unit[0], across * unit[1], progressive=progressive, **options)
        data = bytearray(source)
        at = jpeg_size_at(source)
        cut = rng.integers(0, 8, 2) if not progressive else (0, 0)
        height, width = down * mcu[0] - int(cut[0]), across * mcu[1] - int(cut[1])
        data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        data[at + 6] = factors
        assert_decodes_as_pillow(bytes(data), (height, width))


@pytest.mark.parametrize("progressive", [False, True])
def test_colour_spaces(progressive: bool) -> None:
    rng = np.random.default_rng(1)
    for size in SIZES:
        assert_decodes_as_pillow(jpeg(rng, *size, "L", progressive=progressive))
        assert_decodes_as_pillow(jpeg(rng, *size, keep_rgb=True, progressive=progressive))
        cmyk = jpeg(rng, *size, "CMYK", progressive=progressive)
        assert_decodes_as_pillow(cmyk, "CMYK")
        at = cmyk.index(b"\xff\xee")
        length = int.from_bytes(cmyk[at + 2 : at + 4], "big") + 2
        ycck = bytearray(cmyk)
        ycck[at + length - 1] = 2
        assert_decodes_as_pillow(bytes(ycck), "YCCK")
        assert_decodes_as_pillow(cmyk[:at] + cmyk[at + length :], "CMYK without Adobe's marker")


def test_of_several_pictures_the_first_is_read() -> None:
    rng = np.random.default_rng(2)
    first, second = (picture(rng, 40, 50, "RGB") for _ in range(2))
    assert_decodes_as_pillow(encoded(first, "MPO", save_all=True, append_images=[second]))


def test_bytes_after_the_end_are_ignored() -> None:
    data = jpeg(np.random.default_rng(2), 40, 50)
    assert_decodes_as_pillow(data + b"trailing garbage \xff\xd9 \xff\xd8")


def test_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert_decodes_as_pillow(jpeg(np.random.default_rng(3), 20, 30, exif=exif))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_truncated_files_are_refused_where_pillow_refuses_them(coding: str, mode: str) -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    rng = np.random.default_rng(4)
    data = jpeg(rng, 61, 83, mode, quality=80, **CODINGS[coding])
    ends = {*rng.integers(2, len(data), 150).tolist(), *range(len(data) - 40, len(data) + 1)}
    outcomes = set()
    for end in sorted(ends):
        try:
            expected = decoded(data[:end])
        except (OSError, SyntaxError):
            expected = None
        outcomes.add(expected is None)
        if expected is None:
            with pytest.raises(DecodeError):
                decode(data[:end])
            with pytest.raises(DecodeError):
                # An error also where the crop lies above what is missing.
                TwoView(View(8, scale=(0.05, 0.2)))(data[:end], index=end)
        else:
            assert np.array_equal(decode(data[:end]), expected), end
    assert outcomes == {False, True}
