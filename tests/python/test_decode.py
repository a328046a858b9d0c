"""``decode`` equals ``PIL.Image.open(...).convert("RGB")``, whole arrays, ``== 0``."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import skimage.data
from image_files import bmp, png, tiff
from PIL import Image

from tied_augment import decode

SIZES = [(1, 1), (1, 7), (9, 1), (3, 2), (17, 33), (31, 16), (64, 45), (101, 77)]
Rng = np.random.Generator
Maker = Callable[[Rng, int, int], bytes]


def pillow(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        # About the transparency of palettes, which is dropped as asked.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def assert_equal(data: bytes, note: object = "") -> None:
    expected, got = pillow(data), decode(data)
    assert got.dtype == np.uint8, note
    assert got.shape == expected.shape, note
    difference = np.abs(got.astype(int) - expected)
    assert (difference == 0).all(), (note, int(difference.max()), float((difference > 0).mean()))


def smooth(rng: Rng, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Noise of several scales: has edges, gradients and texture, as a photo has."""
    total = rng.normal(0, 12, (height, width, channels))
    for scale in (4, 16, 64):
        small = rng.integers(0, 256, (height // scale + 2, width // scale + 2, channels), np.uint8)
        for c in range(channels):
            up = Image.fromarray(small[..., c]).resize((width, height), Image.Resampling.BICUBIC)
            total[..., c] += np.asarray(up, float) / 3
    return np.clip(total, 0, 255).astype(np.uint8)


def image(rng: Rng, height: int, width: int, mode: str) -> Image.Image:
    if mode == "P":
        return Image.fromarray(smooth(rng, height, width)).quantize(int(rng.integers(2, 257)))
    if mode == "1":
        return Image.fromarray(rng.integers(0, 256, (height, width), np.uint8)).convert("1")
    if mode.startswith("I;16"):
        # Mostly small values: Pillow clips grey of 16 bits.
        wide = rng.integers(0, 600, (height, width)).astype(np.uint16)
        wide[rng.random((height, width)) < 0.2] = 40000
        return Image.fromarray(wide.astype(">u2" if mode == "I;16B" else "<u2"))
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (width, height), smooth(rng, height, width, channels).tobytes())


def saved(kind: str, mode: str, **options: Any) -> Maker:
    def make(rng: Rng, height: int, width: int) -> bytes:
        out = io.BytesIO()
        image(rng, height, width, mode).save(out, kind, **options)
        return out.getvalue()

    return make


def raw_png(color: int, bits: int, *, trns: bool = False, interlaced: bool = False) -> Maker:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]

    def make(rng: Rng, height: int, width: int) -> bytes:
        top = 600 if (color, bits) == (0, 16) else 1 << bits
        samples = rng.integers(0, top, (height, width, channels))
        palette = rng.bytes(3 << bits) if color == 3 else b""
        transparency = b""
        if trns:
            transparency = rng.bytes({0: 2, 2: 6, 3: 1 << bits}[color])
        return png(
            samples, color, bits, interlaced=interlaced, palette=palette, transparency=transparency
        )

    return make


def png_cases() -> Iterator[tuple[str, Maker]]:
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    for color, all_bits in depths.items():
        for bits in all_bits:
            for interlaced in (False, True):
                name = f"color{color}-{bits}bit{'-adam7' * interlaced}"
                yield name, raw_png(color, bits, interlaced=interlaced)
                if color in (0, 2, 3):
                    yield f"{name}-trns", raw_png(color, bits, trns=True, interlaced=interlaced)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield f"saved-{mode}", saved("PNG", mode)

    def short_palette(rng: Rng, height: int, width: int) -> bytes:
        samples = rng.integers(0, 256, (height, width, 1))
        return png(samples, 3, 8, palette=rng.bytes(3 * 7))

    yield "indices beyond the palette", short_palette

    def animated(rng: Rng, height: int, width: int) -> bytes:
        frames = [image(rng, height, width, "RGBA") for _ in range(3)]
        out = io.BytesIO()
        default = bool(rng.integers(2))
        frames[0].save(out, "PNG", save_all=True, append_images=frames[1:], default_image=default)
        return out.getvalue()

    yield "animated", animated


