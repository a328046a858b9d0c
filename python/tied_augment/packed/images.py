"""`pack` and `unpack`: JPEG files in a code that is quicker to decode.

Whatever takes an image takes a packed one, as a file or as bytes, and makes the same pixels of it.
``docs/packed.md`` says when that pays.

The format has version 1. ``docs/packed-format.md`` says what later releases go on reading.
"""

from __future__ import annotations

from tied_augment import _core
from tied_augment.arguments import check_unsigned
from tied_augment.exits import INSIDE

__all__ = ["pack", "unpack"]


def pack(data: bytes, max_pixels: int | None = None) -> bytes:
    """Pack a JPEG file. `unpack` gives it back, byte for byte: that is checked here.

    Args:
        data: the file's content.
        max_pixels: as in `TwoView`: refuse larger images.

    Raises:
        ValueError: the file cannot be packed, and why: it is no JPEG file, it is broken, or it is
            of a rare kind, such as one with arithmetic coding. Keep it as it is.
        TypeError: `data` is not bytes.
    """
    if max_pixels is not None:
        max_pixels = check_unsigned("max_pixels", max_pixels, 64, least=1)
    with INSIDE:
        return _core.pack_jpeg(_content(data), max_pixels)


def unpack(data: bytes) -> bytes:
    """Give back the JPEG file that was packed.

    Args:
        data: what `pack` returned.

    Raises:
        DecodeError: it is not a packed image, has another version of the format, or has changed.
        TypeError: `data` is not bytes.
    """
    with INSIDE:
        return _core.unpack_jpeg(_content(data))


def _content(data: object) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(
            f"data must be a file's content as bytes, not {type(data).__name__}: for a path, use "
            "Path(path).read_bytes()"
        )
    return data
