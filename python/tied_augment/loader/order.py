"""The arguments of `TiedLoader` that say which samples make a batch, checked together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Sampler

__all__ = ["Order"]


@dataclass(frozen=True)
class Order:
    """Which samples make a batch, as the arguments of `TiedLoader` of these names say.

    Attributes:
        stream: whether the data set is iterable.

    Raises:
        TypeError: a sampler that can't give an order in each epoch.
        ValueError: arguments that exclude each other.
    """

    stream: bool
    batch_size: int
    shuffle: bool
    sampler: Any
    batch_sampler: Any
    drop_last: bool
    seed: int

    def __post_init__(self) -> None:
        _check_sampler("sampler", self.sampler)
        _check_sampler("batch_sampler", self.batch_sampler)
        if self.sampler is not None and self.shuffle:
            raise ValueError("shuffle and sampler exclude each other: the sampler makes the order")
        given = self.sampler is not None or self.batch_sampler is not None
        if self.stream and (self.shuffle or given):
            raise ValueError("an iterable data set has its own order: no shuffle, no sampler")
        others = self.batch_size != 1 or self.shuffle or self.sampler is not None or self.drop_last
        if self.batch_sampler is not None and others:
            raise ValueError("batch_sampler excludes batch_size, shuffle, sampler and drop_last")


def _check_sampler(name: str, sampler: object) -> None:
    """Raise TypeError for what can't give an order in each epoch."""
    if sampler is None:
        return
    gives = isinstance(sampler, Iterable) or hasattr(sampler, "__getitem__")
    if not gives or isinstance(sampler, (str, type, Set, Mapping)):
        raise TypeError(f"{name} must be a sampler or a list, got {sampler!r}")
    if isinstance(sampler, Iterator) and not isinstance(sampler, Sampler):
        kind = type(sampler).__name__
        raise TypeError(f"{name} must begin anew in each epoch, got a {kind}: give a list of it")
