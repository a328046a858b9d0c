"""`render`: plans made into pixels. `checked`: the steps of a plan.

A plan is what `View.plan` returned, or a copy that was stored or edited. Nothing is drawn here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from tied_augment import _core
from tied_augment.arguments import check_unsigned, listed
from tied_augment.exits import INSIDE
from tied_augment.pipeline import Pixels, Plan, Sample, Step, plan_of

__all__ = ["checked", "render"]

Result = TypeVar("Result")


def render(sample: Sample, plan: Plan | Mapping[str, Any], max_pixels: int | None = None) -> Pixels:
    """Execute a plan: make the pixels that the `View` of the plan makes of `sample`.

    A plan is data. It may be stored (also as JSON), edited and executed again. Its ``ops`` are
    executed in order: ``crop``, then optionally ``resize``, ``frame``, ``hflip`` and ``vflip``,
    then any number of other ops. The other entries of a plan repeat the first of the ``ops``. When
    you edit a plan, change both or leave the other entries out.

    Args:
        sample: as in `Views.__call__`.
        plan: what `View.plan` returned, or a mapping with ``ops`` in the same form.
        max_pixels: as in `Views`.

    Returns:
        ``(3, height, width)`` uint8.

    Raises:
        ValueError: an op that is unknown or out of order, or has a missing, unknown or wrong
            argument; a crop outside `sample`; an entry of the plan that contradicts the ``ops``.
        TypeError: an entry of ``ops`` that is not a pair of a name and a dict.
        OSError, DecodeError, TypeError: as `Views.__call__`, for `sample`.
    """
    if max_pixels is not None:
        max_pixels = check_unsigned("max_pixels", max_pixels, 64, least=1)
    return _executed(plan, lambda steps: _core.render(sample, steps, max_pixels))


def checked(plan: Plan | Mapping[str, Any], shape: tuple[int, int]) -> list[Step]:
    """The steps of a plan, after the checks of `render` for an image of (height, width) `shape`."""
    return _executed(plan, lambda steps: _core.checked_plan(steps, shape))


def _executed(plan: object, core: Callable[[list[Step]], Result]) -> Result:
    """What the core makes of the steps of a plan, which may have been stored or edited."""
    if not isinstance(plan, Mapping) or "ops" not in plan:
        raise TypeError(f"plan must be a mapping with 'ops', as View.plan gives it, got {plan!r}")
    ops = plan["ops"]
    if isinstance(ops, str) or not isinstance(ops, Sequence):
        raise TypeError(f"a plan's ops must be a list of (name, arguments) pairs, got {ops!r}")
    steps = [_step(entry) for entry in ops]
    try:
        with INSIDE:
            result = core(steps)
    except ValueError as error:
        if "unsupported type" not in str(error):
            raise
        raise ValueError(f"{error}: give numbers and lists, for numpy's .tolist() of it") from None
    for name, said in cast("dict[str, Any]", plan_of(steps)).items():
        value = plan.get(name, said)
        # In JSON the crop is a list.
        same = listed(value) == list(said) if name == "crop" else value == said
        if name != "ops" and not same:
            raise ValueError(
                f"the plan's {name} is {value!r}, but its ops say {said!r}: change both, or leave "
                f"{name} out"
            )
    return result


def _step(entry: object) -> Step:
    if isinstance(entry, Sequence) and len(entry) == 2:
        name, arguments = entry
        if isinstance(name, str) and isinstance(arguments, dict):
            return name, arguments
    raise TypeError(f"an entry of a plan's ops must be a pair of a name and a dict, got {entry!r}")
