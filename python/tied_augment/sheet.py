"""Contact sheets: originals with the crops drawn in, their views, and the plan of each view.

Lives here: the drawing, with Pillow, and `make_row`, which gets what is drawn from the views. For
``show`` of `View` and `Views` and for the command line. The views are given: nothing of this
package is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

if TYPE_CHECKING:
    from tied_augment.pipeline import Plan
    from tied_augment.view import View
    from tied_augment.views import Views

__all__ = ["COLORS", "SheetRow", "contact_sheet", "describe", "headline", "make_row"]

_PAPER, _INK, _GRAY = "#ffffff", "#1f2328", "#6e7781"
# Distinguishable with colour blindness and legible as text (Okabe and Ito, without yellow). They
# come again after the last.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARGIN, _GAP, _BORDER = 24, 12, 4
# Width of a crop's frame. Where frames coincide they take turns of `_DASH` pixels.
_LINE, _DASH = 3, 8
_TEXT, _TITLE, _LEADING = 14, 20, 19
# Smaller cells leave no room for a legible caption; larger ones make the sheet unwieldy.
_SMALLEST, _LARGEST = 144, 288
_INDENT = "  "  # of the later lines of one that is wrapped
_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
_T = TypeVar("_T")

# Ops that `describe` has in its first two lines.
_SAID = ("crop", "resize", "hflip", "vflip")


@dataclass(frozen=True)
class SheetRow:
    """One image and its views, in a row of a sheet.

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


def make_row(
    views: View | Views,
    pixels: NDArray[np.uint8],
    caption: Sequence[str],
    index: int,
    epoch: int,
    seed: int,
) -> SheetRow:
    """Make the views of `pixels`, ``(H, W, 3)``, that training gets in this epoch."""
    height, width = pixels.shape[:2]
    plans = views.plan((height, width), index=index, epoch=epoch, seed=seed)
    made = views(pixels, index=index, epoch=epoch, seed=seed)
    return SheetRow(
        pixels,
        made if isinstance(made, tuple) else (made,),
        plans if isinstance(plans, list) else (plans,),
        caption,
    )


def headline(views: View | Views, seed: int, epochs: range) -> str:
    """The title of a sheet: the number of views, sizes, policies, seed and epochs."""
    declared = views.views if hasattr(views, "views") else (views,)
    runs: list[tuple[Any, int]] = [
        (size, len(list(run))) for size, run in groupby(view.size for view in declared)
    ]
    parts = [f"{n} view{'s' * (n > 1)} of {width} x {height}" for (height, width), n in runs]
    parts = [" and ".join(parts)]
    policies = {view.auto_augment: view.auto_augment or "no policy" for view in declared}
    if any(policies):
        parts.append(" and ".join(policies.values()))
    first, last = epochs[0], epochs[-1]
    when = f"epochs {first} to {last}" if last > first else f"epoch {first}"
    return ", ".join([*parts, f"seed {seed}", when])


def describe(plan: Plan) -> list[str]:
    """Describe a plan in words, one line per op."""
    x, y, width, height = plan["crop"]
    flips = ["hflip"] * plan["hflip"] + ["vflip"] * plan["vflip"]
    lines = [
        f"crop {width} x {height} at ({x}, {y})",
        ", ".join([plan["interpolation"] or "not resized", *(flips or ["no flip"])]),
    ]
    for name, arguments in plan["ops"]:
        if name not in _SAID:
            lines += _operation(name, arguments)
    return lines


def contact_sheet(shown: Sequence[SheetRow], title: str, columns: int = 1) -> Image.Image:
    """Draw images and their views: original, view 1, view 2, ...

    Views of several sizes are drawn on one scale.

    Args:
        shown: at least one, all with the same number of views and the same sizes.
        title: the sheet's headline.
        columns: the number of these side by side.
    """
    cells = _cells(shown[0].views)
    text = [_captions(row, cells) for row in shown]
    columns = min(columns, len(shown))
    rows = [range(i, min(i + columns, len(shown))) for i in range(0, len(shown), columns)]
    heights = [
        max(
            cell.height + _GAP + _LEADING * len(lines)
            for i in row
            for cell, lines in zip(cells, text[i], strict=True)
        )
        for row in rows
    ]
    width = sum(cell.width for cell in cells) + (len(cells) - 1) * _GAP
    room = columns * width + (columns - 1) * 2 * _MARGIN
    lines = _wrapped(title, _font(_TITLE), room, indent="")
    top = _MARGIN + (len(lines) + 1) * _TITLE
    whole = top + sum(heights) + (len(rows) - 1) * _MARGIN + _MARGIN
    sheet = Image.new("RGB", (2 * _MARGIN + room, whole), _PAPER)
    ImageDraw.Draw(sheet).text((_MARGIN, _MARGIN), "\n".join(lines), _INK, _font(_TITLE), spacing=2)
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            left = _MARGIN + column * (width + 2 * _MARGIN)
            _draw_row(sheet, (left, top), cells, shown[i], text[i])
        top += height + _MARGIN
    return sheet


@dataclass(frozen=True)
class _Cell:
    """The size of one picture's cell, with its border, and the scale of a view in it."""

    width: int
    height: int
    scale: float