def gif_frame(rng: Rng, height: int, width: int, *, local: bool, transparent: bool) -> bytes:
    """A GIF whose frame lies somewhere on, or sticks out of, its screen."""
    out = io.BytesIO()
    options = {"transparency": int(rng.integers(2))} if transparent else {}
    image(rng, height, width, "P").save(out, "GIF", **options)
    data = bytearray(out.getvalue())
    screen = rng.integers(1, 90, 2)
    data[6:10] = np.array(screen, "<u2").tobytes()
    data[11] = int(rng.integers(256))
    comma = data.index(b"," + bytes(4), 13 + (3 << (data[10] & 7) + 1))
    data[comma + 1 : comma + 5] = rng.integers(0, 40, 2).astype("<u2").tobytes()
    if local:
        bits = data[10] & 7
        size = 3 << bits + 1
        table = rng.bytes(size)
        data[comma + 9] |= 0x80 | bits
        data[comma + 10 : comma + 10] = table
    return bytes(data)


def gif_cases() -> Iterator[tuple[str, Maker]]:
    for mode in ("1", "L", "P", "RGB"):
        for interlace in (0, 1):
            yield f"{mode}-interlace{interlace}", saved("GIF", mode, interlace=interlace)
    for local in (False, True):
        for transparent in (False, True):

            def offset(
                rng: Rng, h: int, w: int, local: bool = local, transparent: bool = transparent
            ) -> bytes:
                return gif_frame(rng, h, w, local=local, transparent=transparent)

            yield f"offset-local{local:d}-transparent{transparent:d}", offset

    def animated(rng: Rng, height: int, width: int) -> bytes:
        frames = [image(rng, height, width, "P") for _ in range(3)]
        out = io.BytesIO()
        frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], disposal=2)
        return out.getvalue()

    yield "animated", animated


