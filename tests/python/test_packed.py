"""Packed images show the pixels of the JPEG file, and give it back; broken ones do no harm."""

from __future__ import annotations

import hashlib
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import encoded, jpeg_size_at, picture
from loader_sets import Items
from reference import assert_equal

from tied_augment import DecodeError, TarShards, TiedLoader, TwoView, View, decode
from tied_augment.packed import pack, unpack

SIZES = [(1, 1), (8, 8), (17, 9), (15, 130), (45, 61), (160, 243)]
KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "optimized": {"optimize": True, "quality": 90},
    "progressive": {"progressive": True},
    "progressive 4:4:4": {"progressive": True, "subsampling": 0, "quality": 97},
    "restart blocks": {"restart_marker_blocks": 3},
    "restart rows": {"restart_marker_rows": 1, "progressive": True},
    "RGB": {"keep_rgb": True},
    "gray": {"mode": "L"},
    "gray progressive": {"mode": "L", "progressive": True},
    "gray restart": {"mode": "L", "restart_marker_blocks": 5},
    "CMYK": {"mode": "CMYK"},
    "CMYK progressive": {"mode": "CMYK", "progressive": True, "quality": 30},
    "coarse steps": {"qtables": [[200 + 3 * i for i in range(64)]] * 2},
    "comment": {"comment": b"a comment", "dpi": (300, 300)},
}


def jpeg(size: tuple[int, int], seed: int = 0, mode: str = "RGB", **options: Any) -> bytes:
    return encoded(picture(np.random.default_rng(seed), *size, mode), "JPEG", **options)


def packed(file: bytes) -> bytes:
    """The packed image. It must show the same pixels and give the file back."""
    data = pack(file)
    assert_equal(decode(data), decode(file))
    assert hashlib.sha256(unpack(data)).digest() == hashlib.sha256(file).digest()
    return data


def assert_same_views(files: list[bytes], images: list[bytes]) -> None:
    """Crops of all sizes at all places, alone and in batches."""
    two = TwoView(View(24, scale=(0.02, 1.0)), View(24, scale=(0.5, 1.0), interpolation="bilinear"))
    for index, (file, image) in enumerate(zip(files, images, strict=True)):
        for epoch in range(6):
            ours, theirs = (two(data, index=index, epoch=epoch) for data in (image, file))
            for view, expected in zip(ours, theirs, strict=True):
                assert_equal(view, expected, index, epoch)
    indices = list(range(len(files)))
    ours, theirs = (two.batch(list(data), indices=indices) for data in (images, files))
    assert_equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_and_bytes_are_those_of_the_file(kind: str) -> None:
    files = [jpeg(size, seed, **KINDS[kind]) for seed, size in enumerate(SIZES)]
    assert_same_views(files[2:], [packed(file) for file in files][2:])


def test_every_quality() -> None:
    files = [jpeg((37, 143), quality, quality=quality) for quality in range(1, 101)]
    assert_same_views(files[::9], [packed(file) for file in files][::9])


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("factors", [0x12, 0x21, 0x41, 0x14, 0x22])
def test_samplings_that_pillow_does_not_write(factors: int, progressive: bool, mode: str) -> None:
    # Another arrangement of as many blocks: the file stays valid and shows other pixels.
    across, down = factors >> 4, factors & 15
    if mode == "L":
        size = (45, 61)
    elif across * down == 2:
        size = (16 * 4, 16 * 4)
    else:
        size = (32 * 3, 32 * 3)
    options: dict[str, Any] = {"subsampling": 1 if across * down == 2 else 2}
    data = bytearray(jpeg(size, factors, mode, progressive=progressive, **options))
    at = jpeg_size_at(data)
    data[at + 6] = factors
    if mode == "RGB":
        units = {2: (8, 16), 4: (16, 16)}[across * down]
        height, width = size[0] // units[0] * 8 * down, size[1] // units[1] * 8 * across
        data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    assert_same_views([bytes(data)], [packed(bytes(data))])


@pytest.mark.parametrize("transform", [0, 1, 2, None])
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_colours_are_chosen_as_for_the_file(mode: str, transform: int | None) -> None:
    # Pillow writes an Adobe marker into these, and no JFIF marker.
    data = bytearray(jpeg((45, 61), 3, mode, **({"keep_rgb": True} if mode == "RGB" else {})))
    at = data.index(b"\xff\xeeAdobe"[:2])
    if transform is None:
        del data[at : at + 16]
    else:
        data[at + 15] = transform
    assert_same_views([bytes(data)], [packed(bytes(data))])


def test_a_later_quantisation_table_does_not_count() -> None:
    file = jpeg((45, 61), progressive=True)
    start = file.index(b"\xff\xdb")
    other = bytearray(file[start : start + 69])
    other[5:] = bytes(range(1, 65))
    scans = [at for at in range(len(file)) if file[at : at + 2] == b"\xff\xda"]
    changed = file[: scans[2]] + bytes(other) + file[scans[2] :]
    assert_same_views([changed], [packed(changed)])


