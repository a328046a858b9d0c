"""Checks of arguments, with one form of message for all modules.

Lives here: what a name, a number, an integer, a pair, ... must be. A message names the argument,
what it must be and what was given. May import the standard library only.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from reprlib import Repr
from typing import Any, TypeAlias, cast

__all__ = [
    "check_bool",
    "check_channels",
    "check_int",
    "check_name",
    "check_normalization",
    "check_number",
    "check_pair",
    "check_unsigned",
    "described",
    "listed",
    "nearest",
]

Channels: TypeAlias = tuple[float, float, float]

_PLAIN = (str, bytes, bool, int, float)
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def check_name(
    argument: str,
    value: object,
    names: Sequence[str],
    *,
    aliases: Mapping[str, str] | None = None,
    otherwise: str = "",
) -> None:
    """Refuse a `value` that is not one of `names`, and suggest the nearest of them.

    Args:
        argument: its name.
        value: what was given.
        names: the accepted ones.
        aliases: what other code calls the same things, each with the accepted name.
        otherwise: what may be given instead of a name, for the message.

    Raises:
        TypeError: it is not a string.
        ValueError: it is another string.
    """
    if isinstance(value, str) and value in names:
        return
    message = f"{argument} must be one of {tuple(names)}{otherwise}, got "
    if not isinstance(value, str):
        raise TypeError(message + described(value))
    near = nearest(value, names, aliases)
    raise ValueError(message + repr(value) + (f": did you mean {near!r}?" if near else ""))


def nearest(
    value: str, names: Sequence[str], aliases: Mapping[str, str] | None = None
) -> str | None:
    """The one of `names` that is spelt almost like `value` or has it as an alias; or None."""
    plain = value.strip().lower().replace("-", "_").replace(" ", "_")
    if aliases is not None and aliases.get(plain) in names:
        return aliases[plain]
    # difflib's own cutoff, 0.6, takes 'none' for 'cosine'.
    return next(iter(get_close_matches(plain, names, n=1, cutoff=0.65)), None)


def check_int(argument: str, value: object, least: int | None = None) -> None:
    """Refuse what is not an integer (TypeError) or is below `least` (ValueError)."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{argument} must be an int, got {described(value)}")
    if least is not None and value < least:
        raise ValueError(f"{argument} must be at least {least}, got {value}")


def check_unsigned(
    argument: str, value: object, bits: int, least: int = 0, most: int | None = None
) -> int:
    """`value` as an int; tensors and arrays of one integer are accepted.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is below `least`, above `most`, or does not fit in `bits` bits.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(cast("int", value))
    except TypeError:
        raise TypeError(f"{argument} must be an integer, got {described(value)}") from None
    if not least <= number <= ((1 << bits) - 1 if most is None else most):
        limit = f"2**{bits} - 1" if most is None else most
        raise ValueError(f"{argument} must be from {least} to {limit}, got {number}")
    return number


def check_number(
    argument: str, value: object, least: float = -math.inf, most: float = math.inf
) -> float:
    """`value` as a float.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not in [`least`, `most`], or is NaN or infinite.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        # A number is not taken out of a tensor: its gradient would be lost.
        single = getattr(value, "shape", None) == () and hasattr(value, "item")
        remedy = f": pass {argument}.item()" if single else ""
        raise TypeError(f"{argument} must be a number, got {described(value)}{remedy}")
    number = float(value)
    if math.isfinite(number) and least <= number <= most:
        return number
    if most == math.inf and (least == -math.inf or not math.isfinite(number)):
        raise ValueError(f"{argument} must be finite, got {value}")
    limits = f"at least {least:g}" if most == math.inf else f"in [{least:g}, {most:g}]"
    raise ValueError(f"{argument} must be {limits}, got {value}")


def check_bool(argument: str, value: object) -> bool:
    """`value` as a bool; TypeError for what is neither a bool nor numpy's."""
    if isinstance(value, bool):
        return value
    # numpy's bool is no subclass; this module imports the standard library only.
    kind = type(value)
    if kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"):
        return bool(value)
    raise TypeError(f"{argument} must be True or False, got {described(value)}")


def check_pair(argument: str, value: object, form: str) -> tuple[Any, Any]:
    """The two elements of `value`.

    Args:
        argument: its name.
        value: a sequence, an array or a tensor.
        form: what the two elements are, for the message: ``"(low, high)"``.

    Raises:
        ValueError: it does not have two elements.
    """
    return cast("tuple[Any, Any]", tuple(_several(argument, value, 2, f"a pair {form}")))


def check_channels(argument: str, value: object) -> Channels:
    """The three numbers of a sequence, an array or a tensor, one per channel.

    Raises:
        TypeError: an element is not a number.
        ValueError: there are not three elements, or one is not finite.
    """
    values = _several(argument, value, 3, "3 numbers, one per channel")
    red, green, blue = (check_number(argument, number) for number in values)
    return red, green, blue


def check_normalization(mean: object, std: object) -> tuple[Channels, Channels]:
    """The mean and the standard deviation of images from 0 to 1, per channel.

    Raises:
        TypeError: an element is not a number.
        ValueError: there are not three elements, or one is out of its range.
    """
    means, stds = check_channels("mean", mean), check_channels("std", std)
    if not all(0 <= value <= 1 for value in means):
        raise ValueError(f"mean must be from 0 to 1, a fraction of 255, got {mean!r}")
    if not all(0 < value <= 1 for value in stds):
        raise ValueError(f"std must be above 0 and at most 1, a fraction of 255, got {std!r}")
    return means, stds


def _several(argument: str, value: object, count: int, what: str) -> list[Any]:
    values = listed(value)
    if values is None or len(values) != count:
        got = described(value) if values is None else _SHORT.repr(value)
        raise ValueError(f"{argument} must be {what}, got {got}")
    return values


def listed(value: object) -> list[Any] | None:
    """The elements of a sequence or of a 1-D array or tensor; None for anything else."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    if getattr(value, "ndim", 0) == 1 and hasattr(value, "tolist"):
        return cast("list[Any]", value.tolist())
    return None


def described(value: object) -> str:
    """`value` for a message: numbers and text themselves, else the type and the shape, if any."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):  # torch.Size is one
        return f"{type(value).__name__} of shape {tuple(shape)}"
    if value is None or isinstance(value, _PLAIN):
        return _SHORT.repr(value)
    return type(value).__name__