def bmp_raw(bits: int, **options: Any) -> Maker:
    def make(rng: Rng, height: int, width: int) -> bytes:
        rows = [rng.bytes((width * bits + 7) // 8) for _ in range(height)]
        entry = 3 if options.get("header_size") == 12 else 4
        palette = rng.bytes(entry << bits) if bits <= 8 else b""
        top_down = options.get("header_size") != 12 and bool(rng.integers(2))
        return bmp(rows, width, -height if top_down else height, bits, palette=palette, **options)

    return make


def bmp_runs(bits: int) -> Maker:
    def make(rng: Rng, height: int, width: int) -> bytes:
        data = b""
        for y in range(height):
            x = 0
            if 0 < y < height - 1 and rng.random() < 0.2 and width < 256:
                data += bytes([0, 2, 0, 1])
                continue
            while x < width:
                n = int(min(width - x, rng.integers(1, 30)))
                if n > 2 and rng.random() < 0.5:
                    size = n if bits == 8 else (n + 1) // 2
                    data += bytes([0, n]) + rng.bytes(size) + bytes(size % 2)
                else:
                    data += bytes([n]) + rng.bytes(1)
                x += n
            data += bytes([0, 0])
        data += bytes([0, 1])
        compression = {8: 1, 4: 2}[bits]
        palette = rng.bytes(4 << bits)
        return bmp(data, width, height, bits, compression=compression, palette=palette)

    return make


def bmp_cases() -> Iterator[tuple[str, Maker]]:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"saved-{mode}", saved("BMP", mode)
    for bits in (1, 4, 8, 16, 24, 32):
        yield f"{bits}bit", bmp_raw(bits)
    for bits in (1, 4, 8, 24):
        yield f"{bits}bit-os2", bmp_raw(bits, header_size=12)
    for bits in (4, 8):
        yield f"rle{bits}", bmp_runs(bits)
    fields = {
        16: [(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)],
        24: [(0xFF0000, 0xFF00, 0xFF)],
        32: [
            (0xFF0000, 0xFF00, 0xFF, 0x0),
            (0xFF000000, 0xFF0000, 0xFF00, 0x0),
            (0xFF000000, 0xFF00, 0xFF, 0x0),
            (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
            (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
            (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
            (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        ],
    }
    for bits, layouts in fields.items():
        for masks in layouts:
            name = f"{bits}bit-" + "-".join(f"{mask:x}" for mask in masks)
            size = 56 if len(masks) == 4 else 40
            yield name, bmp_raw(bits, compression=3, masks=masks, header_size=size)


def raw_tiff(photometric: int, bits: int, channels: int = 1, **options: Any) -> Maker:
    def make(rng: Rng, height: int, width: int) -> bytes:
        top = 600 if bits == 16 and channels == 1 else 1 << bits
        samples = rng.integers(0, top, (height, width, channels))
        if photometric == 3:
            options["colors"] = rng.integers(0, 65536, (1 << bits, 3))
        return tiff(samples, photometric, bits, **options)

    return make


def tiff_cases() -> Iterator[tuple[str, Maker]]:
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I;16B"):
            yield f"saved-{mode}-{compression}", saved("TIFF", mode, compression=compression)
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        for mode in ("L", "RGB", "RGBA", "I;16"):
            options = {"compression": compression, "tiffinfo": {317: 2}}
            yield f"saved-{mode}-{compression}-predictor", saved("TIFF", mode, **options)
    layouts: dict[str, dict[str, Any]] = {
        "strip": {},
        "strips": {"rows_per_strip": 5},
        "tiles": {"tile": (16, 32)},
        "deflate-tiles": {"tile": (16, 32), "deflate": True},
        "deflate-strips": {"rows_per_strip": 3, "deflate": True},
    }
    modes: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
        "white1": ((0, 1, 1), {}),
        "white2": ((0, 2, 1), {}),
        "white4": ((0, 4, 1), {}),
        "white8": ((0, 8, 1), {}),
        "black1": ((1, 1, 1), {}),
        "black2": ((1, 2, 1), {}),
        "black4": ((1, 4, 1), {}),
        "black8": ((1, 8, 1), {}),
        "black16": ((1, 16, 1), {}),
        "grey-alpha": ((1, 8, 2), {"extra": (2,)}),
        "palette1": ((3, 1, 1), {}),
        "palette2": ((3, 2, 1), {}),
        "palette4": ((3, 4, 1), {}),
        "palette8": ((3, 8, 1), {}),
        "rgb8": ((2, 8, 3), {}),
        "rgb16": ((2, 16, 3), {}),
        "rgbx8": ((2, 8, 4), {"extra": (0,)}),
        "rgba8": ((2, 8, 4), {"extra": (2,)}),
        "rgba16": ((2, 16, 4), {"extra": (2,)}),
        "premultiplied8": ((2, 8, 4), {"extra": (1,)}),
        "premultiplied16": ((2, 16, 4), {"extra": (1,)}),
        "cmyk8": ((5, 8, 4), {}),
        "cmyk16": ((5, 16, 4), {}),
    }
    for name, (mode, extra) in modes.items():
        for layout, options in layouts.items():
            if layout == "tiles" and mode[1] < 8:
                continue  # Pillow reads uncompressed tiles of part bytes wrongly
            for order in "<>":
                make = raw_tiff(*mode, **extra, **options, order=order)
                yield f"{name}-{layout}{order}", make
    for layout, options in layouts.items():
        yield f"rgb8-planar-{layout}", raw_tiff(2, 8, 3, planar=True, **options)
    for bits in (1, 8):
        yield f"fill-order-{bits}", raw_tiff(1, bits, fill_order=2)
    for orientation in range(1, 9):
        yield f"orientation{orientation}", raw_tiff(2, 8, 3, orientation=orientation)


def webp_cases() -> Iterator[tuple[str, Maker]]:
    for mode in ("L", "RGB", "RGBA"):
        yield f"lossless-{mode}", saved("WEBP", mode, lossless=True)
        yield f"exact-{mode}", saved("WEBP", mode, lossless=True, exact=True)
        for quality in (1, 50, 80, 95, 100):
            yield f"lossy-{mode}-{quality}", saved("WEBP", mode, quality=quality)

    def animated(rng: Rng, height: int, width: int, lossless: bool = True) -> bytes:
        frames = [image(rng, height, width, "RGB") for _ in range(3)]
        out = io.BytesIO()
        frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=lossless)
        return out.getvalue()

    yield "animated-lossless", animated
    yield "animated-lossy", lambda rng, h, w: animated(rng, h, w, False)


CASES = {
    f"{kind}-{name}": make
    for kind, cases in {
        "png": png_cases,
        "gif": gif_cases,
        "bmp": bmp_cases,
        "tiff": tiff_cases,
        "webp": webp_cases,
    }.items()
    for name, make in cases()
}


@pytest.mark.parametrize("name", CASES)
def test_equals_pillow(name: str) -> None:
    rng = np.random.default_rng(len(name) * 1000 + sum(map(ord, name)))
    for size in SIZES:
        assert_equal(CASES[name](rng, *size), (name, size))


def test_there_are_cases_of_every_format() -> None:
    formats = {name.split("-")[0] for name in CASES}
    assert formats == {"png", "gif", "bmp", "tiff", "webp"}
    assert len(CASES) > 250


def test_photos_equal_pillow() -> None:
    # No thumbnail has the edges and blocks of a real photo.
    photos = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()]
    for photo in photos:
        for kind, options in [
            ("WEBP", {"quality": 75}),
            ("WEBP", {"lossless": True}),
            ("PNG", {}),
            ("TIFF", {"compression": "tiff_lzw"}),
            ("JPEG", {"quality": 90}),
            ("JPEG", {"quality": 75, "progressive": True}),
            ("GIF", {}),
        ]:
            out = io.BytesIO()
            Image.fromarray(photo).save(out, kind, **options)
            assert_equal(out.getvalue(), (kind, options))
