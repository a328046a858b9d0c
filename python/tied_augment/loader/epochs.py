"""Which epoch comes next: as somebody tells, else one more than the last."""

from __future__ import annotations

from typing import Any

from tied_augment.arguments import check_unsigned
from tied_augment.loader.samplers import EpochSampler

__all__ = ["Epochs"]


class Epochs:
    """The epochs of a loader, and those that its samplers and its data set are told.

    Args:
        batch_sampler: the loader's, or None.
        sampler: the loader's, or None.
        dataset: as the user has it, and may tell it.
        stream: the iterable data set that is read, or None: it is told each epoch.

    Attributes:
        next: the epoch of the next iteration, if nobody tells another.
    """

    def __init__(self, batch_sampler: Any, sampler: Any, dataset: Any, stream: Any) -> None:
        self.next = 0
        self._samplers = (batch_sampler, sampler)
        self._owners = (batch_sampler, sampler, dataset)
        self._stream = stream
        self._told = self._now()

    def set(self, epoch: int) -> None:
        """Let `epoch` come next, 0 to 2**32 - 1, and tell the samplers, as timm's train.py does."""
        self.next = check_unsigned("epoch", epoch, 32)
        self._tell(self.next)

    def begin(self, state: dict[str, Any] | None) -> int:
        """The epoch of an iteration that begins, or goes on from a loader's `state`."""
        pairs = zip(self._now(), self._told, strict=True)
        told = [now for now, before in pairs if now is not None and now != before]
        epoch: int = self.next
        if state is not None:
            epoch = state["epoch"]
            self._tell(state["sampler_epoch"])
        elif told:
            epoch = told[0]
        if isinstance(self._samplers[1], EpochSampler):
            self._samplers[1].set_epoch(epoch)
        if hasattr(self._stream, "set_epoch"):
            self._stream.set_epoch(epoch)
        self._told = self._now()
        self.next = (epoch + 1) % (1 << 32)
        return epoch

    def told(self) -> int | None:
        """What the samplers had been told when the latest iteration began."""
        return next((epoch for epoch in self._told if epoch is not None), None)

    def _now(self) -> tuple[int | None, ...]:
        """The epochs that samplers and data set have been told, where they have any."""
        several = [
            getattr(owner, "epoch", None) if hasattr(owner, "set_epoch") else None
            for owner in self._owners
        ]
        return tuple(int(epoch) if isinstance(epoch, int) else None for epoch in several)

    def _tell(self, epoch: int | None) -> None:
        for sampler in self._samplers:
            if epoch is not None and hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
                return
