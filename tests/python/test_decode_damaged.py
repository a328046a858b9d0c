"""Damaged files that we once read and Pillow refuses, or that we read differently."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from image_files import encoded, png_chunk, smooth, tiff
from PIL import Image

from tied_augment import DecodeError, decode


def same_as_pillow(data: bytes) -> bool:
    """Whether both read the file; their pixels are then equal, and both refuse it otherwise."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            expected = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError):
        with pytest.raises(DecodeError):
            decode(data)
        return False
    assert np.array_equal(decode(data), expected)
    return True


def photo() -> Image.Image:
    return Image.fromarray(smooth(np.random.default_rng(0), 33, 40))


@pytest.mark.parametrize("error", [0, 1, 1 << 31])
def test_png_with_a_wrong_checksum_of_its_pixels(error: int) -> None:
    rows = zlib.compress((b"\0" + bytes(range(99))) * 7)
    sum_ = int.from_bytes(rows[-4:], "big") ^ error
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 33, 7, 8, 2, 0, 0, 0))
    data += png_chunk(b"IDAT", rows[:-4] + struct.pack(">I", sum_)) + png_chunk(b"IEND", b"")
    assert same_as_pillow(data) == (error == 0)


@pytest.mark.parametrize("lossless", [False, True])
def test_webp_with_wrong_lengths(lossless: bool) -> None:
    good = encoded(photo(), "WEBP", lossless=lossless)
    read = []
    for at in (4, 16):
        length = struct.unpack_from("<I", good, at)[0]
        for change in (*range(-20, 21), 1000, 1 << 31, -length, 0xFFFFFFFF - length):
            data = bytearray(good)
            struct.pack_into("<I", data, at, max(0, min(length + change, 0xFFFFFFFF)))
            # Pillow reads a container that the chunk fills, and one byte of padding.
            read.append(same_as_pillow(bytes(data)))
    assert set(read) == {True, False}
    for rest in (b"\0", b"rest", bytes(1000)):
        assert same_as_pillow(good + rest)
    for end in range(len(good)):
        assert not same_as_pillow(good[:end])


def test_tiff_with_a_tag_twice() -> None:
    good = tiff(smooth(np.random.default_rng(0), 9, 17), 2, 8)
    start = struct.unpack_from("<I", good, 4)[0]
    count = struct.unpack_from("<H", good, start)[0]
    places = [start + 2 + 12 * number for number in range(count)]
    assert same_as_pillow(good)
    for at in places:
        for other in places:
            if at != other:
                data = bytearray(good)
                data[at : at + 2] = good[other : other + 2]
                with pytest.raises(DecodeError, match="a tag twice"):
                    decode(bytes(data))


def test_lossless_webp_whose_codes_end_in_its_padding() -> None:
    """libwebp takes the byte that pads a chunk to an even length for a part of it."""
    images = (smooth(np.random.default_rng(seed), 33, 40) for seed in range(50))
    files = (encoded(Image.fromarray(image), "WEBP", lossless=True) for image in images)
    even = [file for file in files if file[16] % 2 == 0]
    assert len(even) > 10
    for file in even:
        length = struct.unpack("<I", file[16:20])[0]
        assert same_as_pillow(file[:16] + struct.pack("<I", length - 1) + file[20:])
