"""What a run's random numbers follow from, so that a resumed run draws what the unbroken one would.

timm seeds a run once, at its start, and each draw depends on all draws before it. Lives here:
`EpochSeeds`, which begins each epoch, and each batch that is mixed, from numbers of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from timm.utils.random import random_seed
from torch.utils.data import get_worker_info

__all__ = ["EpochSeeds"]


class EpochSeeds:
    """Seeds of one process of a run.

    Args:
        seed: the run's, 0 to 2**32 - 1.
        rank: of the process, so that no two draw the same.
    """

    def __init__(self, seed: int, rank: int) -> None:
        self._key = (seed, rank)
        self._epoch = 0
        self._mixed = 0

    def begin(self, epoch: int) -> None:
        """Seed torch, numpy and Python's random from (seed, rank, epoch).

        From these draw: dropout, random erasing, the order of timm's loader, and the states in
        which its worker processes start.
        """
        self._epoch, self._mixed = epoch, 0
        (state,) = np.random.SeedSequence([*self._key, epoch]).generate_state(1)
        random_seed(int(state))

    @contextmanager
    def mixing(self) -> Iterator[None]:
        """Let numpy draw from (seed, rank, epoch, batch) in the block, which mixes the next batch.

        In a worker process of DataLoader, which gives batches to its workers in turn, too. A
        worker that lives longer than an epoch, as with --use-multi-epochs-loader, fetches batches
        ahead of `begin`: it stays with its first epoch and counts on.
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
