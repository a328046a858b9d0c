"""What the libraries don't read, or read to other pixels than Pillow does, is refused."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from image_files import bmp, encoded, gif_frame_at, tiff
from PIL import Image

from tied_augment import DecodeError, decode


def plain(photometric: int, bits: int, channels: int, **options: Any) -> bytes:
    return tiff(np.zeros((4, 4, channels), int), photometric, bits, **options)


def grey_palette(colors: int) -> bytes:
    return b"".join(bytes([grey, grey, grey, 0]) for grey in range(colors))


def gif() -> tuple[bytes, bytes, bytes]:
    """The screen, the palette and the rest of a file with one frame."""
    data = encoded(Image.fromarray(np.zeros((4, 4), np.uint8)), "GIF")
    frame = gif_frame_at(data)
    return data[:13], data[13:frame], data[frame:]


def without_palette() -> bytes:
    screen, _, frame = gif()
    return screen[:10] + bytes([screen[10] & 0x7F]) + screen[11:] + frame


def of_frame_size(width: int, height: int) -> bytes:
    screen, palette, frame = gif()
    return screen + palette + frame[:5] + struct.pack("<2H", width, height) + frame[9:]


# Each file, and what its error says.
REFUSED = {
    "bmp-16bit-fields": (
        bmp([bytes(2)], 1, 1, 16, compression=3, masks=(0xF000, 0xF00, 0xF0)),
        r"bit fields \[F000, F00, F0, 0\] of 16 bits",
    ),
    "bmp-2bit": (bmp([bytes(1)], 1, 1, 2, palette=bytes(16)), "2 bits per pixel"),
    "bmp-rle8": (bmp([], 1, 1, 8, compression=1, palette=bytes(1024)), "compression 1"),
    "bmp-rle4": (bmp([], 1, 1, 4, compression=2, palette=bytes(64)), "compression 2"),
    "bmp-header": (bmp([bytes(3)], 1, 1, 24, header_size=48), "a header of 48 bytes"),
    "bmp-header-only": (bmp([bytes(3)], 1, 1, 24)[:50], "ends in the header"),
    "bmp-palette": (bmp([bytes(4)], 1, 1, 8, palette=bytes(1028)), "a palette of 257 colours"),
    "bmp-palette-only": (bmp([bytes(4)], 1, 1, 8, palette=bytes(64))[:90], "ends in the palette"),
    "bmp-truncated": (bmp([bytes(3)], 1, 1, 24)[:-2], "truncated: 2 of 3 bytes of pixels"),
    "bmp-greys-8": (bmp([bytes(4)], 1, 1, 8, palette=grey_palette(7)), "palette of 7 greys"),
    "bmp-greys-4": (bmp([bytes(4)], 1, 1, 4, palette=grey_palette(16)), "palette of 16 greys"),
    "bmp-black-and-white-8": (
        bmp([bytes(4)], 1, 1, 8, palette=bytes(4) + b"\xff\xff\xff\0"),
        "palette of 2 greys",
    ),
    "bmp-start": (
        bmp([bytes(8)], 1, 1, 8)[:10] + bytes(4) + bmp([bytes(2000)], 1, 1, 8)[14:],
        "where the pixels begin",
    ),
    "gif-no-palette": (without_palette(), "no color table"),
    "gif-no-frame": (b"".join(gif()[:2]) + b";", "cannot decode GIF"),
    "gif-empty-frame": (of_frame_size(4, 0), "its first frame is empty"),
    "gif-narrow-frame": (of_frame_size(0, 4), "its first frame is empty"),
    "gif-large-frame": (of_frame_size(9000, 9000), "truncated: .* cannot hold the image"),
    "tiff-palette": (plain(3, 8, 1), "palette is unsupported; convert it to PNG"),
    "tiff-premultiplied": (plain(2, 8, 4, tags={338: 1}), "premultiplied alpha"),
    "tiff-premultiplied-grey": (plain(1, 8, 2, tags={338: 1}), "premultiplied alpha"),
    "tiff-rgbx": (plain(2, 8, 4, tags={338: 0}), "samples beyond colour and alpha"),
    "tiff-cmyk-alpha": (plain(5, 8, 5, tags={338: 2}), "CMYKA"),
    "tiff-fill-order": (plain(1, 8, 1, tags={266: 2}), "reversed order of bits"),
    "tiff-white16": (plain(0, 16, 1), "inverted grey of 16 bits"),
    "tiff-predictor": (plain(2, 8, 3, tags={317: 2}), "a predictor without"),
    "tiff-planar-tiles": (plain(2, 8, 3, planar=True, tile=(16, 16)), "planes"),
    "tiff-planar16": (plain(2, 16, 3, planar=True), "planes"),
    "tiff-planar-alpha": (plain(2, 8, 4, planar=True), "planes"),
    "tiff-planar-cmyk": (plain(5, 8, 4, planar=True), "planes"),
    "tiff-signed": (plain(1, 8, 1, tags={339: 2}), "signed or floating"),
    "tiff-12bit": (plain(1, 16, 1, tags={258: 12}), "Gray.12."),
    "tiff-ycbcr": (plain(6, 8, 3), "YCbCr"),
    "tiff-jpeg": (plain(1, 8, 1, tags={259: 7}), "ompression.*convert it to PNG"),
    "tiff-fax4": (plain(1, 1, 1, tags={259: 4}), "ompression.*convert it to PNG"),
    "tiff-xmp": (
        plain(2, 8, 3) + b'<rdf:Description tiff:Orientation="6"/>',
        "orientation that stands in XMP only",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(DecodeError, match=message):
        decode(data)
