"""BMP files with a damaged header: refused, or read as Pillow reads them."""

import io
import warnings

import numpy as np
from decode_cases import CASES
from PIL import Image

from tied_augment import DecodeError, decode

NAMES = [name for name in CASES if name.startswith("bmp")]
# What is written into a header: sizes of headers, depths, kinds of compression, parts of masks.
VALUES = (0, 1, 2, 3, 4, 8, 12, 16, 24, 32, 40, 52, 56, 64, 108, 124, 0x7C, 0xF8, 0xFF)


def damaged(rng: np.random.Generator) -> bytes:
    """A BMP with up to three other bytes in its header or palette."""
    name = NAMES[rng.integers(len(NAMES))]
    data = bytearray(CASES[name](rng, int(rng.integers(1, 8)), int(rng.integers(1, 40))))
    for at in rng.integers(2, min(80, len(data)), rng.integers(1, 4)):
        data[at] = rng.choice(VALUES)
    return bytes(data if rng.random() < 0.9 else data[: rng.integers(2, len(data))])


def in_pillow(data: bytes) -> np.ndarray | None:
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def test_what_is_read_is_what_pillow_reads() -> None:
    rng = np.random.default_rng(0)
    equal = 0
    for _ in range(6000):
        data = damaged(rng)
        try:
            ours = decode(data)
        except DecodeError:
            continue
        theirs = in_pillow(data)
        assert theirs is not None, data[:140].hex()
        assert np.array_equal(ours, theirs), data[:140].hex()
        equal += 1
    assert equal > 1000
