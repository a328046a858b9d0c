"""A batch from when it is asked for until it is delivered."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tied_augment.items import Item

__all__ = ["Pending"]


@dataclass
class Pending:
    """A batch under way.

    Attributes:
        indices: of each sample, its index; of a stream, its number. A sample that was skipped has
            the index of its replacement.
        first_views: of each sample, the number of its first view.
        choice: which of the loader's views to make.
        checksum: over the epoch's order up to this batch; 0 in a stream.
        memory: what the core writes.
        rest: of each sample, what follows the image; empty if it is found by index.
        came: of a stream, the samples as they came; those of another batch if none of them is good.
        names: of each sample, what errors call it; empty if the core knows its file.
        unreadable: why the data set's own code or Pillow couldn't read the sample at a position.
        in_a_row: how many samples have been skipped at a position.
        begun: set once the core has the batch, or `error` or `ended` is set.
        error: what went wrong before that.
        ended: there was nothing left.
    """

    indices: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    first_views: NDArray[np.uint16] = field(default_factory=lambda: np.empty(0, np.uint16))
    choice: int = 0
    checksum: int = 0
    memory: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8, device="cpu"))
    rest: list[tuple[Any, ...]] = field(default_factory=list)
    came: list[Item] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    unreadable: dict[int, OSError] = field(default_factory=dict)
    in_a_row: dict[int, int] = field(default_factory=dict)
    begun: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    ended: bool = False

    def take(self, items: Sequence[Item]) -> None:
        """Make the batch of these samples, without their images, which go to the core."""
        self.indices = np.asarray([item.index for item in items], np.uint64)
        self.rest = [item.rest for item in items]
        self.names = [item.name for item in items]
        self.unreadable = {n: item.error for n, item in enumerate(items) if item.error is not None}

    def put(self, position: int, item: Item) -> None:
        """Replace the sample at a position."""
        self.indices[position] = item.index
        self.rest[position] = item.rest
        self.names[position] = item.name
        self.unreadable.pop(position, None)
        if item.error is not None:
            self.unreadable[position] = item.error

    def failure(self, position: int, error: Exception) -> Exception:
        """Why the sample at a position failed, with its name.

        Args:
            position: in the batch.
            error: the core's.
        """
        if position in self.unreadable:
            return self.unreadable[position]
        name = self.names[position] if self.names else None
        if name is None:
            return error
        named = type(error)(f"{name}: {error}")
        named.__cause__ = error
        return named