def _cells(views: Sequence[NDArray[np.uint8]]) -> list[_Cell]:
    """The cells of the original, which is as large as that of the largest view, and of the views.

    A column is at least `_SMALLEST` wide, for the captions.
    """
    longest = max(side for view in views for side in view.shape[1:])
    # Small views grow by whole factors, so that their pixels stay square.
    scale = float(max(1, -(-_SMALLEST // longest)))
    scale = min(scale, _LARGEST / longest) if scale == 1 else scale
    sizes = [(round(view.shape[2] * scale), round(view.shape[1] * scale)) for view in views]
    sizes.insert(0, max(sizes, key=lambda size: size[0] * size[1]))
    return [
        _Cell(max(width, _SMALLEST) + 2 * _BORDER, max(height, 1) + 2 * _BORDER, scale)
        for width, height in sizes
    ]


def _draw_row(
    sheet: Image.Image,
    place: tuple[int, int],
    cells: Sequence[_Cell],
    shown: SheetRow,
    captions: Sequence[Sequence[tuple[str, str]]],
) -> None:
    left, top = place
    pictures = [_with_crops(shown, cells[0])]
    pictures += [_framed(view, cells[0].scale, color) for view, color in _colored(shown.views)]
    draw = ImageDraw.Draw(sheet)
    for picture, cell, lines in zip(pictures, cells, captions, strict=True):
        sheet.paste(picture, (left, top))
        for number, (line, color) in enumerate(lines):
            y = top + cell.height + _GAP // 2 + number * _LEADING
            draw.text((left, y), line, color, _font(_TEXT))
        left += cell.width + _GAP


def _colored(parts: Sequence[_T]) -> Iterator[tuple[_T, str]]:
    """The parts of each view, with the view's colour."""
    return zip(parts, cycle(COLORS), strict=False)


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
    frames = []
    for plan in shown.plans:
        x, y, width, height = plan["crop"]
        box = (
            max(left + round(x * scale) - 2, 0),
            max(top + round(y * scale) - 2, 0),
            min(left + round((x + width) * scale) + 1, picture.width - 1),
            min(top + round((y + height) * scale) + 1, picture.height - 1),
        )
        frames.append(_frame(picture.size, box))
    return Image.fromarray(_painted(np.asarray(picture), np.stack(frames)))


def _frame(size: tuple[int, int], box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """The pixels of a box's frame, ``(height, width)``."""
    frame = Image.new("1", size)
    ImageDraw.Draw(frame).rectangle(box, outline=1, width=_LINE)
    return np.asarray(frame)


def _painted(picture: NDArray[np.uint8], frames: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`picture` with frames ``(V, height, width)``, dashed where several of them coincide."""
    count, place = frames.sum(0), frames.cumsum(0, np.uint16)
    row, column = np.indices(count.shape)
    turn = (row + column) // _DASH % np.maximum(count, 1) + 1
    painted = picture.copy()
    for (frame, place_of_view), color in _colored(list(zip(frames, place, strict=True))):
        painted[frame & (place_of_view == turn)] = ImageColor.getrgb(color)
    return painted


def _framed(view: NDArray[np.uint8], scale: float, color: str) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(view.transpose(1, 2, 0)))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    filter_ = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    frame = Image.new("RGB", (size[0] + 2 * _BORDER, size[1] + 2 * _BORDER), color)
    frame.paste(image.resize(size, filter_), (_BORDER, _BORDER))
    return frame


def _captions(shown: SheetRow, cells: Sequence[_Cell]) -> list[list[tuple[str, str]]]:
    """Lines with their colours under the original and under each view."""
    first, *rest = shown.caption
    columns = [[(first, _INK), *((line, _GRAY) for line in rest)]]
    columns += [
        [(f"view {number}", color), *((line, _INK) for line in describe(plan))]
        for number, (plan, color) in enumerate(_colored(shown.plans), 1)
    ]
    font = _font(_TEXT)
    return [
        [(part, color) for line, color in lines for part in _wrapped(line, font, cell.width)]
        for lines, cell in zip(columns, cells, strict=True)
    ]


def _operation(name: str, arguments: dict[str, Any]) -> list[str]:
    """An op in words; of AugMix, each chain with its weight on a line of its own."""
    plain = {key: value for key, value in arguments.items() if key != "chains"}
    lines = [" ".join([name, ", ".join(f"{key} {_value(plain[key])}" for key in plain)]).strip()]
    for weight, steps in arguments.get("chains", ()):
        chain = [line for step in steps for line in _operation(*step)]
        lines.append(f"chain of {_value(weight)}: {'; '.join(chain) or 'nothing'}")
    return lines


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_value, value))})"
    return str(value)


def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _wrapped(line: str, font: _Font, width: int, indent: str = _INDENT) -> list[str]:
    """`line` in lines of at most `width` pixels, broken at spaces, or within longer words.

    Other white space, as the name of a file may have it, becomes spaces.
    """
    lines, current = [], ""
    for word in line.split():
        joined = f"{current} {word}" if current else word
        if current and font.getlength(joined) > width:
            lines.append(current)
            joined = indent + word
        while font.getlength(joined) > width:
            fits = max(_fitting(joined, font, width), len(indent) + 1)
            lines.append(joined[:fits])
            joined = indent + joined[fits:]
        current = joined
    return [*lines, current]


def _fitting(text: str, font: _Font, width: int) -> int:
    """How many characters of `text` are at most `width` pixels wide, where not all are."""
    return next(n for n in range(len(text)) if font.getlength(text[: n + 1]) > width)
