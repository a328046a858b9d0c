"""`apply_to_mask` and `apply_to_boxes`: what a plan does to an image's labels.

A plan moves pixels by its crop, resize, frame and flips, and by the rotations, shears and
translations of a policy. Here masks and boxes are moved alike. Everything else in a plan changes
colours and leaves labels as they are, but for AugMix: it mixes images that were moved differently.

Does not need torch or torchvision, whose results these are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tied_augment import _core
from tied_augment.arguments import described
from tied_augment.exits import INSIDE
from tied_augment.pipeline import Plan, Step
from tied_augment.plans import checked

__all__ = ["apply_to_boxes", "apply_to_mask"]

_MOVES = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
# No plan reaches further, so boxes can be checked without the image.
_FAR = 1 << 30

Places = NDArray[np.int64]


def apply_to_mask(mask: ArrayLike, plan: Plan | Mapping[str, Any], fill: float = 0) -> NDArray[Any]:
    """Make the part of a label map that belongs to the view of a plan.

    Equal to torchvision's v2 transforms of a ``tv_tensors.Mask`` for the crop, the resize (nearest,
    whatever the image's filter), the frame and the flips, and to Pillow's nearest for the geometric
    ops of a policy. torchvision's nearest takes a pixel's top left corner and not its centre, so a
    mask may be shifted against its view by up to half a pixel of the original.

    Args:
        mask: ``(H, W)``, or ``(N, H, W)`` for N masks, of the image's height and width: an array of
            any dtype, a CPU tensor, or a PIL image with one channel.
        plan: what `View.plan` or `Views.plan` returned for the image.
        fill: the label outside the image, such as 255 to ignore it.

    Returns:
        A new array of `mask`'s dtype, ``(height, width)`` or ``(N, height, width)`` of the view.

    Raises:
        ValueError: a mask of another shape, a `fill` that its dtype does not hold, a plan with
            AugMix (``Mix``), a crop outside the mask, or a plan that `render` refuses too.
        TypeError: `plan` is not a plan.
    """
    labels = np.asarray(mask)
    planes = labels.ndim == 2 or (labels.ndim == 3 and not hasattr(mask, "getbands"))
    if not planes or 0 in labels.shape:
        raise ValueError(f"mask must be (H, W) or (N, H, W), one channel, got {described(mask)}")
    outside = _label(fill, labels.dtype)
    height, width = labels.shape[-2:]
    try:
        steps = _moving(checked(plan, (height, width)))
    except ValueError as error:
        raise ValueError(f"mask of shape {labels.shape}, (H, W) or (N, H, W): {error}") from error
    rows, columns = _axis(steps, 0, height), _axis(steps, 1, width)
    made = labels[..., np.maximum(rows, 0)[:, None], np.maximum(columns, 0)]
    made[..., (rows < 0)[:, None] | (columns < 0)] = outside
    if moves := [step for step in steps if step[0] in _MOVES]:
        places = _moved(moves, made.shape[-2:])
        flat = made.reshape(*made.shape[:-2], -1)
        made = np.where(places < 0, outside, flat[..., np.maximum(places, 0)])
    return made


def apply_to_boxes(boxes: ArrayLike, plan: Plan | Mapping[str, Any]) -> NDArray[np.float64]:
    """Move an image's boxes to the view of a plan.

    Equal to torchvision's v2 transforms of ``tv_tensors.BoundingBoxes`` up to the rounding of
    floats; torchvision scales by factors in float32. A box that is rotated or sheared becomes the
    box around it.

    Args:
        boxes: ``(N, 4)``, each (x1, y1, x2, y2) in pixels of the image: an array or a CPU tensor.
        plan: what `View.plan` or `Views.plan` returned for the image.

    Returns:
        ``(N, 4)`` float64, in pixels of the view and cut off at its edges. No box is left out: one
        that is not in the view has no area, as in torchvision before ``SanitizeBoundingBoxes``.
        ``(boxes[:, 2:] > boxes[:, :2]).all(1)`` are those that are in it.

    Raises:
        ValueError: boxes of another shape, a plan with AugMix (``Mix``), or one that `render`
            refuses too.
        TypeError: `plan` is not a plan.
    """
    moved = np.array(boxes, np.float64)
    if moved.ndim != 2 or moved.shape[1] != 4:
        raise ValueError(f"boxes must be (N, 4), each (x1, y1, x2, y2), got {described(boxes)}")
    size = (0, 0)
    for name, arguments in _moving(checked(plan, (_FAR, _FAR))):
        if name == "crop":
            size = (arguments["h"], arguments["w"])
            moved -= 2 * [arguments["x"], arguments["y"]]
        elif name == "resize":
            height, width = arguments["size"]
            moved *= 2 * [width / size[1], height / size[0]]
            size = (height, width)
        elif name == "frame":
            moved -= 2 * [arguments["x"], arguments["y"]]
            size = arguments["size"]
        elif name in ("hflip", "vflip"):
            axis = 0 if name == "hflip" else 1
            moved[:, [axis, axis + 2]] = size[1 - axis] - moved[:, [axis + 2, axis]]
        else:
            moved = _around(moved, name, next(iter(arguments.values())), size)
        moved = np.clip(moved, 0, 2 * [size[1], size[0]])
    return moved


def _label(fill: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    label = np.zeros((), dtype)
    try:
        label[...] = fill
        held = bool(label == fill) or fill != fill
    except (OverflowError, TypeError, ValueError):
        held = False
    if not held:
        raise ValueError(f"fill must be a value of the mask's {dtype}, got {fill!r}")
    return label


def _moving(steps: Sequence[Step]) -> list[Step]:
    """The steps that move pixels.

    Raises:
        ValueError: one that mixes images which it moves differently.
    """
    if any(name == "Mix" for name, _ in steps):
        raise ValueError(
            "the plan has a Mix (AugMix), which moves parts of the image differently: a mask or a "
            "box has no one place after it. Use a policy without 'augmix'"
        )
    return [step for step in steps if step[0].islower() or step[0] in _MOVES]


def _axis(steps: Sequence[Step], axis: int, side: int) -> Places:
    """Which row (`axis` 0) or column (1) of the image each of the view is; -1 outside the image."""
    start, length, flip = ("y", "h", "vflip") if axis == 0 else ("x", "w", "hflip")
    places = np.zeros(0, np.int64)
    crop = dict(steps)["crop"]
    for name, arguments in steps:
        if name == "crop":
            places = np.arange(crop[length])
        elif name == "resize":
            places = _nearest(crop[length], arguments["size"][axis])
        elif name == "frame":
            within = np.arange(arguments["size"][axis]) + arguments[start]
            places = places[_mirrored(within, len(places))]
        elif name == flip:
            places = places[::-1]
    places = places + crop[start]
    return cast("Places", np.where((places >= 0) & (places < side), places, -1))


def _nearest(length: int, size: int) -> Places:
    """The element of `length` that each of `size` is resized from, as torch's ``nearest``.

    ``floor(i * (length / size))`` in float32, at most the last.
    """
    scale = np.float32(length) / np.float32(size)
    places = np.floor(np.arange(size, dtype=np.float32) * scale).astype(np.int64)
    return cast("Places", np.minimum(places, length - 1))


def _mirrored(places: Places, length: int) -> Places:
    """Places outside 0..length, mirrored as numpy's ``reflect`` does."""
    if length == 1:
        return np.zeros_like(places)
    places = np.abs(places) % (2 * length - 2)
    return cast("Places", np.minimum(places, 2 * length - 2 - places))


