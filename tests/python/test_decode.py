"""``decode`` equals ``PIL.Image.open(...).convert("RGB")``, whole arrays, ``== 0``."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import skimage.data
from image_files import animated_webp, bmp, png, tiff
from PIL import Image

from tied_augment import DecodeError, decode

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

    def cut_palette(rng: Rng, height: int, width: int) -> bytes:
        bits = int(rng.choice((1, 2, 4, 8)))
        samples = rng.integers(0, 1 << bits, (height, width, 1))
        colors = int(rng.integers(1, (1 << bits) + (bits < 8)))
        return png(samples, 3, bits, palette=rng.bytes(3 * colors + int(rng.integers(1, 3))))

    yield "a palette whose last colour is cut", cut_palette

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


def bmp_cases() -> Iterator[tuple[str, Maker]]:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"saved-{mode}", saved("BMP", mode)
    for bits in (1, 4, 8, 24, 32):
        yield f"{bits}bit", bmp_raw(bits)
    for bits in (1, 4, 8, 24):
        yield f"{bits}bit-os2", bmp_raw(bits, header_size=12)
    for masks in (
        (0xFF0000, 0xFF00, 0xFF),
        (0xFF000000, 0xFF0000, 0xFF00),
        (0xFF000000, 0xFF00, 0xFF),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
    ):
        name = "32bit-" + "-".join(f"{mask:x}" for mask in masks)
        size = 56 if len(masks) == 4 else 40
        yield name, bmp_raw(32, compression=3, masks=masks, header_size=size)


def raw_tiff(photometric: int, bits: int, channels: int, **options: Any) -> Maker:
    def make(rng: Rng, height: int, width: int) -> bytes:
        top = 600 if bits == 16 and channels == 1 else 1 << bits
        samples = rng.integers(0, top, (height, width, channels))
        return tiff(samples, photometric, bits, **options)

    return make


def tiff_cases() -> Iterator[tuple[str, Maker]]:
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
        for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16", "I;16B"):
            yield f"saved-{mode}-{compression}", saved("TIFF", mode, compression=compression)
        yield f"big-{compression}", saved("TIFF", "RGB", compression=compression, big_tiff=True)
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        for mode in ("L", "LA", "RGB", "RGBA", "CMYK", "I;16"):
            options = {"compression": compression, "tiffinfo": {317: 2}}
            yield f"saved-{mode}-{compression}-predictor", saved("TIFF", mode, **options)
    layouts: dict[str, dict[str, Any]] = {
        "strip": {},
        "strips": {"rows_per_strip": 5},
        "tiles": {"tile": (16, 32)},
        "deflate-tiles": {"tile": (16, 32), "deflate": True},
        "deflate-strips": {"rows_per_strip": 3, "deflate": True},
    }
    modes: dict[str, tuple[int, int, int, dict[int, int]]] = {
        "white1": (0, 1, 1, {}),
        "white2": (0, 2, 1, {}),
        "white4": (0, 4, 1, {}),
        "white8": (0, 8, 1, {}),
        "black1": (1, 1, 1, {}),
        "black2": (1, 2, 1, {}),
        "black4": (1, 4, 1, {}),
        "black8": (1, 8, 1, {}),
        "black16": (1, 16, 1, {}),
        "grey-alpha": (1, 8, 2, {338: 2}),
        "grey-extra": (1, 8, 2, {338: 0}),
        "rgb8": (2, 8, 3, {}),
        "rgb16": (2, 16, 3, {}),
        "rgba8": (2, 8, 4, {338: 2}),
        "rgba16": (2, 16, 4, {338: 2}),
        "rgb-and-one-more": (2, 8, 4, {}),
        "cmyk8": (5, 8, 4, {}),
        "cmyk16": (5, 16, 4, {}),
    }
    for name, (*mode, tags) in modes.items():
        for layout, options in layouts.items():
            for order in "<>":
                make = raw_tiff(*mode, tags=tags, order=order, **options)
                yield f"{name}-{layout}{order}", make
    for layout in ("strip", "strips", "deflate-strips"):
        yield f"planar-{layout}", raw_tiff(2, 8, 3, planar=True, **layouts[layout])
    for orientation in range(10):
        yield f"orientation{orientation}", raw_tiff(2, 8, 3, tags={274: orientation})


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
    for lossless in (True, False):
        for mode in ("RGB", "RGBA"):
            yield f"frames-{mode}{'-lossless' * lossless}", webp_frames(mode, lossless)


def webp_frames(mode: str, lossless: bool) -> Maker:
    """Of one to three frames anywhere on the canvas, blended or not, disposed of or not."""

    def make(rng: Rng, height: int, width: int) -> bytes:
        frames = []
        for _ in range(int(rng.integers(1, 4))):
            h, w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
            if rng.random() < 0.3:
                h, w = height, width
            out = io.BytesIO()
            picture = image(rng, h, w, mode)
            if mode == "RGBA":
                # As many transparent and opaque pixels as others.
                alpha = np.asarray(picture)[..., 3].astype(int) * 3 - 255
                picture.putalpha(Image.fromarray(alpha.clip(0, 255).astype(np.uint8)))
            picture.save(out, "WEBP", lossless=lossless, exact=bool(rng.integers(2)))
            y, x = (2 * int(rng.integers(room // 2 + 1)) for room in (height - h, width - w))
            frames.append((out.getvalue(), (y, x), int(rng.integers(4))))
        flagged = mode == "RGBA" or bool(rng.integers(2))
        return animated_webp((height, width), frames, alpha=flagged, background=rng.bytes(4))

    return make


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


def plain(photometric: int, bits: int, channels: int, **options: Any) -> bytes:
    return tiff(np.zeros((4, 4, channels), int), photometric, bits, **options)


def grey_palette(colors: int) -> bytes:
    return b"".join(bytes([grey, grey, grey, 0]) for grey in range(colors))


# What the libraries do not read, or not as Pillow does.
REFUSED = {
    "bmp-16bit": (bmp([bytes(2)], 1, 1, 16), "16 bits per pixel with compression 0"),
    "bmp-16bit-fields": (
        bmp([bytes(2)], 1, 1, 16, compression=3, masks=(0xF800, 0x7E0, 0x1F)),
        "16 bits per pixel with compression 3",
    ),
    "bmp-24bit-fields": (
        bmp([bytes(3)], 1, 1, 24, compression=3, masks=(0xFF0000, 0xFF00, 0xFF)),
        "bitfields: 24",
    ),
    "bmp-rle8": (bmp([], 1, 1, 8, compression=1, palette=bytes(1024)), "compression 1"),
    "bmp-rle4": (bmp([], 1, 1, 4, compression=2, palette=bytes(64)), "compression 2"),
    "bmp-os2-v2": (bmp([bytes(3)], 1, 1, 24, header_size=64), "size=64"),
    "bmp-greys-8": (bmp([bytes(4)], 1, 1, 8, palette=grey_palette(7)), "palette of 7 greys"),
    "bmp-greys-4": (bmp([bytes(4)], 1, 1, 4, palette=grey_palette(16)), "palette of 16 greys"),
    "bmp-black-and-white-8": (
        bmp([bytes(4)], 1, 1, 8, palette=bytes(4) + b"\xff\xff\xff\0"),
        "palette of 2 greys",
    ),
    "bmp-start": (
        bmp([bytes(8)], 1, 1, 8)[:10] + bytes(4) + bmp([bytes(2000)], 1, 1, 8)[14:],
        "where the pixels begin",
    ),
    "tiff-palette": (plain(3, 8, 1), "palette is unsupported; convert it to PNG"),
    "tiff-premultiplied": (plain(2, 8, 4, tags={338: 1}), "premultiplied alpha"),
    "tiff-premultiplied-grey": (plain(1, 8, 2, tags={338: 1}), "premultiplied alpha"),
    "tiff-rgbx": (plain(2, 8, 4, tags={338: 0}), "samples beyond colour and alpha"),
    "tiff-cmyk-alpha": (plain(5, 8, 5, tags={338: 2}), "CMYKA"),
    "tiff-fill-order": (plain(1, 8, 1, tags={266: 2}), "reversed order of bits"),
    "tiff-white16": (plain(0, 16, 1), "inverted grey of 16 bits"),
    "tiff-predictor": (plain(2, 8, 3, tags={317: 2}), "a predictor without"),
    "tiff-planar-tiles": (plain(2, 8, 3, planar=True, tile=(16, 16)), "planes"),
    "tiff-planar16": (plain(2, 16, 3, planar=True), "planes"),
    "tiff-planar-alpha": (plain(2, 8, 4, planar=True), "planes"),
    "tiff-planar-cmyk": (plain(5, 8, 4, planar=True), "planes"),
    "tiff-signed": (plain(1, 8, 1, tags={339: 2}), "signed or floating"),
    "tiff-12bit": (plain(1, 16, 1, tags={258: 12}), "Gray.12."),
    "tiff-ycbcr": (plain(6, 8, 3), "YCbCr"),
    "tiff-jpeg": (plain(1, 8, 1, tags={259: 7}), "ompression.*convert it to PNG"),
    "tiff-fax4": (plain(1, 1, 1, tags={259: 4}), "ompression.*convert it to PNG"),
    "tiff-xmp": (
        plain(2, 8, 3) + b'<rdf:Description tiff:Orientation="6"/>',
        "orientation that stands in XMP only",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(DecodeError, match=message):
        decode(data)


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
