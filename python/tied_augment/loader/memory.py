"""The memory of batches, used again once the consumer has let go of a batch."""

from __future__ import annotations

import threading
import weakref
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["BatchMemory"]


class BatchMemory:
    """Lends memory for batches.

    The first touch of fresh memory costs as much as a third of the work on a batch: the system
    must find and clear its pages. So the memory of a batch that is no longer in use is lent again.

    Args:
        keep: how many unused blocks to keep at most.
        pin: allocate page-locked memory. torch itself keeps and reuses that. It knows when a
            transfer has ended, as long as batches are views of the tensor that it gave; it would
            not know of a transfer from a tensor that was made of an array.
    """

    def __init__(self, keep: int, pin: bool) -> None:
        self._keep = keep
        self._pin = pin
        self._unused: list[Tensor] = []
        self._lent: dict[int, _Lent] = {}
        self._back: list[_Lent] = []
        # Iterations of one loader may overlap, each with a thread that fetches.
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # Memory and locks stay in the process: a pickled loader begins with none.
        return type(self), (self._keep, self._pin)

    def lend(self, size: int) -> Tensor:
        """Lend `size` bytes, taken back when neither the tensor nor a view of it is in use."""
        if self._pin:
            return torch.empty(size, dtype=torch.uint8, device="cpu", pin_memory=True)
        with self._lock:
            block = self._take(size)
            # Every loan has an array of its own, which lives as long as any tensor made of it.
            array = cast("NDArray[np.uint8]", block.numpy())
            # No Python code runs when the array dies: a Ctrl-C that arrived in it would be lost.
            lent = _Lent(array, self._back.append)
            lent.block = block
            self._lent[id(lent)] = lent
        return torch.from_numpy(array)

    def _take(self, size: int) -> Tensor:
        while self._back:
            returned = self._back.pop()
            del self._lent[id(returned)]
            self._unused.append(returned.block)
        fitting = [n for n, unused in enumerate(self._unused) if unused.numel() == size]
        if fitting:
            block = self._unused.pop(fitting[0])
        else:
            block = torch.empty(size, dtype=torch.uint8, device="cpu")
        del self._unused[: -self._keep]
        return block


class _Lent(weakref.ref[Any]):
    """A reference to a lent array, and the memory that comes back when the array dies."""

    __slots__ = ("block",)
    block: Tensor
