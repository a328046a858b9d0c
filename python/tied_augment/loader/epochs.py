"""Which epoch the next iteration is, and at which of its batches it begins.

A state that was loaded says both. Otherwise the epoch is, in this order:

1. the one of the latest ``set_epoch`` since the last iteration began: the loader's, or that of a
   sampler or of the data set;
2. that of the last iteration, if it was dropped before it gave a batch. It begins as that did;
3. one more than that of the last iteration, and 0 at first.

A ``set_epoch`` of a sampler or data set is noticed by its attribute ``epoch``, if that has changed.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from tied_augment.arguments import check_unsigned
from tied_augment.loader.iteration import Iteration
from tied_augment.loader.progress import Progress
from tied_augment.loader.samplers import EpochSampler
from tied_augment.loader.state import State

__all__ = ["Epochs", "Start"]


@dataclass(frozen=True)
class Start:
    """Where an iteration begins.

    Attributes:
        epoch: its epoch.
        state: the state from which it goes on; None at the epoch's first batch.
    """

    epoch: int
    state: State | None = None

    @property
    def batches(self) -> int:
        """How many batches of the epoch are done."""
        return 0 if self.state is None else self.state.batches

    @property
    def entries(self) -> int:
        """How far that is in the epoch's order (`State.entries`)."""
        return 0 if self.state is None else self.state.entries


class Epochs:
    """The epochs of a loader, of its samplers and of its data set.

    Args:
        batch_sampler: the loader's, or None.
        sampler: the loader's, or None.
        dataset: as the user has it, and may call its ``set_epoch``.
        stream: the iterable data set that is read, whose ``set_epoch`` is called; or None.

    Attributes:
        next: the epoch of the next iteration, unless another is set.
        loaded: the state from which the next iteration goes on; or None.
        latest: how far the latest iteration has got; None before the first.
        sampler_epoch: the samplers' own epoch when the latest iteration began; or None.
    """

    def __init__(self, batch_sampler: Any, sampler: Any, dataset: Any, stream: Any) -> None:
        self.next = 0
        self.loaded: State | None = None
        self.latest: Progress | None = None
        self._samplers = (batch_sampler, sampler)
        self._owners = (batch_sampler, sampler, dataset)
        self._stream = stream
        self.sampler_epoch: int | None = None
        self._known = self._now()
        self._start: Start | None = None
        self._iteration: weakref.ref[Iteration] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # An iteration stays in the process.
        return vars(self) | {"_iteration": None}

    def set(self, epoch: int) -> None:
        """Make `epoch` the next one, 0 to 2**32 - 1, in the samplers as well, as train.py does."""
        self.next = check_unsigned("epoch", epoch, 32)
        self._start = None
        self._set_sampler(self.next)
        self._known = self._now()

    def begin(self, world_size: int, split_by: str | None) -> Start:
        """Where the next iteration begins. The epoch of samplers and stream is set.

        Args:
            world_size: how many processes share the data.
            split_by: what splits the data by itself; None if the loader does.

        Raises:
            ValueError: a state was loaded that is of another number of processes, which `split_by`
                can't go on from.
        """
        state = self._state()
        if state is not None and split_by is not None:
            state.refuse_other_world_size(world_size, split_by)
        self.loaded = None
        start = Start(self._epoch() if state is None else state.epoch, state)
        if state is not None:
            self._set_sampler(state.sampler_epoch)
        if isinstance(self._samplers[1], EpochSampler):
            self._samplers[1].set_epoch(start.epoch)
        if hasattr(self._stream, "set_epoch"):
            self._stream.set_epoch(start.epoch)
        self._known = self._now()
        self.sampler_epoch = next((own for own in self._known if own is not None), None)
        self.next = (start.epoch + 1) % (1 << 32)
        self._start = start
        return start

    def begun(self, progress: Progress, iteration: Iteration) -> None:
        """Note the iteration that has begun."""
        self.latest = progress
        self._iteration = weakref.ref(iteration)

    def _state(self) -> State | None:
        """The state to go on from, if there is one."""
        if self.loaded is None and self._start is not None and self._unused():
            self.next = self._start.epoch
            return self._start.state
        return self.loaded

    def _unused(self) -> bool:
        """Whether the latest iteration was dropped before it gave a batch.

        Lightning makes one to see whether it can.
        """
        dropped = self._iteration is None or self._iteration() is None
        latest = self.latest
        return dropped and latest is not None and latest.images == 0 and not latest.over

    def _epoch(self) -> int:
        pairs = zip(self._now(), self._known, strict=True)
        changed = (now for now, before in pairs if now is not None and now != before)
        return next(changed, self.next)

    def _now(self) -> tuple[int | None, ...]:
        """The own epochs of samplers and data set, where they have any."""
        several = [
            getattr(owner, "epoch", None) if hasattr(owner, "set_epoch") else None
            for owner in self._owners
        ]
        return tuple(int(epoch) if isinstance(epoch, int) else None for epoch in several)

    def _set_sampler(self, epoch: int | None) -> None:
        """Set the epoch of the first sampler that has one."""
        for sampler in self._samplers:
            if epoch is not None and hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
                return
