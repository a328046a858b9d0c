"""What a hostile file may cost: memory per pixel, scans, strips, tiles."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from image_files import encoded, jpeg_size_at, png, tiff, tiff_directory
from peak_memory import Memory
from PIL import Image

from tied_augment import DecodeError, decode

HUGE = 13_000  # pixels; HUGE x HUGE is below the limit
SIDE = 3000
SAMPLES16 = np.zeros((SIDE, SIDE, 4), np.uint16)


def claiming(data: bytes, side: int) -> bytes:
    """The JPEG with another size in its header."""
    at = jpeg_size_at(data)
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_of_fewer_bits_than_blocks_is_refused(mode: str, progressive: bool) -> None:
    data = claiming(encoded(Image.new(mode, (61, 45)), "JPEG", progressive=progressive), HUGE)
    assert data.endswith(b"\xff\xd9")  # so that libjpeg would make the rest up
    with Memory() as memory, pytest.raises(DecodeError, match="bytes cannot hold the image"):
        decode(data)
    assert memory.growth < 50


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_smallest_jpegs_are_read(mode: str, progressive: bool) -> None:
    image = Image.new(mode, (1500, 1500))
    options = {"quality": 1, "optimize": True, "progressive": progressive}
    data = encoded(image, "JPEG", **options)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(decode(data), np.asarray(opened.convert("RGB")))


def scans(side: int, count: int) -> bytes:
    """A progressive grey JPEG of ``count`` scans without codes, and enough bytes for its size."""

    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    out = b"\xff\xd8" + segment(0xDB, bytes([0]) + bytes([1] * 64))
    out += segment(0xC2, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0))
    for table in (0x00, 0x10):
        out += segment(0xC4, bytes([table, 1, *[0] * 15, 0]))
    out += segment(0xFE, bytes(60_000)) * (side * side // 64 // 8 // 60_000 + 1)
    out += segment(0xDA, bytes([1, 1, 0, 0, 0, 0]))
    return out + segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) * (count - 1) + b"\xff\xd9"


@pytest.mark.parametrize(("side", "most"), [(16, 1000), (HUGE, 105)])
def test_scans_times_pixels_are_bounded(side: int, most: int) -> None:
    with pytest.raises(DecodeError, match=f"more than {most} scans"):
        decode(scans(side, most + 1))
    if side == 16:
        assert decode(scans(side, most)).shape == (side, side, 3)


def shared(chunks: int, size: int, tile: int | None = None) -> bytes:
    """A grey TIFF of ``chunks`` rows or tiles that are all the same ``size`` bytes."""
    chunk = zlib.compress(bytes(100)).ljust(size, b"\0")
    rows = chunks * (tile or 1)
    entries = {256: ("I", [100]), 257: ("I", [rows]), 258: ("H", [8]), 259: ("H", [8])}
    entries |= {262: ("H", [1]), 277: ("H", [1])}
    if tile:
        entries |= {322: ("I", [tile]), 323: ("I", [tile])}
    else:
        entries |= {278: ("I", [1])}
    at, lengths = (324, 325) if tile else (273, 279)
    entries |= {at: ("I", [8] * chunks), lengths: ("I", [size] * chunks)}
    start = 8 + size
    return b"II*\0" + struct.pack("<I", start) + chunk + tiff_directory(entries, start, "<")


def test_strips_may_share_their_bytes_within_bounds() -> None:
    assert decode(shared(50, 100)).shape == (50, 100, 3)
    with pytest.raises(DecodeError, match="share too many"):
        decode(shared(1000, 100_000))
    with pytest.raises(DecodeError, match="70000 strips or tiles"):
        decode(shared(70_000, 20))


def test_tiles_larger_than_the_image_are_bounded() -> None:
    with Memory() as memory, pytest.raises(DecodeError, match="its tiles have"):
        decode(shared(40, 100, tile=4096))
    assert memory.growth < 50


def test_a_tag_has_no_more_values_than_the_file_has_bytes() -> None:
    data = bytearray(shared(50, 100))
    entry = data.index(struct.pack("<HHI", 278, 4, 1))
    struct.pack_into("<I", data, entry + 4, 8_000_000)
    with pytest.raises(DecodeError, match="tag 278 has 8000000 values"):
        decode(bytes(data))


# The most bytes of memory per pixel, by docs/reliability.md.
FILES = {
    "JPEG": (3, lambda: encoded(Image.new("RGB", (SIDE, SIDE)), "JPEG")),
    "JPEG progressive": (
        9,
        lambda: encoded(Image.new("RGB", (SIDE, SIDE)), "JPEG", progressive=True, subsampling=0),
    ),
    "JPEG progressive CMYK": (
        11,
        lambda: encoded(Image.new("CMYK", (SIDE, SIDE)), "JPEG", progressive=True),
    ),
    "PNG": (6, lambda: encoded(Image.new("RGB", (SIDE, SIDE)), "PNG")),
    "PNG RGBA": (7, lambda: encoded(Image.new("RGBA", (SIDE, SIDE)), "PNG")),
    "PNG RGBA16": (11, lambda: png(SAMPLES16, 6, 16)),
    "WebP lossy": (5, lambda: encoded(Image.new("RGB", (SIDE, SIDE)), "WEBP")),
    "WebP lossy alpha": (10, lambda: encoded(Image.new("RGBA", (SIDE, SIDE)), "WEBP")),
    "WebP lossless": (
        7,
        lambda: encoded(Image.new("RGBA", (SIDE, SIDE)), "WEBP", lossless=True),
    ),
    "GIF": (4, lambda: encoded(Image.new("P", (SIDE, SIDE)), "GIF")),
    "BMP": (3, lambda: encoded(Image.new("RGB", (SIDE, SIDE)), "BMP")),
    "TIFF": (12, lambda: tiff(SAMPLES16, 2, 16, deflate=True)),
    "TIFF turned": (12, lambda: tiff(SAMPLES16, 2, 16, deflate=True, tags={274: 6})),
}


@pytest.mark.parametrize("name", FILES)
def test_memory_per_pixel(name: str) -> None:
    most, make = FILES[name]
    data = make()
    with Memory() as memory:
        decode(data)
    assert memory.growth < most * SIDE**2 / 2**20 + 24
