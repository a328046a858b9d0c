"""`NamedSample`: a sample of a stream that knows what errors are to call it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["NamedSample"]


class NamedSample(tuple[Any, ...]):
    """``(image, target, ...)``, a tuple in all but its name.

    Args:
        values: the image, the target, and any others.
        name: what errors call it, such as ``train-0001.tar, 0042.jpg``.
    """

    name: str

    def __new__(cls, values: Iterable[Any], name: str) -> NamedSample:
        """Make a tuple of `values`."""
        sample = super().__new__(cls, values)
        sample.name = name
        return sample

    def __getnewargs__(self) -> tuple[tuple[Any, ...], str]:
        return tuple(self), self.name
