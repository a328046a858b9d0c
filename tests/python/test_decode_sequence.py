"""A file's pixels don't depend on the files that the same thread decoded before."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from image_files import encoded, picture, png, png_chunk, smooth
from loader_sets import Items
from reference import decoded

from tied_augment import DecodeError, TiedLoader, TwoView, View, decode

SIZE = (37, 43)
# Shows the image unchanged: the crop is all of it, and a resize to its own size changes nothing.
VIEW = View(SIZE, crop="squash", hflip=0)
QUANTISATION, HUFFMAN, RESTART, ADOBE, JFIF = 0xDB, 0xC4, 0xDD, 0xEE, 0xE0


def jpeg(seed: int, mode: str = "RGB", **options: Any) -> bytes:
    return encoded(picture(np.random.default_rng(seed), *SIZE, mode), "JPEG", **options)


def without(data: bytes, *markers: int) -> bytes:
    """The JPEG file without its segments that begin with these markers."""
    out, at = data[:2], 2
    while at < len(data):
        if data[at] != 0xFF or data[at + 1] in (0, 0xFF) or 0xD0 <= data[at + 1] <= 0xD9:
            out += data[at : at + 1]
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] not in markers:
            out += data[at:end]
        at = end
    return out


def jpegs() -> Iterator[tuple[str, bytes]]:
    base, optimised = jpeg(0), jpeg(1, optimize=True, quality=97)
    progressive = jpeg(2, progressive=True)
    # Both its quantisation and its Huffman tables differ from those of base.
    other = jpeg(3, quality=30, subsampling=0)
    restarts = jpeg(4, restart_marker_blocks=2)
    cmyk = jpeg(5, "CMYK")
    yield "base", base
    yield "optimised", optimised
    yield "progressive", progressive
    yield "other", other
    yield "restarts", restarts
    yield "progressive, restarts", jpeg(6, progressive=True, restart_marker_rows=1)
    yield "gray", jpeg(7, "L", quality=60)
    yield "RGB", jpeg(8, keep_rgb=True)
    yield "CMYK", cmyk
    yield "YCCK", cmyk[: (at := cmyk.index(b"\xff\xee") + 15)] + b"\x02" + cmyk[at + 1 :]
    yield "CMYK without Adobe's marker", without(cmyk, ADOBE)
    yield "density", jpeg(9, dpi=(300, 200))
    yield "without JFIF", without(base, JFIF)
    yield "without Huffman tables", without(base, HUFFMAN)
    yield "gray without Huffman tables", without(jpeg(10, "L"), HUFFMAN)
    yield "restarts without Huffman tables", without(restarts, HUFFMAN)
    yield "optimised without Huffman tables", without(optimised, HUFFMAN)
    yield "progressive without Huffman tables", without(progressive, HUFFMAN)
    yield "without quantisation tables", without(base, QUANTISATION)
    yield "other without quantisation tables", without(other, QUANTISATION)
    yield "progressive without quantisation tables", without(progressive, QUANTISATION)
    yield "without tables", without(base, QUANTISATION, HUFFMAN)
    yield "restarts without their interval", without(restarts, RESTART)
    yield "truncated", optimised[: len(optimised) // 2]
    yield "progressive, truncated", progressive[: len(progressive) // 2]
    yield "CMYK, truncated", cmyk[: len(cmyk) // 2]


def others() -> Iterator[tuple[str, bytes]]:
    for kind, modes in {
        "PNG": ("RGB", "RGBA", "P", "L"),
        "WEBP": ("RGB", "RGBA"),
        "GIF": ("P",),
        "BMP": ("RGB", "P"),
        "TIFF": ("RGB", "RGBA", "L"),
    }.items():
        for mode in modes:
            data = encoded(picture(np.random.default_rng(11), *SIZE, mode), kind)
            yield f"{kind} {mode}", data
            yield f"{kind} {mode}, truncated", data[:-60]
    yield "PNG whose animation begins small", small_first_frame()


def small_first_frame() -> bytes:
    """A PNG whose animation has a first frame that is smaller than the header says."""
    height, width = SIZE
    data = png(smooth(np.random.default_rng(12), height, width).astype(int), 2, 8)
    control = struct.pack(">II", 1, 0)
    frame = struct.pack(">IIIIIHHBB", 0, width // 2, height // 2, 0, 0, 1, 10, 0, 0)
    at = data.index(b"IDAT") - 4
    return data[:at] + png_chunk(b"acTL", control) + png_chunk(b"fcTL", frame) + data[at:]


def outcome(pixels: np.ndarray | None) -> bytes | None:
    return None if pixels is None else pixels.tobytes()


def by_pillow(data: bytes) -> np.ndarray | None:
    try:
        return decoded(data)
    except (OSError, SyntaxError):
        return None


def alone(data: bytes) -> np.ndarray | None:
    try:
        return decode(data)
    except DecodeError:
        return None


def on_one_thread(data: bytes) -> bytes | None:
    try:
        return VIEW.batch([data], [0], threads=1)[0].transpose(1, 2, 0).tobytes()
    except DecodeError:
        return None


JPEGS = dict(jpegs())
FILES = {**JPEGS, **dict(others())}
EXPECTED = {name: outcome(alone(data)) for name, data in FILES.items()}


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_alone_is_as_in_pillow(name: str) -> None:
    assert EXPECTED[name] == outcome(by_pillow(JPEGS[name]))


def test_there_are_files_of_both_kinds() -> None:
    refused = {name for name, expected in EXPECTED.items() if expected is None}
    assert {"without quantisation tables", "progressive without Huffman tables"} < refused
    assert "without Huffman tables" not in refused
    assert len(JPEGS) - len(refused & set(JPEGS)) > 10


@pytest.mark.parametrize("first", FILES)
def test_after_every_other_kind(first: str) -> None:
    for second in FILES:
        assert on_one_thread(FILES[first]) == EXPECTED[first], first
        assert on_one_thread(FILES[second]) == EXPECTED[second], (first, second)


def test_after_every_other_kind_in_a_loader() -> None:
    order = [name for pair in product(JPEGS, JPEGS) for name in pair]
    items = [(FILES[name], number) for number, name in enumerate(order)]
    loader = TiedLoader(Items(items), TwoView(VIEW), 10, threads=1, shuffle=False, on_error="skip")
    seen = set()
    for (first, _), targets in loader:
        for pixels, target in zip(first, targets.tolist(), strict=True):
            name = order[target]
            assert pixels.numpy().transpose(1, 2, 0).tobytes() == EXPECTED[name], name
            seen.add(name)
    assert seen == {name for name in JPEGS if EXPECTED[name] is not None}
