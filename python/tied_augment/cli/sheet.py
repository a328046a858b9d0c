"""Contact sheets: originals with the crops drawn in, their views, and the plan of each view.

Lives here: the drawing, with Pillow, and `make_row`, which gets what is drawn from `Views`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tied_augment import Plan, Views

__all__ = ["SheetRow", "contact_sheet", "describe", "make_row"]

_PAPER, _INK, _GRAY = "#ffffff", "#1f2328", "#6e7781"
# Distinguishable with colour blindness and legible as text (Okabe and Ito, without yellow). They
# come again after the last.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARGIN, _GAP, _BORDER = 24, 12, 4
_TEXT, _TITLE, _LEADING = 14, 20, 19
# Smaller cells leave no room for a legible caption; larger ones make the sheet unwieldy.
_SMALLEST, _LARGEST = 144, 288
_T = TypeVar("_T")

# Ops that `describe` has in its first two lines.
_SAID = ("crop", "resize", "hflip", "vflip")


@dataclass(frozen=True)
class SheetRow:
    """One image and its views, in a row of a sheet.

    Attributes:
        original: ``(H, W, 3)`` uint8.
        views: ``(3, h, w)`` uint8 each, all of one size.
        plans: those of the views.
        caption: lines to write under the original.
    """

    original: NDArray[np.uint8]
    views: Sequence[NDArray[np.uint8]]
    plans: Sequence[Plan]
    caption: Sequence[str]


def make_row(
    views: Views,
    pixels: NDArray[np.uint8],
    caption: Sequence[str],
    index: int,
    epoch: int,
    seed: int,
) -> SheetRow:
    """Make the views of `pixels`, ``(H, W, 3)``, that training gets in this epoch."""
    height, width = pixels.shape[:2]
    plans = views.plan((height, width), index=index, epoch=epoch, seed=seed)
    return SheetRow(pixels, views(pixels, index=index, epoch=epoch, seed=seed), plans, caption)


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


def contact_sheet(shown: Sequence[SheetRow], title: str, columns: int = 1) -> Image.Image:
    """Draw images and their views: original, view 1, view 2, ...

    Args:
        shown: at least one, all with equally many views of one size.
        title: the sheet's headline.
        columns: the number of these side by side.
    """
    cell = _Cell.of(shown[0].views[0])
    text = [_captions(row, cell.width) for row in shown]
    columns = min(columns, len(shown))
    rows = [range(i, min(i + columns, len(shown))) for i in range(0, len(shown), columns)]
    # A row is as high as its longest caption.
    heights = [
        cell.height + _GAP + _LEADING * max(len(lines) for i in row for lines in text[i])
        for row in rows
    ]
    count = len(shown[0].views)
    width = (count + 1) * cell.width + count * _GAP
    sheet = Image.new(
        "RGB",
        (
            2 * _MARGIN + columns * width + (columns - 1) * 2 * _MARGIN,
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
            left = _MARGIN + column * (width + 2 * _MARGIN)
            _draw_row(sheet, (left, top), cell, shown[i], text[i])
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


def _draw_row(
    sheet: Image.Image,
    place: tuple[int, int],
    cell: _Cell,
    shown: SheetRow,
    captions: Sequence[Sequence[tuple[str, str]]],
) -> None:
    left, top = place
    pictures = [_with_crops(shown, cell)]
    pictures += [_framed(view, cell.scale, color) for view, color in _colored(shown.views)]
    draw = ImageDraw.Draw(sheet)
    for picture, lines in zip(pictures, captions, strict=True):
        sheet.paste(picture, (left, top))
        for number, (line, color) in enumerate(lines):
            y = top + cell.height + _GAP // 2 + number * _LEADING
            draw.text((left, y), line, color, _font(_TEXT))
        left += cell.width + _GAP


def _colored(parts: Sequence[_T]) -> Iterator[tuple[_T, str]]:
    """The parts of each view, with the view's colour."""
    return zip(parts, cycle(_COLORS), strict=False)


def _with_crops(shown: SheetRow, cell: _Cell) -> Image.Image:
    """The original, fitted into the cell, with the frames of all crops."""
    image = Image.fromarray(shown.original)
    room = cell.width - 2 * _BORDER, cell.height - 2 * _BORDER
    scale = min(room[0] / image.width, room[1] / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    filter_ = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    picture = Image.new("RGB", (cell.width, cell.height), _PAPER)
    # Centred, since a padded crop may extend beyond the image on every side.
    left, top = (picture.width - size[0]) // 2, (picture.height - size[1]) // 2
    picture.paste(image.resize(size, filter_), (left, top))
    draw = ImageDraw.Draw(picture)
    for plan, color in _colored(shown.plans):
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


def _captions(shown: SheetRow, width: int) -> list[list[tuple[str, str]]]:
    """Lines with their colours under the original and under each view."""
    first, *rest = shown.caption
    columns = [[(first, _INK), *((line, _GRAY) for line in rest)]]
    columns += [
        [(f"view {number}", color), *((line, _INK) for line in describe(plan))]
        for number, (plan, color) in enumerate(_colored(shown.plans), 1)
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
