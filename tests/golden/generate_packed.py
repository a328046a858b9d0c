"""Writes packed/: images and a data set in the packed format, as the releases wrote them.

They hold the promise of docs/packed-format.md: every later release reads them. So files that are
there are never written again. Run ``python tests/golden/generate_packed.py`` to add those of new
cases, such as a new version of the format.

packed.json has the SHA-256 of the JPEG file that each image was packed from.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent / "packed"
sys.path.insert(0, str(FOLDER.parents[1] / "python"))

from image_files import encoded, jpeg_size_at, picture  # noqa: E402

from tied_augment.cli import main as command  # noqa: E402
from tied_augment.packed import pack  # noqa: E402


def jpeg(seed, size=(37, 53), mode="RGB", **options):
    return encoded(picture(np.random.default_rng(seed), *size, mode), "JPEG", **options)


def sampled(data, factors, size):
    """Other sampling factors, for as many blocks: the file stays valid and shows other pixels."""
    data = bytearray(data)
    at = jpeg_size_at(data)
    data[at : at + 4] = size[0].to_bytes(2, "big") + size[1].to_bytes(2, "big")
    data[at + 6] = factors
    return bytes(data)


def marked(data, transform):
    """Another transform in the Adobe marker: YCCK or RGB."""
    data = bytearray(data)
    data[data.index(b"\xff\xeeAdobe"[:2]) + 15] = transform
    return bytes(data)


def padded(data):
    """Zeros instead of ones fill the last byte before the end of the image."""
    data = bytearray(data)
    data[-3] &= 0xFE
    return bytes(data)


def cases():
    """The JPEG files by name."""
    steps = [[1 + 4 * i for i in range(64)], [300] * 64]
    return {
        "420": jpeg(1),
        "422": jpeg(2, subsampling=1),
        "444": jpeg(3, subsampling=0),
        "440": sampled(jpeg(4, (64, 64), subsampling=1), 0x12, (128, 32)),
        "411": sampled(jpeg(5, (32, 64), subsampling=2), 0x41, (16, 128)),
        "114": sampled(jpeg(6, (64, 32), subsampling=2), 0x14, (128, 16)),
        "gray": jpeg(7, mode="L"),
        "gray-22": sampled(jpeg(8, mode="L"), 0x22, (37, 53)),
        "cmyk": jpeg(9, mode="CMYK"),
        "ycck": marked(jpeg(10, mode="CMYK"), 2),
        "rgb": jpeg(11, keep_rgb=True),
        "progressive": jpeg(12, progressive=True),
        "progressive-cmyk": jpeg(13, mode="CMYK", progressive=True),
        "restart": jpeg(14, restart_marker_blocks=3),
        "restart-progressive": jpeg(15, progressive=True, restart_marker_rows=1),
        "optimised": jpeg(16, optimize=True, quality=90),
        "quality-1": jpeg(17, quality=1),
        "quality-100": jpeg(18, quality=100, subsampling=0),
        "wide-steps": jpeg(19, qtables=steps),
        "one-pixel": jpeg(20, (1, 1)),
        "several-tiles": jpeg(21, (20, 600), quality=95),
        "zero-padding": padded(jpeg(22, mode="L")),
        "comment-and-trailer": jpeg(23, comment=b"a comment") + b"after the image",
        "noise": encoded(noise(), "JPEG", quality=100, subsampling=0),
    }


def noise():
    """Pixels of extreme differences: escapes and exceptions."""
    pixels = np.random.default_rng(24).choice([0, 255], (24, 24, 3)).astype(np.uint8)
    pixels[8:16] = np.indices((8, 24)).sum(0)[..., None] % 2 * 255
    return Image.fromarray(pixels)


def write_set(out):
    """A data set of two classes and an empty one, with a file that is stored as it is."""
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "source"
        files = {
            "ant/1.jpg": jpeg(31),
            "ant/2.png": encoded(picture(np.random.default_rng(32), 9, 11, "RGB"), "PNG"),
            "cat/ünï.JPEG": jpeg(33, progressive=True),
            "cat/deep/gray.jpg": jpeg(34, mode="L"),
        }
        for name, data in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data)
        (source / "empty").mkdir()
        if command(["pack", str(source), str(Path(temporary) / "packed")]):
            raise SystemExit("not packed")
        index = Path(temporary) / "packed" / "packed.json"
        index.write_text(index.read_text().replace(str(source), "photos"))
        shutil.move(Path(temporary) / "packed", out)


def main():
    path = FOLDER / "packed.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for name, data in cases().items():
        if name not in known:
            (FOLDER / f"{name}.packed").write_bytes(pack(data))
            known[name] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(known, indent=1) + "\n")
    if not (FOLDER / "set").exists():
        write_set(FOLDER / "set")


if __name__ == "__main__":
    main()
