"""JPEG files with arithmetic codes. Pillow writes none, but any bytes are codes of some image."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from peak_memory import Memory
from PIL import Image

from tied_augment import DecodeError, decode

SCANS = {  # spectral selection and successive approximation of each scan
    "sequential": [(0, 63, 0, 0)],
    "progressive": [(0, 0, 0, 1), (1, 63, 0, 1), (1, 63, 1, 0), (0, 0, 1, 0)],
}


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def arithmetic(
    codes: bytes, size: tuple[int, int], kind: str, factors: list[int], restart: int = 0
) -> bytes:
    """A file whose scans have these codes, and a component for each of the sampling factors."""
    out = b"\xff\xd8" + segment(0xDB, bytes([0, *range(2, 66)]))
    ids = range(1, len(factors) + 1)
    infos = b"".join(bytes([i, factor, 0]) for i, factor in zip(ids, factors, strict=True))
    frame = struct.pack(">BHHB", 8, *size, len(factors)) + infos
    out += segment(0xC9 if kind == "sequential" else 0xCA, frame)
    if restart:
        out += segment(0xDD, struct.pack(">H", restart))
    data = codes.replace(b"\xff", b"\xff\0")
    for start, end, high, low in SCANS[kind]:
        # Scans of coefficients beyond the first have one component.
        groups = [ids] if start == 0 else [[i] for i in ids]
        for group in groups:
            selectors = b"".join(bytes([i, 0]) for i in group)
            ends = bytes([start, end, high << 4 | low])
            out += segment(0xDA, bytes([len(group)]) + selectors + ends) + data
    return out + b"\xff\xd9"


@pytest.mark.parametrize("kind", SCANS)
@pytest.mark.parametrize(
    "factors", [[0x11], [0x11] * 3, [0x22, 0x11, 0x11], [0x21, 0x11, 0x11, 0x21]]
)
def test_pixels_are_pillows(kind: str, factors: list[int]) -> None:
    rng = np.random.default_rng(len(factors) + factors[0])
    pixels = set()
    for case in range(60):
        size = (int(rng.integers(1, 80)), int(rng.integers(1, 80)))
        length = int(rng.integers(1, 400))
        # Few bits that are set: likely decisions, so that codes reach further.
        codes = np.frombuffer(rng.bytes(length), np.uint8)
        for _ in range(case % 3):
            codes = codes & np.frombuffer(rng.bytes(length), np.uint8)
        restart = int(rng.integers(1, 5)) if case % 4 == 3 else 0
        data = arithmetic(codes.tobytes(), size, kind, factors, restart)
        with Image.open(io.BytesIO(data)) as image:
            expected = np.asarray(image.convert("RGB"))
        assert np.array_equal(decode(data), expected)
        pixels |= set(expected.ravel().tolist())
    assert len(pixels) > 100


@pytest.mark.parametrize("kind", SCANS)
def test_an_image_of_few_bytes_is_bounded(kind: str) -> None:
    side = 4096  # 2^24 samples
    assert decode(arithmetic(bytes(8), (side, side), kind, [0x11])).shape == (side, side, 3)
    larger = arithmetic(bytes(8), (side + 1, side), kind, [0x11])
    with Memory() as memory, pytest.raises(DecodeError, match="bytes cannot hold the image"):
        decode(larger)
    assert memory.growth < 50
    longer = arithmetic(bytes((side + 8) * side // 4096), (side + 1, side), kind, [0x11])
    assert decode(longer).shape == (side + 1, side, 3)
