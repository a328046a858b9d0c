"""How far an epoch has got, and what it waited for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tied_augment.loader.pending import Pending

__all__ = ["Progress"]


@dataclass
class Progress:
    """How far an epoch has got, and what it waited for.

    Attributes:
        epoch: the epoch.
        batches: delivered, or left out because none of their samples is good.
        entries: how far that is in the epoch's order (`State.entries`).
        checksum: over the epoch's order up to these; 0 in a stream.
        world_size: how many processes share the data.
        of_batches: whether the entries are batches of a batch sampler.
        over: whether there are no more.
        images: samples delivered since the iteration began.
        began: when the iteration began.
        waited: seconds that the consumer waited for a batch.
        consumed: seconds that it spent with the batches.
        busy: seconds that the core's threads worked, summed.
        ready: batches that were finished when the last one was asked for.
        ended: when the iteration ended.
    """

    epoch: int
    batches: int = 0
    entries: int = 0
    checksum: int = 0
    world_size: int = 1
    of_batches: bool = False
    over: bool = False
    images: int = 0
    began: float = field(default_factory=time.perf_counter)
    waited: float = 0.0
    consumed: float = 0.0
    busy: float = 0.0
    ready: int = 0
    ended: float | None = None

    def passed(self, batch: Pending) -> None:
        """Count a batch as done: a resumed epoch goes on after it."""
        self.batches += 1
        self.entries += self.world_size * (1 if self.of_batches else len(batch.indices))
        self.checksum = batch.checksum