def test_bytes_after_the_image_are_kept() -> None:
    packed(jpeg((45, 61)) + b"something else")


def test_loaders_read_packed_images_as_bytes_as_files_and_in_archives(tmp_path: Path) -> None:
    files = [jpeg((45 + n, 61), n, progressive=n > 3) for n in range(6)]
    images = [pack(file) for file in files]
    items = []
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        for number, image in enumerate(images):
            path = tmp_path / f"{number}.jpg"
            path.write_bytes(image)
            items.append((path if number % 2 else image, number))
            tar.add(path, path.name)
            (tmp_path / "target").write_text(str(number))
            tar.add(tmp_path / "target", f"{number}.cls")
    two = TwoView(View(24))
    shards = TarShards([tmp_path / "images.tar"], samples=6, buffer=0)
    for dataset in (Items(items), shards):
        [(batch, targets)] = list(TiedLoader(dataset, two, 6, shuffle=False))
        assert targets.tolist() == list(range(6))
        assert_equal(batch.numpy(), two.batch(list(files), range(6)).reshape(batch.shape))


def test_max_pixels() -> None:
    data = pack(jpeg((45, 61)))
    assert decode(data, max_pixels=45 * 61).shape == (45, 61, 3)
    with pytest.raises(DecodeError, match="max_pixels"):
        decode(data, max_pixels=45 * 61 - 1)
    assert pack(jpeg((45, 61)), max_pixels=45 * 61) == data
    with pytest.raises(ValueError, match=r"more than 2744 pixels; .* raise max_pixels"):
        pack(jpeg((45, 61)), max_pixels=45 * 61 - 1)
    with pytest.raises(ValueError, match="max_pixels must be"):
        pack(jpeg((45, 61)), max_pixels=0)


def arithmetic() -> bytes:
    data = bytearray(jpeg((16, 16)))
    data[data.index(b"\xff\xc0") + 1] = 0xC9
    return bytes(data)


def refused() -> Iterator[tuple[bytes, str]]:
    yield arithmetic(), "arithmetic coding"
    yield jpeg((45, 61))[:-40], "truncated"
    yield b"", "not a JPEG file"
    yield encoded(picture(np.random.default_rng(0), 9, 9, "RGB"), "PNG"), "not a JPEG file"


@pytest.mark.parametrize(("data", "cause"), list(refused()), ids=lambda value: str(value)[:20])
def test_what_cannot_be_packed_is_refused_with_the_cause(data: bytes, cause: str) -> None:
    with pytest.raises(ValueError, match=f"^the file cannot be packed: {cause}"):
        pack(data)


def test_only_bytes_are_taken() -> None:
    for function in (pack, unpack):
        for data in ("image.jpg", Path("image.jpg"), bytearray(b"1"), None):
            with pytest.raises(TypeError, match=r"data must be .* as bytes, not .*read_bytes"):
                function(data)  # type: ignore[arg-type]


def test_other_files_and_other_versions_are_not_unpacked() -> None:
    file = jpeg((45, 61))
    with pytest.raises(DecodeError, match="cannot decode packed image"):
        unpack(file)
    # Places of the header and the description, values, and what is said.
    for at, value, says in [
        (7, 0, "version 0 of the format, which only the release that packed it reads: unpack it"),
        (7, 9, "version 9 of the format, this release reads 1: upgrade tied-augment"),
        (9, 4, "feature 10 of the format, which this release lacks: upgrade tied-augment"),
        (41, 9, "codebook 9, which this release lacks: upgrade tied-augment"),
    ]:
        data = bytearray(pack(file))
        data[at] = value
        for function in (unpack, decode):
            with pytest.raises(DecodeError, match=says):
                function(sealed(data))


def sealed(data: bytearray) -> bytes:
    """The image with the checksum of its header, its description and its directory."""
    head = 40 + sum(struct.unpack_from("<2I", data, 16))
    data[36:40] = zlib.crc32(data[:36] + data[40:head]).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("kind", ["baseline", "gray", "CMYK"])
def test_changed_images_are_refused_or_show_something(kind: str) -> None:
    good = pack(jpeg((45, 161), **KINDS[kind]))
    rng = np.random.default_rng(5)
    two = TwoView(View(24, scale=(0.02, 1.0)))
    outcomes = []
    for _ in range(1500):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 5))):
            # Half of the changes are in the header and in the geometry.
            at = rng.integers(8, 60) if rng.random() < 0.5 else rng.integers(len(data))
            data[at] = rng.integers(256)
        if data != good:
            with pytest.raises(DecodeError):
                unpack(bytes(data))
        changed = sealed(data)
        try:
            outcomes.append(decode(changed, max_pixels=1_000_000).ndim == 3)
            two(changed)
        except DecodeError:
            outcomes.append(False)
    assert {True, False} == set(outcomes)


def test_cut_images_are_refused() -> None:
    data = pack(jpeg((45, 61)))
    for end in range(len(data)):
        with pytest.raises(DecodeError):
            decode(data[:end])
