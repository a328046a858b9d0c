"""Image files of every format but JPEG, in each layout that is decoded as Pillow does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from image_files import Rng, animated_webp, bmp, encoded, gif_frame_at, picture, png, tiff
from PIL import Image

SIZES = [(1, 1), (1, 7), (9, 1), (3, 2), (17, 33), (31, 16), (64, 45), (101, 77)]
Maker = Callable[[Rng, int, int], bytes]


def saved(kind: str, mode: str, **options: Any) -> Maker:
    return lambda rng, h, w: encoded(picture(rng, h, w, mode), kind, **options)


def animated(kind: str, mode: str, **options: Any) -> Maker:
    """Three pictures in one file; an option that is a function is drawn for each file."""

    def make(rng: Rng, height: int, width: int) -> bytes:
        first, *rest = (picture(rng, height, width, mode) for _ in range(3))
        drawn = {name: value(rng) if callable(value) else value for name, value in options.items()}
        return encoded(first, kind, save_all=True, append_images=rest, **drawn)

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

    yield "animated", animated("PNG", "RGBA", default_image=lambda rng: bool(rng.integers(2)))


def gif_frame(rng: Rng, height: int, width: int, *, local: bool, transparent: bool) -> bytes:
    """A GIF whose frame lies anywhere: also partly, or wholly, outside its screen."""
    options = {"transparency": int(rng.integers(2))} if transparent else {}
    data = bytearray(encoded(picture(rng, height, width, "P"), "GIF", **options))
    screen = rng.integers(1, 90, 2)
    data[6:10] = np.array(screen, "<u2").tobytes()
    data[11] = int(rng.integers(256))
    frame = gif_frame_at(data)
    data[frame + 1 : frame + 5] = rng.integers(0, 40, 2).astype("<u2").tobytes()
    if local:
        bits = data[10] & 7
        data[frame + 9] |= 0x80 | bits
        data[frame + 10 : frame + 10] = rng.bytes(3 << bits + 1)
    return bytes(data)


def gif_cases() -> Iterator[tuple[str, Maker]]:
    for mode in ("1", "L", "P", "RGB"):
        for interlace in (0, 1):
            yield f"{mode}-interlace{interlace}", saved("GIF", mode, interlace=interlace)
    for local in (False, True):
        for transparent in (False, True):
            name = f"offset-local{local:d}-transparent{transparent:d}"
            yield name, partial(gif_frame, local=local, transparent=transparent)
    yield "animated", animated("GIF", "P", disposal=2)


def raw_bmp(bits: int, **options: Any) -> Maker:
    def make(rng: Rng, height: int, width: int) -> bytes:
        rows = [rng.bytes((width * bits + 7) // 8) for _ in range(height)]
        entry = 3 if options.get("header_size") == 12 else 4
        colors = options.get("colors", 1 << bits)
        palette = rng.bytes(entry * colors) if bits <= 8 else b""
        top_down = options.get("header_size") != 12 and bool(rng.integers(2))
        rest = {name: value for name, value in options.items() if name != "colors"}
        return bmp(rows, width, -height if top_down else height, bits, palette=palette, **rest)

    return make


def bmp_cases() -> Iterator[tuple[str, Maker]]:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"saved-{mode}", saved("BMP", mode)
    for bits in (1, 4, 8, 16, 24, 32):
        yield f"{bits}bit", raw_bmp(bits)
    for size in (52, 56, 64, 108, 124):
        for bits in (8, 24):
            yield f"{bits}bit-header{size}", raw_bmp(bits, header_size=size)
    for bits, colors in ((4, 5), (4, 200), (8, 100)):
        yield f"{bits}bit-colors{colors}", raw_bmp(bits, colors=colors)
    for bits in (1, 4, 8, 16, 24):
        yield f"{bits}bit-os2", raw_bmp(bits, header_size=12)
    for bits, masks in (
        (16, (0xF800, 0x7E0, 0x1F)),
        (16, (0x7C00, 0x3E0, 0x1F)),
        (24, (0xFF0000, 0xFF00, 0xFF)),
    ):
        name = f"{bits}bit-" + "-".join(f"{mask:x}" for mask in masks)
        yield name, raw_bmp(bits, compression=3, masks=masks)
    for masks in (
        (0, 0, 0, 0),
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
        yield name, raw_bmp(32, compression=3, masks=masks, header_size=size)


def raw_tiff(photometric: int, bits: int, channels: int, **options: Any) -> Maker:
    def make(rng: Rng, height: int, width: int) -> bytes:
        top = 600 if bits == 16 and channels == 1 else 1 << bits
        samples = rng.integers(0, top, (height, width, channels))
        return tiff(samples, photometric, bits, **options)

    return make


# Photometric interpretation, bits, channels and tags.
TIFF_MODES: dict[str, tuple[int, int, int, dict[int, int]]] = {
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
TIFF_LAYOUTS: dict[str, dict[str, Any]] = {
    "strip": {},
    "strips": {"rows_per_strip": 5},
    "tiles": {"tile": (16, 32)},
    "deflate-tiles": {"tile": (16, 32), "deflate": True},
    "deflate-strips": {"rows_per_strip": 3, "deflate": True},
}


def tiff_cases() -> Iterator[tuple[str, Maker]]:
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
        for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16", "I;16B"):
            yield f"saved-{mode}-{compression}", saved("TIFF", mode, compression=compression)
        yield f"big-{compression}", saved("TIFF", "RGB", compression=compression, big_tiff=True)
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        for mode in ("L", "LA", "RGB", "RGBA", "CMYK", "I;16"):
            options = {"compression": compression, "tiffinfo": {317: 2}}
            yield f"saved-{mode}-{compression}-predictor", saved("TIFF", mode, **options)
    for name, (*mode, tags) in TIFF_MODES.items():
        for layout, options in TIFF_LAYOUTS.items():
            for order in "<>":
                make = raw_tiff(*mode, tags=tags, order=order, **options)
                yield f"{name}-{layout}{order}", make
    for layout in ("strip", "strips", "deflate-strips"):
        yield f"planar-{layout}", raw_tiff(2, 8, 3, planar=True, **TIFF_LAYOUTS[layout])
    for orientation in range(10):
        yield f"orientation{orientation}", raw_tiff(2, 8, 3, tags={274: orientation})


def webp_cases() -> Iterator[tuple[str, Maker]]:
    for mode in ("L", "RGB", "RGBA"):
        yield f"lossless-{mode}", saved("WEBP", mode, lossless=True)
        yield f"exact-{mode}", saved("WEBP", mode, lossless=True, exact=True)
        for quality in (1, 50, 80, 95, 100):
            yield f"lossy-{mode}-{quality}", saved("WEBP", mode, quality=quality)

    yield "animated-lossless", animated("WEBP", "RGB", lossless=True)
    yield "animated-lossy", animated("WEBP", "RGB", lossless=False)
    for lossless in (True, False):
        for mode in ("RGB", "RGBA"):
            yield f"frames-{mode}{'-lossless' * lossless}", webp_frames(mode, lossless)


def webp_frames(mode: str, lossless: bool) -> Maker:
    """An animation of one to three frames anywhere on the canvas, with any flags."""

    def make(rng: Rng, height: int, width: int) -> bytes:
        frames = []
        for _ in range(int(rng.integers(1, 4))):
            h, w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
            if rng.random() < 0.3:
                h, w = height, width
            image = picture(rng, h, w, mode)
            if mode == "RGBA":
                # A third each: transparent, opaque and in between.
                alpha = np.asarray(image)[..., 3].astype(int) * 3 - 255
                image.putalpha(Image.fromarray(alpha.clip(0, 255).astype(np.uint8)))
            file = encoded(image, "WEBP", lossless=lossless, exact=bool(rng.integers(2)))
            y, x = (2 * int(rng.integers(room // 2 + 1)) for room in (height - h, width - w))
            frames.append((file, (y, x), int(rng.integers(4))))
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
