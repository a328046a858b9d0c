"""The checks of the fields of `View`, one by one. What depends on several is checked there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tied_augment.arguments import (
    check_bool,
    check_channels,
    check_number,
    check_pair,
    check_unsigned,
    listed,
)

__all__ = ["CHECKS", "NEED", "check_bounds", "check_side", "jitter"]


def _check_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string such as {_EXAMPLES[name]!r}, got {value!r}")
    return value


def check_side(value: object) -> int:
    """A side of the output, in pixels."""
    return check_unsigned("size", value, 16, least=1, most=1 << 15)


def _check_count(name: str, value: object) -> int:
    least, most = _COUNTS.get(name, (0, None))
    return check_unsigned(name, value, 32, least, most)


def _or_none(check: Callable[[str, object], object]) -> Callable[[str, object], object]:
    return lambda name, value: None if value is None else check(name, value)


def check_bounds(name: str, value: object) -> tuple[float, float]:
    """Two numbers."""
    low, high = check_pair(name, value, "(low, high)")
    return check_number(name, low), check_number(name, high)


_EXAMPLES = {
    "interpolation": "random",
    "crop": "rrc",
    "auto_augment": "rand-m9-mstd0.5-inc1",
    "re_mode": "const",
}

# Fields that have an effect only if the probability of what they describe is not 0.
NEED = {
    "gaussian_blur_prob": ("gaussian_blur_kernel", "gaussian_blur_sigma"),
    "solarize_prob": ("solarize_threshold",),
    "re_prob": ("re_mode", "re_count", "re_num_splits"),
}

# The bounds of a field that is an integer; its type has the others.
_COUNTS = {
    "padding": (0, 1 << 15),
    "crop_border_pixels": (0, 1 << 20),
    "gaussian_blur_kernel": (1, (1 << 15) - 1),
    "re_count": (1, 1000),
}

# The check of a field, by its annotation as it is written above. Other fields have checks of their
# own.
CHECKS: dict[str, Callable[[str, object], object]] = {
    "bool": check_bool,
    "float": check_number,
    "float | None": _or_none(check_number),
    "int": _check_count,
    "int | None": _or_none(_check_count),
    "str": _check_text,
    "Crop": _check_text,
    "str | None": _or_none(_check_text),
    "tuple[float, float]": check_bounds,
    "tuple[float, float, float]": check_channels,
}


def jitter(value: float | Sequence[float] | None) -> tuple[float, ...] | None:
    """Brightness, contrast, saturation and hue."""
    if value is None:
        return None
    values = listed(value)
    if values is None:
        return (check_number("color_jitter", value),) * 3 + (0.0,)
    if len(values) not in (3, 4):
        raise ValueError(f"color_jitter must be a number or 3 or 4 of them, got {value!r}")
    return tuple(check_number("color_jitter", strength) for strength in (*values, 0.0)[:4])
