"""Checks of arguments, and the words for wrong ones.

Lives here: what a name, a number and a whole number must be, for classes and functions of several
modules. It may import the standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral, Real

__all__ = ["check_int", "check_name", "check_number", "described", "nearest"]


def check_name(
    argument: str,
    value: object,
    names: Sequence[str],
    *,
    elsewhere: Mapping[str, str] | None = None,
    otherwise: str = "",
) -> None:
    """Refuse a `value` that is none of `names`, and say which of them is near.

    Args:
        argument: its name.
        value: what came.
        names: the right ones.
        elsewhere: names that other code has for the same things.
        otherwise: what may be given instead of a name.

    Raises:
        TypeError: it is not a string.
        ValueError: it is another string.
    """
    if isinstance(value, str) and value in names:
        return
    message = f"{argument} must be one of {tuple(names)}{otherwise}, got "
    if not isinstance(value, str):
        raise TypeError(message + described(value))
    near = nearest(value, names, elsewhere)
    raise ValueError(message + repr(value) + (f": did you mean {near!r}?" if near else ""))


def nearest(
    value: str, names: Sequence[str], elsewhere: Mapping[str, str] | None = None
) -> str | None:
    """The one of `names` that is spelt almost like `value`, or is called so elsewhere; or None."""
    plain = value.strip().lower().replace("-", "_").replace(" ", "_")
    if elsewhere is not None and plain in elsewhere:
        return elsewhere[plain]
    return next(iter(get_close_matches(plain, names, n=1)), None)


def check_int(argument: str, value: object, least: int | None = None) -> None:
    """Refuse what is no whole number (TypeError), or is below `least` (ValueError)."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{argument} must be an int, got {described(value)}")
    if least is not None and value < least:
        raise ValueError(f"{argument} must be at least {least}, got {value}")


def check_number(
    argument: str, value: object, least: float = -math.inf, most: float = math.inf
) -> float:
    """`value` as a float; TypeError for what is no number, ValueError for one out of range.

    NaN and the infinities are out of every range.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{argument} must be a number, got {described(value)}")
    number = float(value)
    if math.isfinite(number) and least <= number <= most:
        return number
    if least == -math.inf:
        raise ValueError(f"{argument} must be finite, got {value}")
    limits = f"at least {least:g}" if most == math.inf else f"in [{least:g}, {most:g}]"
    raise ValueError(f"{argument} must be {limits}, got {value}")


def described(value: object) -> str:
    """The type of `value`, for a message."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