def _moved(moves: Sequence[Step], size: tuple[int, ...]) -> Places:
    """Where in a view of (height, width) `size` each pixel comes from after `moves`; -1 outside.

    The core moves an image whose pixels are their own numbers, so that a mask of any dtype gets the
    places of Pillow's nearest.
    """
    height, width = size
    count = height * width
    if count >= 1 << 24:
        raise ValueError(f"a view of {height} x {width} pixels is too large for {moves[0][0]}")
    # 0 is outside.
    numbers = np.arange(1, count + 1, dtype="<u4").view(np.uint8).reshape(height, width, 4)
    plain = {"interpolation": "nearest", "fill": (0, 0, 0)}
    whole: Step = ("crop", {"x": 0, "y": 0, "w": width, "h": height})
    ops = [whole, *((name, {**arguments, **plain}) for name, arguments in moves)]
    with INSIDE:
        planes = _core.render(np.ascontiguousarray(numbers[..., :3]), ops, None)
    low, middle, high = planes.astype(np.int64)
    return cast("Places", (low | middle << 8 | high << 16) - 1)


def _around(
    boxes: NDArray[np.float64], op: str, value: float, size: tuple[int, int]
) -> NDArray[np.float64]:
    """The boxes around `boxes` after a rotation by degrees, a shear or a translation."""
    height, width = size
    x, y = boxes[:, [0, 2, 2, 0]], boxes[:, [1, 1, 3, 3]]  # the corners
    if op == "Rotate":
        cos, sin = math.cos(math.radians(value)), math.sin(math.radians(value))
        x, y = x - width / 2, y - height / 2
        x, y = cos * x + sin * y + width / 2, -sin * x + cos * y + height / 2
    elif op == "ShearX":
        x = x - value * y
    elif op == "ShearY":
        y = y - value * x
    elif op == "TranslateX":
        x = x - value
    else:
        y = y - value
    return np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], axis=1)
