"""Compares `decode` with Pillow on damaged files: `python fuzz/differential.py --seconds 60`.

Each case is a good file of one format with a few random changes. A case has a number, from which
the same file is made again: `--case PNG 1234 --write bad.png`. The cases are counted by what became
of them. The kinds of difference that docs/parity.md lists have a line in `KNOWN`; any other one is
reported with an example, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import re
import struct
import sys
import time
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from seeds import MODES, good_files

from tied_augment import DecodeError, decode

# Larger images are left out: they would only take time.
MAX_PIXELS = 250_000
CASES_AT_ONCE = 2000
# Numbers at which parsers go wrong.
NUMBERS = [0, 1, 2, 3, 7, 8, 16, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]

Kind = tuple[str, str, str]  # format, outcome, the message of whoever refuses
Pixels = NDArray[np.uint8]

# Format, outcome and the beginning of the message, as regular expressions: see docs/parity.md.
KNOWN: list[tuple[str, str, str]] = [
    (
        "BMP",
        "only Pillow",
        "cannot decode BMP: (.*save it uncompressed|the file ends in the palette)",
    ),
    ("GIF", "only Pillow", "cannot decode GIF"),
    ("GIF", "only we", "OSError: image file is truncated|ValueError: tile cannot extend"),
    ("JPEG", "only Pillow", ".* cannot hold the image"),
    ("JPEG", "only we", "OSError: broken data stream|UnidentifiedImageError"),
    (
        "PNG",
        "only Pillow",
        "cannot decode PNG",
    ),
    ("PNG", "only we", "OSError: Truncated File Read|ValueError: Truncated IHDR"),
    ("TIFF", "only Pillow", "cannot decode TIFF"),
    ("TIFF", "only we", "OSError: decoder error|UnidentifiedImageError|ValueError: Invalid dim"),
    ("WEBP", "only Pillow", "cannot decode WebP: (Corrupt bitstream|Invalid VPN color space)"),
    ("WEBP", "only we", "OSError: (could not create decoder|failed to read next frame)"),
    ("WEBP", "other pixels", ""),
]


def changed(good: bytes, draw: random.Random) -> bytes:
    """One random change of a file."""
    data = bytearray(good)
    # Half of the changes are among the first bytes, where the headers are.
    at = draw.randrange(min(len(data), 200) if draw.random() < 0.5 else len(data))
    change = draw.randrange(8)
    if change <= 1:
        data[at] ^= 1 << draw.randrange(8)
    elif change == 2:
        data[at] = draw.randrange(256)
    elif change == 3:
        width = draw.choice([2, 4])
        number = (draw.choice(NUMBERS) & (1 << 8 * width) - 1).to_bytes(width, "big")
        number = number[:: draw.choice([1, -1])]
        data[at : at + width] = number[: len(data) - at]
    elif change == 4:
        del data[at : at + draw.choice([1, 2, 4, 16, 100])]
    elif change == 5:
        data[at:at] = draw.randbytes(draw.choice([1, 2, 4, 16]))
    elif change == 6:
        del data[draw.randrange(len(data)) :]
    else:
        start = draw.randrange(len(data))
        data[at:at] = data[start : start + draw.randrange(1, 64)]
    return bytes(data) or b"\0"


def repaired(data: bytes) -> bytes:
    """A PNG with right checksums of its chunks, so that what is in them is read."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def case(kind: str, number: int, files: list[bytes]) -> bytes:
    """The damaged file with this number."""
    draw = random.Random(f"{kind} {number}")
    data = draw.choice(files)
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        data = changed(data, draw)
    return repaired(data) if kind == "PNG" and draw.random() < 0.7 else data


def ours(data: bytes) -> Pixels | str:
    """The pixels, or why there are none."""
    try:
        return decode(data, max_pixels=MAX_PIXELS)
    except DecodeError as error:
        return str(error)


def pillows(data: bytes) -> Pixels | str:
    """Pillow's pixels, or why there are none."""
    try:
        with Image.open(io.BytesIO(data), formats=list(MODES)) as image:
            if image.width * image.height > MAX_PIXELS:
                return "limit"
            rgb = image.convert("RGB")
        return np.asarray(rgb)
    except Exception as error:  # Pillow raises many types
        return f"{type(error).__name__}: {error}"


def judged(kind: str, data: bytes) -> Kind:
    """What became of one file."""
    one, other = ours(data), pillows(data)
    if isinstance(one, str) and isinstance(other, str):
        return kind, "both refuse", ""
    if isinstance(one, str):
        if "limit" in one:
            return kind, "beyond the limit", ""
        return kind, "only Pillow accepts", general(one)
    if isinstance(other, str):
        if other == "limit":
            return kind, "beyond the limit", ""
        return kind, "only we accept", general(other)
    same = one.shape == other.shape and bool((one == other).all())
    return kind, "equal pixels" if same else "other pixels", ""


def general(message: str) -> str:
    """A message without what is different in each file."""
    message = re.sub(r"<[^>]*>|0x[0-9a-f]+|\[.*\]|'.*'", "X", message.splitlines()[0])
    return re.sub(r"\d+", "N", message)[:100]


def run(kind: str, first: int) -> tuple[Counter[Kind], dict[Kind, int]]:
    """Judges the cases from number ``first`` on; also an example of each kind."""
    # libtiff writes its complaints there.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    files = good_files(kind)
    counts: Counter[Kind] = Counter()
    examples: dict[Kind, int] = {}
    for number in range(first, first + CASES_AT_ONCE):
        outcome = judged(kind, case(kind, number, files))
        counts[outcome] += 1
        examples.setdefault(outcome, number)
    return counts, examples


def is_known(outcome: Kind) -> bool:
    """Whether docs/parity.md has this kind of outcome, or it is not a difference."""
    if outcome[1] in ("equal pixels", "both refuse", "beyond the limit"):
        return True
    return any(all(map(re.match, line, outcome)) for line in KNOWN)


def campaign(kinds: list[str], seconds: float, first: int, processes: int) -> bool:
    """Judges cases for so long, and prints the counts; returns whether all kinds are known."""
    counts: Counter[Kind] = Counter()
    examples: dict[Kind, int] = {}
    end = time.monotonic() + seconds
    with ProcessPoolExecutor(processes) as pool:
        while time.monotonic() < end:
            starts = range(first, first + processes * CASES_AT_ONCE, CASES_AT_ONCE)
            parts = [pool.submit(run, kind, start) for start in starts for kind in kinds]
            for part in parts:
                some, new = part.result()
                counts.update(some)
                examples = new | examples
            first += processes * CASES_AT_ONCE
    for outcome, count in sorted(counts.items()):
        note = "" if is_known(outcome) else f"  NEW, for example {examples[outcome]}"
        print(f"{count:9,}  {': '.join(filter(None, outcome))}{note}")
    print(f"{sum(counts.values()):9,}  cases; the next begin at {first}")
    return all(map(is_known, counts))


def main() -> int:
    """Parses the arguments and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--formats", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--case", nargs=2, metavar=("FORMAT", "NUMBER"), help="judge one case")
    parser.add_argument("--write", type=Path, help="where to write that case")
    options = parser.parse_args()
    if options.case:
        kind, number = options.case[0], int(options.case[1])
        data = case(kind, number, good_files(kind))
        if options.write:
            options.write.write_bytes(data)
        print(*judged(kind, data))
        return 0
    return not campaign(options.formats, options.seconds, options.first, options.processes)


if __name__ == "__main__":
    sys.exit(main())
