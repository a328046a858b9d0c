"""Image files for the tests of the decoders.

Pillow writes most of them, of pictures made here. The others are put together byte by byte: Pillow
reads them but cannot write them.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

Rng = np.random.Generator


def smooth(rng: Rng, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Noise of several scales, (height, width, channels): edges, gradients and texture."""
    total = rng.normal(0, 12, (height, width, channels))
    for scale in (4, 16, 64):
        small = rng.integers(0, 256, (height // scale + 2, width // scale + 2, channels), np.uint8)
        for c in range(channels):
            up = Image.fromarray(small[..., c]).resize((width, height), Image.Resampling.BICUBIC)
            total[..., c] += np.asarray(up, float) / 3
    return np.clip(total, 0, 255).astype(np.uint8)


def picture(rng: Rng, height: int, width: int, mode: str) -> Image.Image:
    """A picture in any of Pillow's modes."""
    if mode == "P":
        return Image.fromarray(smooth(rng, height, width)).quantize(int(rng.integers(2, 257)))
    if mode == "1":
        return Image.fromarray(rng.integers(0, 256, (height, width), np.uint8)).convert("1")
    if mode.startswith("I;16"):
        # Mostly small values: Pillow clips 16-bit grey to 255.
        wide = rng.integers(0, 600, (height, width)).astype(np.uint16)
        wide[rng.random((height, width)) < 0.2] = 40000
        return Image.fromarray(wide.astype(">u2" if mode == "I;16B" else "<u2"))
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (width, height), smooth(rng, height, width, channels).tobytes())


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file that Pillow writes of ``image``."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg_size_at(data: bytes) -> int:
    """Where the height stands in a JPEG's frame header; the width follows, two bytes each."""
    return next(data.index(m) for m in (b"\xff\xc0", b"\xff\xc2") if m in data) + 5


def gif_frame_at(data: bytes) -> int:
    """Where the descriptor of a GIF's first frame begins."""
    return data.index(b"," + bytes(4), 13 + (3 << (data[10] & 7) + 1))


def packed(samples: np.ndarray, bits: int, order: str) -> list[bytes]:
    """The rows of (height, width, channels) samples, of ``bits`` bits each."""
    flat = samples.reshape(len(samples), -1)
    if bits == 16:
        rows = flat.astype(order + "u2").view("u1")
    elif bits == 8:
        rows = flat.astype("u1")
    else:
        single = np.unpackbits(flat.astype("u1")[..., None], axis=-1)[..., 8 - bits :]
        rows = np.packbits(single.reshape(len(samples), -1), axis=-1)
    return [row.tobytes() for row in rows]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    samples: np.ndarray,
    color: int,
    bits: int,
    *,
    interlaced: bool = False,
    palette: bytes = b"",
    transparency: bytes = b"",
) -> bytes:
    """A PNG of ``samples``, (height, width, channels) of ``bits`` bits."""
    height, width, _ = samples.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)]
        passes += [(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in passes]
    # Each row begins with its filter: none.
    rows = [b"\0" + row for part in parts if part.size for row in packed(part, bits, ">")]
    out = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, int(interlaced))
    out += png_chunk(b"IHDR", header)
    if palette:
        out += png_chunk(b"PLTE", palette)
    if transparency:
        out += png_chunk(b"tRNS", transparency)
    return out + png_chunk(b"IDAT", zlib.compress(b"".join(rows))) + png_chunk(b"IEND", b"")


def bmp(
    rows: list[bytes],
    width: int,
    height: int,
    bits: int,
    *,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    palette: bytes = b"",
    header_size: int = 40,
) -> bytes:
    """A BMP of rows of bytes, which are padded here; a negative height is top-down."""
    data = b"".join(r + bytes(-len(r) % 4) for r in rows)
    if header_size == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        colors = len(palette) // 4
        fields = (header_size, width, height, 1, bits, compression, len(data), 0, 0, colors, 0)
        info = struct.pack("<IiiHHIIIIII", *fields)
    info += b"".join(struct.pack("<I", mask) for mask in masks)
    info += bytes(max(0, header_size - len(info)))
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + palette + data


