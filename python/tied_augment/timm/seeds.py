"""Seeds per epoch and per mixed batch, so that a resumed run draws what the unbroken one draws.

timm seeds a run once, at its start, so each draw depends on all draws before it. `EpochSeeds` seeds
again at the start of every epoch and for every batch that is mixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from timm.utils.random import random_seed
from torch.utils.data import get_worker_info

__all__ = ["EpochSeeds"]


class EpochSeeds:
    """The seeds of one process of a run.

    Args:
        seed: the run's, 0 to 2**32 - 1.
        rank: the process's, so that no two processes draw the same numbers.
    """

    def __init__(self, seed: int, rank: int) -> None:
        self._key = (seed, rank)
        self._epoch = 0
        self._mixed = 0

    def begin(self, epoch: int) -> None:
        """Seed torch, numpy and Python's random from (seed, rank, epoch).

        Dropout, random erasing, the order of timm's loader and the seeds of its worker processes
        are drawn from these.
        """
        self._epoch, self._mixed = epoch, 0
        (state,) = np.random.SeedSequence([*self._key, epoch]).generate_state(1)
        random_seed(int(state))

    @contextmanager
    def mixing(self) -> Iterator[None]:
        """Seed numpy from (seed, rank, epoch, batch) in the block, which mixes the next batch.

        This also holds in a worker process of DataLoader, which gives batches to its workers in
        turn. A worker that outlives an epoch, as with --use-multi-epochs-loader, fetches batches
        before `begin` is called for their epoch: it keeps its first epoch and goes on counting.
        """
        worker = get_worker_info()
        batch = self._mixed
        if worker is not None:
            batch = worker.id + worker.num_workers * self._mixed
        self._mixed += 1
        state = np.random.get_state()
        np.random.seed([*self._key, self._epoch, batch])
        try:
            yield
        finally:
            np.random.set_state(state)
