"""Writes the first inputs of each fuzz target's corpus: `python fuzz/seeds.py`.

The fuzzer changes these inputs and keeps what reaches new code. Two options write what is
committed: `--keep TARGET FILE...` adds inputs to those that the tests run, and `--files` writes the
small images that the target `pipeline` damages.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tied_augment.packed import pack

FUZZ = Path(__file__).parent
GOLDEN = FUZZ.parent / "tests/golden"
SIZES = [(1, 1), (17, 9), (40, 33), (64, 48)]
MODES = {
    "JPEG": ["RGB", "L", "CMYK"],
    "PNG": ["RGB", "L", "P", "RGBA", "LA", "1", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "GIF": ["P", "L"],
    "BMP": ["RGB", "L", "P", "1"],
    "TIFF": ["RGB", "L", "RGBA", "CMYK", "1"],
}
OPTIONS: dict[str, list[dict[str, object]]] = {
    "JPEG": [
        {},
        {"subsampling": 2, "optimize": True},
        {"progressive": True},
        {"restart_marker_blocks": 2},
    ],
    "PNG": [{}, {"compress_level": 0}],
    "WEBP": [{}, {"lossless": True}, {"quality": 20}],
    "GIF": [{}, {"interlace": 0}],
    "BMP": [{}],
    "TIFF": [{"compression": c} for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")],
}
# Inputs that are longer would only take time.
MAX_LENGTH = 6000

POLICIES = [
    "rand-m9-mstd0.5-inc1",
    "rand-m30-n5-p0.7-mmax40-mstd101-w0",
    "rand-n15-p1-tweights",
    "rand-n3-t3a",
    "rand-n2-t3aw",
    "original-mstd2",
    "originalr",
    "v0-mstd0.5",
    "v0r",
    "3a",
    "augmix-m5-w4-d2-a0.3-b1-mstd0.5",
    "tv-rand-n3-m8-b20-p0.5-ibilinear",
    "tv-trivial-b5-inearest",
    "tv-auto-imagenet",
    "tv-auto-cifar10-ibicubic",
    "tv-auto-svhn",
    "tv-augmix-m4-w2-d3-a0.5",
]


def picture(mode: str, size: tuple[int, int]) -> Image.Image:
    """Noise over smooth shapes, so that there are codes of every length."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
    smooth = np.asarray(small.resize(size, Image.Resampling.BICUBIC), np.int16)
    noise = rng.integers(-20, 21, smooth.shape)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).convert(mode)


def jpegs() -> Iterator[bytes]:
    """Files of all samplings and codings that Pillow writes."""
    kinds: list[dict[str, bool | int]] = [
        {"subsampling": 0},
        {"subsampling": 1},
        {"subsampling": 2},
        {"quality": 10},
        {"quality": 100},
        {"optimize": True},
        {"progressive": True},
        {"restart_marker_blocks": 2},
        {"restart_marker_rows": 1, "optimize": True},
    ]
    for size in SIZES:
        for mode in ("RGB", "L", "CMYK"):
            for kind in kinds:
                file = io.BytesIO()
                picture(mode, size).save(file, "JPEG", **kind)
                yield file.getvalue()


def good_files(kind: str) -> list[bytes]:
    """Small files of one format, in all its modes."""
    files = []
    for size in SIZES[1:]:
        for mode in MODES[kind]:
            for options in OPTIONS[kind]:
                if mode == "I;16":
                    grey = np.asarray(picture("L", size), "<u2") * 2
                    image = Image.fromarray(grey)
                else:
                    image = picture(mode, size)
                file = io.BytesIO()
                image.save(file, kind, **options)
                files.append(file.getvalue())
    return files


def plans() -> Iterator[bytes]:
    """Plans as text, of many policies."""
    for case in json.loads((GOLDEN / "plans.json").read_text())[::3]:
        yield json.dumps(case["plans"][0]["ops"], separators=(",", ":")).encode()


def noise(lengths: tuple[int, ...] = (8, 30, 100, 300)) -> Iterator[bytes]:
    """Random bytes, for targets that draw from them."""
    rng = np.random.default_rng(0)
    for length in lengths:
        for _ in range(30):
            yield rng.bytes(length)


def write_files() -> None:
    """Writes a small image in each format."""

    def file(mode: str, kind: str, **options: object) -> bytes:
        data = io.BytesIO()
        picture(mode, SIZES[1]).save(data, kind, **options)
        return data.getvalue()

    baseline = file("RGB", "JPEG", quality=60, subsampling=2)
    files = {
        "baseline.jpg": baseline,
        "progressive.jpg": file("RGB", "JPEG", quality=60, progressive=True),
        "cmyk.jpg": file("CMYK", "JPEG", quality=60),
        "packed.bin": pack(baseline),
        "rgb.png": file("RGB", "PNG"),
        "palette.gif": file("P", "GIF"),
        "lossy.webp": file("RGB", "WEBP"),
        "rgb.bmp": file("RGB", "BMP"),
        "lzw.tif": file("RGB", "TIFF", compression="tiff_lzw"),
    }
    (FUZZ / "files").mkdir(exist_ok=True)
    for name, data in files.items():
        (FUZZ / "files" / name).write_bytes(data)


def kept(target: str) -> Iterator[bytes]:
    """The inputs that the tests run: lines of hexadecimal digits, and comments."""
    for line in (FUZZ / f"regressions/{target}.txt").read_text().splitlines():
        if not line.startswith("#"):
            yield bytes.fromhex(line)


def keep(target: str, files: list[str]) -> None:
    """Adds files to the inputs that the tests run, the shortest first."""
    inputs = sorted((Path(file).read_bytes() for file in files), key=lambda data: (len(data), data))
    with (FUZZ / f"regressions/{target}.txt").open("a") as lines:
        lines.writelines(f"{data.hex()}\n" for data in inputs)


def main() -> None:
    """Writes the inputs of all targets."""
    match sys.argv[1:]:
        case ["--files"]:
            write_files()
            return
        case ["--keep", target, *names]:
            keep(target, names)
            return
    files = list(jpegs())
    corpora: Mapping[str, list[bytes]] = {
        "images": [data for kind in MODES if kind != "JPEG" for data in good_files(kind)],
        "jpeg": files,
        "kernels": list(noise((30, 100, 300, 1000))),
        "loss": list(noise()),
        "packed": files + [pack(file) for file in files],
        "pipeline": list(noise()),
        "plans": [*plans(), *noise()],
        "policy": [policy.encode() for policy in POLICIES],
    }
    for target, seeds in corpora.items():
        folder = FUZZ / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate([*seeds, *kept(target)]):
            if len(data) <= MAX_LENGTH:
                (folder / f"seed-{number:03}").write_bytes(data)


if __name__ == "__main__":
    main()