def tiff(
    samples: np.ndarray,
    photometric: int,
    bits: int,
    *,
    order: str = "<",
    tile: tuple[int, int] | None = None,
    rows_per_strip: int | None = None,
    planar: bool = False,
    deflate: bool = False,
    tags: dict[int, int] | None = None,
) -> bytes:
    """A TIFF of ``samples``, (height, width, channels) of ``bits`` bits.

    ``tags`` are added, or replace those that follow from the other arguments.
    """
    height, width, channels = samples.shape
    step = rows_per_strip or height
    chunks = []
    for plane in np.split(samples, channels, axis=2) if planar else [samples]:
        strips = [plane[y : y + step] for y in range(0, height, step)]
        parts = tiles(plane, *tile) if tile else strips
        chunks += [b"".join(packed(part, bits, order)) for part in parts]
    if deflate:
        chunks = [zlib.compress(chunk) for chunk in chunks]
    sizes = [len(chunk) for chunk in chunks]
    offsets = [8 + sum(sizes[:number]) for number in range(len(sizes))]
    entries = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * channels),
        259: ("H", [8 if deflate else 1]),
        262: ("H", [photometric]),
        277: ("H", [channels]),
        284: ("H", [2 if planar else 1]),
    }
    if tile:
        entries |= {322: ("I", [tile[1]]), 323: ("I", [tile[0]])}
        entries |= {324: ("I", offsets), 325: ("I", sizes)}
    else:
        entries |= {273: ("I", offsets), 278: ("I", [step]), 279: ("I", sizes)}
    entries |= {tag: ("H", [value]) for tag, value in (tags or {}).items()}
    body = b"".join(chunks)
    start = 8 + len(body)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    return head + body + tiff_directory(entries, start, order)


def tiles(plane: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """The tiles of a plane, row by row; those at the edges are filled with zeros."""
    rows, columns, _ = plane.shape
    filled = np.pad(plane, ((0, -rows % height), (0, -columns % width), (0, 0)))
    return [
        filled[y : y + height, x : x + width]
        for y in range(0, rows, height)
        for x in range(0, columns, width)
    ]


def tiff_directory(entries: dict[int, tuple[str, list[int]]], start: int, order: str) -> bytes:
    """A TIFF's directory at ``start``: of each tag its values and their type, "H" or "I"."""
    table = later = b""
    later_at = start + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        content = struct.pack(f"{order}{len(values)}{kind}", *values)
        table += struct.pack(f"{order}HHI", tag, 3 if kind == "H" else 4, len(values))
        if len(content) <= 4:
            table += content.ljust(4, b"\0")
        else:
            table += struct.pack(f"{order}I", later_at + len(later))
            later += content
    return struct.pack(f"{order}H", len(entries)) + table + bytes(4) + later


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Chunks of a RIFF file, (name, content) each."""
    out = b""
    for name, body in chunks:
        out += name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return out


def animated_webp(
    size: tuple[int, int],
    frames: list[tuple[bytes, tuple[int, int], int]],
    *,
    alpha: bool = True,
    background: bytes = bytes(4),
) -> bytes:
    """An animation on a canvas of ``size``, (height, width).

    A frame is the file of a WebP image, the place of its upper left corner (y, x; even numbers) and
    its flags: 1 to dispose of it, 2 not to blend it.
    """

    def u24(value: int) -> bytes:
        return value.to_bytes(3, "little")

    flags = bytes([2 | 16 * alpha, 0, 0, 0])
    chunks = [(b"VP8X", flags + u24(size[1] - 1) + u24(size[0] - 1))]
    chunks.append((b"ANIM", background + bytes(2)))
    for file, (y, x), frame_flags in frames:
        at, bitstream = 12, b""
        width = height = 0
        while at < len(file):
            end = at + 8 + int.from_bytes(file[at + 4 : at + 8], "little")
            end += end % 2
            name, body = file[at : at + 4], file[at + 8 : end]
            if name == b"VP8 ":
                width, height = (n & 0x3FFF for n in struct.unpack("<HH", body[6:10]))
            elif name == b"VP8L":
                bits = int.from_bytes(body[1:5], "little")
                width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
            if name in (b"ALPH", b"VP8 ", b"VP8L"):
                bitstream += file[at:end]
            at = end
        head = u24(x // 2) + u24(y // 2) + u24(width - 1) + u24(height - 1) + u24(100)
        chunks.append((b"ANMF", head + bytes([frame_flags]) + bitstream))
    body = b"WEBP" + riff(*chunks)
    return riff((b"RIFF", body))
