"""Plans executed: what `View.plan` decided, or what somebody edited or stored, made into pixels.

Lives here: `render`. May import the core and `view`. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tied_augment import _core
from tied_augment.arguments import check_unsigned
from tied_augment.pipeline import Pixels, Plan, Sample

__all__ = ["render"]

_SUMMARY = ("crop", "interpolation", "hflip", "vflip")


def render(sample: Sample, plan: Plan | Mapping[str, Any], max_pixels: int | None = None) -> Pixels:
    """Make the view that a plan decided: the pixels that the planning `View` makes of `sample`.

    A plan is data: it may be stored (also as JSON), edited and replayed. Its ``ops`` are what is
    done, in order: ``crop``, then ``resize``, ``frame``, ``hflip`` and ``vflip`` if at all, then
    any others as often as wanted. The other entries of a plan say the same in short; leave them out
    of a plan that you edit, or change both.

    Args:
        sample: as in `TwoView.__call__`.
        plan: what `View.plan` gave, or a mapping with ``ops`` in the same form.
        max_pixels: as in `TwoView`.

    Returns:
        ``(3, height, width)`` uint8.

    Raises:
        ValueError: an op that is not known, out of order, without an argument, with one too many or
            with a value out of its range; a crop outside `sample`; a summary that contradicts the
            ``ops``.
        TypeError: an entry of ``ops`` that is no pair of a name and a mapping.
        OSError, DecodeError, TypeError: as `TwoView.__call__`, for `sample`.
    """
    if not isinstance(plan, Mapping) or "ops" not in plan:
        raise TypeError(f"plan must be a mapping with 'ops', as View.plan gives it, got {plan!r}")
    ops = plan["ops"]
    if isinstance(ops, str) or not isinstance(ops, Sequence):
        raise TypeError(f"a plan's ops must be a list of (name, arguments) pairs, got {ops!r}")
    if max_pixels is not None:
        max_pixels = check_unsigned("max_pixels", max_pixels, 64, least=1)
    pixels = _core.render(sample, ops, max_pixels)
    _check_summary(plan, ops)
    return pixels


def _check_summary(plan: Mapping[str, Any], ops: Iterable[tuple[str, Any]]) -> None:
    """Refuse a plan that was edited in one place only."""
    done = dict(ops)
    crop, resize = done.get("crop", {}), done.get("resize", {})
    said = {
        "crop": [crop.get(name) for name in "xywh"],
        "interpolation": resize.get("interpolation"),
        "hflip": "hflip" in done,
        "vflip": "vflip" in done,
    }
    for name in _SUMMARY:
        value = plan.get(name, said[name])
        if (list(value) if name == "crop" else value) != said[name]:
            raise ValueError(
                f"the plan's {name} is {value!r}, but its ops say {said[name]!r}: change both, or "
                f"leave {name} out"
            )
