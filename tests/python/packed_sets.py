"""Folders to pack, for the tests of packed data sets."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from image_files import encoded, picture

from tied_augment.cli import main


def jpeg(size, seed=0, mode="RGB", **options):
    return encoded(picture(np.random.default_rng(seed), *size, mode), "JPEG", **options)


def arithmetic():
    """A file with arithmetic coding, by its header."""
    data = bytearray(jpeg((16, 16)))
    data[data.index(b"\xff\xc0") + 1] = 0xC9
    return bytes(data)


def write_mixed(root):
    """A folder of class folders with all that data sets have. Files' bytes by name."""
    names = {
        "10/b.jpg": jpeg((45, 61), 1),
        "10/a.progressive.jpeg": jpeg((90, 41), 2, progressive=True),
        "10/gray.JPG": jpeg((50, 50), 3, "L"),
        "9/cmyk.jpg": jpeg((40, 70), 4, "CMYK"),
        "9/deep/er/nested.jpg": jpeg((64, 64), 5, subsampling=0),
        "9/deep/restart.jpg": jpeg((64, 90), 6, restart_marker_blocks=5),
        "9/a.png": encoded(picture(np.random.default_rng(7), 33, 44, "RGB"), "PNG"),
        "9/not what it says.png": jpeg((64, 64), 8),
        "ünï cödé/ライオン 🦁.jpg": jpeg((77, 60), 9),
        "ünï cödé/arithmetic.jpg": arithmetic(),
        "ünï cödé/cut.jpg": jpeg((64, 64), 10)[:-60],
        "ünï cödé/noise.jpg": np.random.default_rng(11).bytes(3000),
        "ünï cödé/empty.jpg": b"",
        os.fsdecode(b"ascii/not utf-8 \xff.jpg"): jpeg((40, 40), 12),
    }
    for name, data in names.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "empty class").mkdir()
    (root / "9" / "notes.txt").write_text("not an image")
    return names


UNREADABLE = {"cut.jpg", "noise.jpg", "empty.jpg"}


def write_good(root, count=24, classes=3):
    """A folder of class folders with images of which all can be decoded."""
    for number in range(count):
        folder = root / f"class{number % classes}"
        folder.mkdir(parents=True, exist_ok=True)
        size = (60 + 7 * (number % 5), 50 + 11 * (number % 7))
        if number % 8 == 5:
            data, ending = (
                encoded(picture(np.random.default_rng(number), *size, "RGB"), "PNG"),
                "png",
            )
        else:
            data, ending = jpeg(size, number, progressive=number % 3 == 0), "jpg"
        (folder / f"{number}.{ending}").write_bytes(data)


def pack_folder(source, out, *options):
    assert main(["pack", str(source), str(out), *map(str, options)]) == 0
    return out


def changed(path, **fields):
    """Change fields of an index."""
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps(content | fields))


def digests(root):
    """SHA-256 by name of all files below a folder."""
    return {
        os.path.relpath(os.path.join(folder, name), root): hashlib.sha256(
            Path(folder, name).read_bytes()
        ).hexdigest()
        for folder, _, names in os.walk(root)
        for name in names
    }
