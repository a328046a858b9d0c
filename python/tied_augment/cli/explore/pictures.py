"""What the page shows: the views as files, their plans in words, the crops over the original.

May import Pillow and the package. Nothing of the page is imported.
"""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tied_augment import Plan, Views
from tied_augment.cli.explore.photos import Opened
from tied_augment.sheet import COLORS, describe

__all__ = ["Drawn", "Shown", "crops_svg", "draw", "png"]

# A timing has from 2 to 5 calls, and ends after so many seconds: dragging must stay smooth.
_LEAST, _MOST, _SECONDS = 2, 5, 0.04
# Crops with equal boxes take turns of so many pixels of the frame.
_DASH = 10


@dataclass(frozen=True)
class Shown:
    """One view.

    Attributes:
        png: its pixels, exactly.
        size: (height, width).
        plan: what was done, a line per step.
        color: of its crop's frame.
    """

    png: bytes
    size: tuple[int, int]
    plan: list[str]
    color: str


@dataclass(frozen=True)
class Drawn:
    """All that changes with the settings.

    Attributes:
        views: the views.
        plans: their plans.
        crops: the frames of the crops as SVG, to lie over the original.
        seconds: the least time to decode the image and make its views, on one thread.
        calls: of how many calls.
    """

    views: list[Shown]
    plans: list[Plan]
    crops: str
    seconds: float
    calls: int


def draw(views: Views, image: Opened, draws: Mapping[str, Any]) -> Drawn:
    """Make all views of an image.

    Args:
        views: those of the page.
        image: the image.
        draws: `index`, `epoch` and `seed`.

    Raises:
        ValueError: the image does not go with the views, as one that is too small.
    """
    height, width = image.pixels.shape[:2]
    plans = views.plan((height, width), **draws)
    times: list[float] = []
    made: tuple[NDArray[np.uint8], ...] = ()
    while len(times) < _LEAST or (len(times) < _MOST and sum(times) < _SECONDS):
        start = time.perf_counter()
        made = views(image.sample, **draws)
        times.append(time.perf_counter() - start)
    shown = [
        Shown(png(pixels), size, describe(plan), color)
        for pixels, size, plan, color in zip(made, views.sizes, plans, cycle(COLORS), strict=False)
    ]
    crops = crops_svg([plan["crop"] for plan in plans], (height, width))
    return Drawn(shown, plans, crops, min(times), len(times))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of ``(3, H, W)`` pixels."""
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def crops_svg(boxes: Sequence[tuple[int, int, int, int]], shape: tuple[int, int]) -> str:
    """The frames of crops, in parts of the image's size: the browser scales them with it.

    Where the boxes of several views are equal, the frame has their colours in turn.

    Args:
        boxes: (x, y, w, h) in pixels of the image.
        shape: (height, width) of the image.
    """
    height, width = shape
    equal, seen = Counter(boxes), Counter[tuple[int, int, int, int]]()
    frames, tags = [], []
    for number, (box, color) in enumerate(zip(boxes, cycle(COLORS), strict=False), 1):
        x, y, w, h = box
        place = f'x="{100 * x / width:.3f}%" y="{100 * y / height:.3f}%"'
        size = f'width="{100 * w / width:.3f}%" height="{100 * h / height:.3f}%"'
        turns, turn = equal[box], seen[box]
        seen[box] += 1
        dash = ""
        if turns > 1:
            gap = _DASH * (turns - 1)
            dash = f' stroke-dasharray="{_DASH} {gap}" stroke-dashoffset="-{_DASH * turn}"'
        start = f'<g class="crop crop-{number}" stroke="{color}" fill="{color}">'
        frames.append(
            f'{start}<rect class="edge" {place} {size}/>'
            f'<rect class="frame" {place} {size}{dash}/></g>'
        )
        tags.append(
            f'{start}<svg {place} overflow="visible"><rect class="tag" x="{22 * turn}" width="20" '
            f'height="20"/><text x="{22 * turn + 10}" y="14.5">{number}</text></svg></g>'
        )
    return f'<svg class="crops" aria-hidden="true">{"".join(frames + tags)}</svg>'
