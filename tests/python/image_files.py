"""Writers of image files that Pillow reads but cannot write, for the tests of the decoders."""

from __future__ import annotations

import struct
import zlib

import numpy as np


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

    def rows(part: np.ndarray) -> bytes:
        if part.size == 0:
            return b""
        flat = part.reshape(len(part), -1)
        if bits == 16:
            packed = flat.astype(">u2").view("u1")
        elif bits == 8:
            packed = flat.astype("u1")
        else:
            single = np.unpackbits(flat.astype("u1")[..., None], axis=-1)[..., 8 - bits :]
            packed = np.packbits(single.reshape(len(part), -1), axis=-1)
        return b"".join(b"\0" + row.tobytes() for row in packed)

    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)]
        passes += [(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data = b"".join(rows(samples[y::dy, x::dx]) for x, y, dx, dy in passes)
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header)]
    if palette:
        chunks.append((b"PLTE", palette))
    if transparency:
        chunks.append((b"tRNS", transparency))
    chunks += [(b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        out += struct.pack(">I", len(body)) + kind + body
        out += struct.pack(">I", zlib.crc32(kind + body))
    return out


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
    """A BMP of ready rows (padded here); a negative height is top-down."""
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
    """A TIFF of ``samples``, (height, width, channels) of ``bits`` bits; ``tags`` go over ours."""
    height, width, channels = samples.shape

    def pack(part: np.ndarray) -> bytes:
        flat = part.reshape(len(part), -1)
        if bits == 16:
            data = flat.astype(order + "u2").tobytes()
        elif bits == 8:
            data = flat.astype("u1").tobytes()
        else:
            single = np.unpackbits(flat.astype("u1")[..., None], axis=-1)[..., 8 - bits :]
            data = np.packbits(single.reshape(len(part), -1), axis=-1).tobytes()
        return zlib.compress(data) if deflate else data

    planes = [samples[..., c : c + 1] for c in range(channels)] if planar else [samples]
    chunks = []
    for plane in planes:
        if tile:
            h, w = tile
            padded = np.pad(plane, ((0, -height % h), (0, -width % w), (0, 0)))
            tops, lefts = range(0, height, h), range(0, width, w)
            chunks += [pack(padded[y : y + h, x : x + w]) for y in tops for x in lefts]
        else:
            step = rows_per_strip or height
            chunks += [pack(plane[y : y + step]) for y in range(0, height, step)]
    offsets, at = [], 8
    for chunk in chunks:
        offsets.append(at)
        at += len(chunk)
    sizes = [len(chunk) for chunk in chunks]
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
        entries |= {273: ("I", offsets), 278: ("I", [rows_per_strip or height]), 279: ("I", sizes)}
    entries |= {tag: ("H", [value]) for tag, value in (tags or {}).items()}
    body = b"".join(chunks)
    start = 8 + len(body)
    later = directory = b""
    values_at = start + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{kind}", *values)
        directory += struct.pack(f"{order}HHI", tag, 3 if kind == "H" else 4, len(values))
        if len(packed) <= 4:
            directory += packed.ljust(4, b"\0")
        else:
            directory += struct.pack(f"{order}I", values_at + len(later))
            later += packed
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    count = struct.pack(f"{order}H", len(entries))
    return head + body + count + directory + bytes(4) + later


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

    A frame is a WebP file of one image, where its upper left corner lies (y, x; even numbers), and
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
