"""Contact sheets: originals with the crops drawn in, their views, and the plan of each view.

Lives here: the drawing, with Pillow, and `make_pair`, which gets what is drawn from a `TwoView`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tied_augment import Plan, TwoView

__all__ = ["Pair", "contact_sheet", "describe", "make_pair"]

_PAPER, _INK, _GRAY = "#ffffff", "#1f2328", "#6e7781"
# Distinguishable with colour blindness (Okabe and Ito).
_COLORS = ("#0072b2", "#d55e00")
_MARGIN, _GAP, _BORDER = 24, 12, 4
_TEXT, _TITLE, _LEADING = 14, 20, 19
# Smaller cells leave no room for a legible caption; larger ones make the sheet unwieldy.
_SMALLEST, _LARGEST = 144, 288
# Ops that `describe` has in its first two lines.
_SAID = ("crop", "resize", "hflip", "vflip")


@dataclass(frozen=True)
class Pair:
    """One row of a sheet.

    Attributes:
        original: ``(H, W, 3)`` uint8.
        views: ``(3, h, w)`` uint8 each.
        plans: those of the views.
        caption: lines to write under the original.
    """

    original: NDArray[np.uint8]
    views: Sequence[NDArray[np.uint8]]
    plans: Sequence[Plan]
    caption: Sequence[str]


def make_pair(
    two: TwoView,
    pixels: NDArray[np.uint8],
    caption: Sequence[str],
    index: int,
    epoch: int,
    seed: int,
) -> Pair:
    """Make the views of `pixels`, ``(H, W, 3)``, that training gets in this epoch."""
    height, width = pixels.shape[:2]
    plans = two.plan((height, width), index=index, epoch=epoch, seed=seed)
    return Pair(pixels, two(pixels, index=index, epoch=epoch, seed=seed), plans, caption)


def describe(plan: Plan) -> list[str]:
    """Describe a plan in words, one line per op."""
    x, y, width, height = plan["crop"]
    flips = ["hflip"] * plan["hflip"] + ["vflip"] * plan["vflip"]
    lines = [
        f"crop {width} x {height} at ({x}, {y})",
        ", ".join([plan["interpolation"] or "not resized", *(flips or ["no flip"])]),
    ]
    lines += [_operation(name, arguments) for name, arguments in plan["ops"] if name not in _SAID]
    return lines


def contact_sheet(pairs: Sequence[Pair], title: str, columns: int = 1) -> Image.Image:
    """Draw pairs: original, view 1, view 2.

    Args:
        pairs: at least one, all with views of one size.
        title: the sheet's headline.
        columns: the number of pairs in a row of the sheet.
    """
    cell = _Cell.of(pairs[0].views[0])
    text = [_captions(pair, cell.width) for pair in pairs]
    columns = min(columns, len(pairs))
    rows = [range(i, min(i + columns, len(pairs))) for i in range(0, len(pairs), columns)]
    # A row is as high as its longest caption.
    heights = [
        cell.height + _GAP + _LEADING * max(len(lines) for i in row for lines in text[i])
        for row in rows
    ]
    pair_width = 3 * cell.width + 2 * _GAP
    sheet = Image.new(
        "RGB",
        (
            2 * _MARGIN + columns * pair_width + (columns - 1) * 2 * _MARGIN,
            2 * _MARGIN + 2 * _TITLE + sum(heights) + (len(rows) - 1) * _MARGIN,
        ),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    room = sheet.width - 2 * _MARGIN
    draw.text((_MARGIN, _MARGIN), _shortened(title, _font(_TITLE), room), _INK, _font(_TITLE))
    top = _MARGIN + 2 * _TITLE
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            left = _MARGIN + column * (pair_width + 2 * _MARGIN)
            _draw_pair(sheet, (left, top), cell, pairs[i], text[i])
        top += height + _MARGIN
    return sheet


@dataclass(frozen=True)
class _Cell:
    """The size of one picture's cell, with its border, and the scale of the views in it."""

    width: int
    height: int
    scale: float

    @classmethod
    def of(cls, view: NDArray[np.uint8]) -> _Cell:
        height, width = view.shape[1:]
        # Small views grow by whole factors, so that their pixels stay square.
        scale = float(max(1, -(-_SMALLEST // max(height, width))))
        scale = min(scale, _LARGEST / max(height, width)) if scale == 1 else scale
        inner = round(width * scale), round(height * scale)
        return cls(max(inner[0], _SMALLEST) + 2 * _BORDER, inner[1] + 2 * _BORDER, scale)


def _draw_pair(
    sheet: Image.Image,
    place: tuple[int, int],
    cell: _Cell,
    pair: Pair,
    captions: Sequence[Sequence[tuple[str, str]]],
) -> None:
    left, top = place
    pictures = [_with_crops(pair, cell)]
    pictures += [
        _framed(view, cell.scale, color) for view, color in zip(pair.views, _COLORS, strict=True)
    ]
    draw = ImageDraw.Draw(sheet)
    for picture, lines in zip(pictures, captions, strict=True):
        sheet.paste(picture, (left, top))
        for number, (line, color) in enumerate(lines):
            y = top + cell.height + _GAP // 2 + number * _LEADING
            draw.text((left, y), line, color, _font(_TEXT))
        left += cell.width + _GAP


def _with_crops(pair: Pair, cell: _Cell) -> Image.Image:
    """The original, fitted into the cell, with the frames of both crops."""
    image = Image.fromarray(pair.original)
    room = cell.width - 2 * _BORDER, cell.height - 2 * _BORDER
    scale = min(room[0] / image.width, room[1] / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    filter_ = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    picture = Image.new("RGB", (cell.width, cell.height), _PAPER)
    # Centred, since a padded crop may extend beyond the image on every side.
    left, top = (picture.width - size[0]) // 2, (picture.height - size[1]) // 2
    picture.paste(image.resize(size, filter_), (left, top))
    draw = ImageDraw.Draw(picture)
    for plan, color in zip(pair.plans, _COLORS, strict=True):
        x, y, width, height = plan["crop"]
        box = (
            max(left + round(x * scale) - 2, 0),
            max(top + round(y * scale) - 2, 0),
            min(left + round((x + width) * scale) + 1, picture.width - 1),
            min(top + round((y + height) * scale) + 1, picture.height - 1),
        )
        draw.rectangle(box, outline=color, width=3)
    return picture


def _framed(view: NDArray[np.uint8], scale: float, color: str) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(view.transpose(1, 2, 0)))
    size = round(image.width * scale), round(image.height * scale)
    filter_ = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    frame = Image.new("RGB", (size[0] + 2 * _BORDER, size[1] + 2 * _BORDER), color)
    frame.paste(image.resize(size, filter_), (_BORDER, _BORDER))
    return frame


def _captions(pair: Pair, width: int) -> list[list[tuple[str, str]]]:
    """Lines with their colours under the original and under each view."""
    first, *rest = pair.caption
    columns = [[(first, _INK), *((line, _GRAY) for line in rest)]]
    columns += [
        [(f"view {number}", color), *((line, _INK) for line in describe(plan))]
        for number, (plan, color) in enumerate(zip(pair.plans, _COLORS, strict=True), 1)
    ]
    font = _font(_TEXT)
    return [[(_shortened(line, font, width), color) for line, color in lines] for lines in columns]


def _operation(name: str, arguments: dict[str, Any]) -> str:
    values = (
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in arguments.items()
    )
    return " ".join([name, ", ".join(values)]).strip()


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _shortened(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """`line`, cut and ended by an ellipsis if it is wider than `width` pixels."""
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
