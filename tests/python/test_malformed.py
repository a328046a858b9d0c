"""Broken input raises the documented exception: no crash, no hang, no memory for absent pixels."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import animated_webp, encoded, gif_frame_at, jpeg_size_at, tiff
from loader_sets import Items
from peak_memory import Memory
from PIL import Image
from reference import assert_decodes_as_pillow

from tied_augment import DecodeError, TiedLoader, TwoView, View, decode, render
from tied_augment._core import Catalog, Loader

# Sides of an image. The first is larger than these files are; the second exceeds the limit.
LYING, HUGE = 13_000, 60_000
two = TwoView(View(32))


def files() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (45, 61, 3), np.uint8)).resize((122, 90))
    kinds = {
        "JPEG": {},
        "JPEG progressive": {"progressive": True},
        "PNG": {},
        "BMP": {},
        "GIF": {},
        "TIFF": {},
        "TIFF lzw": {"compression": "tiff_lzw"},
        "TIFF deflate": {"compression": "tiff_adobe_deflate"},
        "TIFF packbits": {"compression": "packbits"},
        "WEBP": {},
        "WEBP lossless": {"lossless": True},
    }
    return {name: encoded(photo, name.split()[0], **options) for name, options in kinds.items()}


FILES = files()


def resized(name: str, side: int) -> bytes:
    """The file with ``side`` x ``side`` as the size in its header."""
    data = bytearray(FILES[name])
    kind = name.split()[0]
    if kind == "JPEG":
        at = jpeg_size_at(data)
        data[at : at + 4] = struct.pack(">HH", side, side)
    elif kind == "PNG":
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "BMP":
        data[18:26] = struct.pack("<II", side, side)
    elif kind == "GIF":
        frame = gif_frame_at(data)
        data[6:10] = data[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
    elif kind == "TIFF":
        start = struct.unpack("<I", data[4:8])[0]
        for at in range(start + 2, start + 2 + 12 * data[start], 12):
            if data[at + 1] == 1 and data[at] in (0, 1, 22):  # width, height, rows per strip
                data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, side)
    elif name == "WEBP":
        data[26:30] = struct.pack("<HH", min(side, 16383), min(side, 16383))
    else:
        bits = int.from_bytes(data[21:25], "little") >> 28
        value = min(side, 16383) - 1
        data[21:25] = (value | value << 14 | bits << 28).to_bytes(4, "little")
    return bytes(data)


def refused(sample: object, *types: type[Exception]) -> str:
    """The message of the exception. `decode` and a view must raise the same type."""
    with pytest.raises(types or (DecodeError,)) as first:
        decode(sample)
    with pytest.raises(types or (DecodeError,)):
        two(sample)
    message = str(first.value)
    assert message
    assert "panic" not in message and "internal error" not in message  # noqa: PT018
    return message


def decodes(data: bytes) -> bool:
    """Whether the file decodes; any exception but the documented one fails the test."""
    try:
        return decode(data, max_pixels=1_000_000).ndim == 3
    except DecodeError:
        return False


@pytest.mark.parametrize("name", FILES)
def test_truncated(name: str) -> None:
    data = FILES[name]
    whole = decode(data)
    rng = np.random.default_rng(1)
    ends = {*range(60), *rng.integers(0, len(data), 60).tolist(), len(data) - 40}
    for end in sorted(ends):
        # The last bytes of a file may hold no pixels.
        if decodes(data[:end]):
            assert end > len(data) * 0.9, end
            assert np.array_equal(decode(data[:end]), whole), end
        else:
            refused(data[:end])


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits(name: str) -> None:
    rng = np.random.default_rng(2)
    outcomes = []
    for _ in range(150):
        data = bytearray(FILES[name])
        for _ in range(int(rng.integers(1, 6))):
            at = (
                rng.integers(min(len(data), 600)) if rng.random() < 0.5 else rng.integers(len(data))
            )
            data[at] ^= 1 << rng.integers(8)
        outcomes.append(decodes(bytes(data)))
    assert False in outcomes


def animation(mode: str, lossless: bool, blended: bool) -> bytes:
    rng = np.random.default_rng(7)
    frames = []
    for y, x in ((0, 0), (4, 6)):
        image = Image.fromarray(rng.integers(0, 256, (16, 24, len(mode)), np.uint8))
        frames.append((encoded(image, "WEBP", lossless=lossless), (y, x), 0 if blended else 2))
    return animated_webp((30, 40), frames)


ANIMATIONS = [(mode, *flags) for mode in ("RGB", "RGBA") for flags in ((0, 1), (1, 0), (1, 1))]


@pytest.mark.parametrize("options", ANIMATIONS, ids=str)
def test_damaged_animations(options: tuple[str, bool, bool]) -> None:
    good = animation(*options)
    rng = np.random.default_rng(8)
    outcomes = []
    for _ in range(600):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            data[rng.integers(min(len(data), 130))] ^= 1 << rng.integers(8)
        outcomes.append(decodes(bytes(data)))
    assert {True, False} == set(outcomes)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize(("field", "value"), [(6, 30), (6, 10), (9, 5), (9, 20), (6, 0)])
def test_a_frame_with_another_size_in_its_header_is_read_as_in_pillow(
    field: int, value: int, lossless: bool
) -> None:
    data = bytearray(animation("RGBA", lossless, True))
    data[data.index(b"ANMF") + 8 + field] = value
    assert_decodes_as_pillow(bytes(data), field, value)


def test_a_bad_file_of_each_kind_is_skipped() -> None:
    animated = animation("RGBA", False, True)
    bad = [FILES["PNG"][:200], animated[:100], FILES["JPEG"][:300], FILES["GIF"][:60]]
    # Too wide for a crop. The error is the file's, so that it is skipped like the others.
    bad.append(resized("BMP", 1)[:18] + struct.pack("<I", 2_000_000) + resized("BMP", 1)[22:])
    items = [(sample, number) for number, sample in enumerate([FILES["PNG"], *bad])]
    loader = TiedLoader(Items(items), TwoView(View(8, crop="squash")), 6, on_error="skip")
    [(_, targets)] = list(loader)
    assert targets.tolist() == [0] * 6
    assert loader.skipped == 5 + 4 + 3 + 2 + 1


@pytest.mark.parametrize("name", FILES)
def test_header_beyond_the_limit(name: str) -> None:
    with Memory() as memory:
        message = refused(resized(name, HUGE))
    assert "limit" in message, message
    assert memory.growth < 50


@pytest.mark.parametrize("name", FILES)
def test_header_that_lies_costs_no_memory(name: str) -> None:
    with Memory() as memory:
        # Without its end marker: with it, libjpeg fills what is missing with grey, as in Pillow.
        refused(resized(name, LYING)[: -30 if "JPEG" in name else None])
    assert memory.growth < 50


@pytest.mark.parametrize("name", FILES)
def test_the_limit_of_pixels_can_be_set(name: str) -> None:
    pixels = 122 * 90
    assert decode(FILES[name], max_pixels=pixels).shape == (90, 122, 3)
    with pytest.raises(DecodeError, match="max_pixels"):
        decode(FILES[name], max_pixels=pixels - 1)


def not_images() -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "text", b"hello, this is no image at all"
    yield "zeros", bytes(1000)
    yield "noise", np.random.default_rng(3).bytes(5000)
    yield "zip", b"PK\x03\x04" + bytes(100)
    for magic in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*"):
        yield repr(magic), magic
        yield f"{magic!r} and noise", magic + np.random.default_rng(4).bytes(3000)
        yield f"{magic!r} and zeros", magic + bytes(3000)
    yield "RIFF", b"RIFF\x00\x10\0\0WEBPVP8 " + bytes(300)


@pytest.mark.parametrize(("name", "data"), list(not_images()), ids=lambda value: str(value)[:24])
def test_not_an_image(name: str, data: bytes, tmp_path: Path) -> None:
    refused(data)
    path = tmp_path / "sample.jpg"
    path.write_bytes(data)
    assert str(path) in refused(path)


@pytest.mark.parametrize("name", FILES)
def test_wrong_extension_does_not_matter(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.txt"
    path.write_bytes(FILES[name])
    assert np.array_equal(decode(path), decode(FILES[name]))


def test_paths_that_are_not_files(tmp_path: Path) -> None:
    assert "absent" in refused(tmp_path / "absent.jpg", FileNotFoundError)
    message = refused(tmp_path, IsADirectoryError)
    assert message == f"{tmp_path}: cannot read the file: it is a directory"
    refused("", ValueError)


needs_unix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")


@pytest.fixture
def special(tmp_path: Path) -> Iterator[list[Path]]:
    """Paths at which a plain read would wait or never end."""
    fifo, link, place = tmp_path / "fifo.jpg", tmp_path / "link.jpg", tmp_path / "socket.jpg"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(place))
        yield [fifo, link, place, Path("/dev/zero"), Path("/dev/null"), Path("/dev/tty")]


@needs_unix
@pytest.mark.timeout(20)
def test_paths_that_are_not_regular_files_are_refused_at_once(special: list[Path]) -> None:
    plan = {"ops": [("crop", {"x": 0, "y": 0, "w": 1, "h": 1})]}
    for path in special:
        message = refused(path, OSError)
        assert message.startswith(f"{path}: cannot read the file: "), message
        assert "not a regular file" in message
        with pytest.raises(OSError, match="not a regular file"):
            render(path, plan)
        with pytest.raises(OSError, match="not a regular file"):
            Catalog.members([str(path)], np.zeros((1, 3), np.uint64))


@needs_unix
@pytest.mark.timeout(20)
def test_a_loader_skips_paths_that_are_not_regular_files(special: list[Path]) -> None:
    for path in special:
        loader = TiedLoader(Items([(path, 0), (FILES["PNG"], 1)]), two, 2, on_error="skip")
        [(_, targets)] = list(loader)
        assert targets.tolist() == [1, 1]


@needs_unix
@pytest.mark.timeout(20)
def test_an_archive_that_became_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "archive.tar"
    path.write_bytes(FILES["PNG"])
    catalog = Catalog.members([str(path)], np.array([[0, 0, len(FILES["PNG"])]], np.uint64))
    path.unlink()
    os.mkfifo(path)
    loader = Loader(1, [two._pipeline], 0, 0, None, None, False)
    out = np.empty(2 * 3 * 32 * 32, np.uint8)
    loader.submit(catalog, [], np.zeros(1, "u8"), np.zeros(1, "u2"), 0, out)
    [(position, error)] = loader.wait(10) or []
    loader.close()
    assert position == 0
    assert "not a regular file" in str(error)


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(FILES["PNG"])
    (tmp_path / "link").symlink_to(tmp_path / "image.png")
    assert np.array_equal(decode(tmp_path / "link"), decode(FILES["PNG"]))


@needs_unix
def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.bmp"
    path.write_bytes(FILES["BMP"])
    os.truncate(path, 1 << 40)
    with Memory() as memory:
        assert "more than 4294967296 bytes" in refused(path, OSError)
    assert memory.growth < 50


def test_images_without_pixels() -> None:
    for side in ("PNG", "BMP", "GIF", "TIFF"):
        refused(resized(side, 0))


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"planar": True}], ids=str)
def test_tiff_with_a_damaged_directory(options: dict[str, Any]) -> None:
    good = tiff(np.zeros((17, 9, 3), int), 2, 8, **options)
    start = struct.unpack("<I", good[4:8])[0]
    for at in range(start, len(good)):
        for value in (0, 1, 0x7F, 0xFF):
            data = bytearray(good)
            data[at] = value
            decodes(bytes(data))


def test_a_bad_sample_of_a_batch_is_named() -> None:
    with pytest.raises(DecodeError, match="sample 1 of the batch"):
        two.batch([FILES["PNG"], FILES["PNG"][:200], FILES["PNG"]])


def test_a_strip_of_kilobytes_costs_no_gigabytes() -> None:
    strip = encoded(Image.new("L", (40_000_000, 1)), "PNG")
    with Memory() as memory, pytest.raises(DecodeError, match="too long and thin for this crop"):
        View(224, crop="squash")(strip)
    assert memory.growth < 50
