"""Samplers: the loader's own, and how those of others are read, numbered and resumed.

A sampler's order can't be saved. What can be saved is all that it draws from: torch's random state,
its own generator and its epoch. A resumed epoch iterates the sampler again from there, passes over
what is done, and compares a `checksum` over the order with the saved one.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from tied_augment.arguments import check_bool, check_unsigned

__all__ = [
    "OTHER_ORDER",
    "Asked",
    "Drawn",
    "EpochSampler",
    "Occurrences",
    "batch_of",
    "begin",
    "checksum",
    "index_of",
    "random_state",
    "restore_generators",
    "seeded",
]


OTHER_ORDER = (
    "the sampler does not give the batches that it gave before the state was saved: it must be the "
    "same one, over the same data set, and draw its order from its epoch or from torch's random "
    "state"
)


class EpochSampler(Sampler[int]):
    """Every index once, in an order that follows from (`seed`, epoch) alone.

    The order of torch's ``RandomSampler`` depends on all that was drawn from the global random
    state before.

    Args:
        dataset: anything with a length.
        shuffle: False for 0, 1, 2, ...
        seed: the run's seed, 0 to 2**64 - 1.

    Raises:
        TypeError, ValueError: an argument of the wrong type, or out of its range.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int = 0) -> None:
        if not hasattr(dataset, "__len__"):
            kind = type(dataset).__name__
            raise TypeError(f"dataset must have a length, got {kind}: a range(n) will do, too")
        self.dataset = dataset
        self.shuffle = check_bool("shuffle", shuffle)
        self.seed = check_unsigned("seed", seed, 64)
        self.epoch = 0

    def __repr__(self) -> str:
        return f"EpochSampler(shuffle={self.shuffle}, seed={self.seed})"

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            return iter(range(len(self)))
        # A generator per pair. With seed + epoch, seeds would share their orders.
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, self.epoch]))
        return iter(rng.permutation(len(self)).tolist())

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, 0 to 2**32 - 1. Call this before its iteration begins."""
        self.epoch = check_unsigned("epoch", epoch, 32)


class Drawn(int):
    """An index that was drawn for one of several ranks.

    Attributes:
        before: how often it came before in the epoch, on any rank.
        checksum: over what all ranks have drawn so far, with this index's group.
    """

    before: int
    checksum: int


@dataclass(frozen=True)
class Asked:
    """A batch that a sampler asks for.

    Attributes:
        indices: of its samples.
        before: `Drawn.before` of each; None if the sampler gives plain indices.
        checksum: `Drawn.checksum` of the last; None if the sampler gives plain indices.
        choice: which of the loader's views to make, as timm's scheduled sampler says.
    """

    indices: NDArray[np.uint64]
    before: list[int] | None
    checksum: int | None
    choice: int


def index_of(entry: Any, length: int) -> int:
    """The index that a sampler gave, counted from 0.

    Raises:
        TypeError: not an index.
        IndexError: an index beyond `length`.
    """
    try:
        number = operator.index(entry)
    except TypeError:
        raise TypeError(
            f"a sampler must give indices, a batch_sampler lists of indices: got {entry!r}"
        ) from None
    if not -length <= number < length:
        raise IndexError(f"index {number} of a data set of {length} samples")
    return number % length


def batch_of(batch: Any, length: int) -> Asked:
    """Read what a batch sampler gave. timm's scheduled sampler gives a choice with each index.

    Raises:
        TypeError: not a batch of indices.
        IndexError: an index beyond `length`.
        ValueError: a batch of several choices, or an empty one.
    """
    if not isinstance(batch, Iterable):
        raise TypeError(f"a batch_sampler must give lists of indices, got {batch!r}")
    entries = list(batch)
    choices = {entry[1] for entry in entries if isinstance(entry, tuple)} or {0}
    if len(choices) > 1 or not entries:
        raise ValueError(f"a batch must have samples, and one size for all: got {entries!r}")
    indices = [entry[0] if isinstance(entry, tuple) else entry for entry in entries]
    drawn = [index for index in indices if isinstance(index, Drawn)]
    return Asked(
        np.asarray([index_of(index, length) for index in indices], np.uint64),
        [index.before for index in drawn] or None,
        drawn[-1].checksum if drawn else None,
        operator.index(choices.pop()),
    )


class Occurrences:
    """Numbers the views of samples that come several times in an epoch, so that they differ.

    Args:
        length: the number of samples in the data set.
        views: how many views a sample has each time, at most.
        sampler: a sampler with `num_repeats`, such as timm's ``RepeatAugSampler``, gives the
            repeats of a sample to different ranks. Their views are numbered by rank, too.
    """

    def __init__(self, length: int, views: int, sampler: Any) -> None:
        self._seen = np.zeros(length, np.uint32)
        self._views = views
        across = hasattr(sampler, "num_repeats")
        self._rank = sampler.rank if across else 0
        self._ranks = sampler.num_replicas if across else 1

    def first_views(
        self, indices: NDArray[np.uint64], before: list[int] | None = None
    ) -> NDArray[np.uint16]:
        """The number of the first view of each sample of the next batch.

        Args:
            indices: the batch's.
            before: how often each came before; None to count here.

        Raises:
            ValueError: the number of a view would have more than 16 bits, so views would repeat.
        """
        times = np.asarray(before or [self.count(index) for index in indices.tolist()], np.int64)
        first = (times * self._ranks + self._rank) * self._views
        most = int(first.argmax())
        if first[most] + self._views > 1 << 16:
            raise ValueError(
                f"sample {indices[most]} comes more than {times[most]} times in an epoch: the "
                "number of a view has 16 bits, so its views would repeat. Make epochs shorter"
            )
        return first.astype(np.uint16)

    def count(self, index: int) -> int:
        """How often an index came before. This time is counted."""
        before = int(self._seen[index])
        self._seen[index] += 1
        return before


def checksum(indices: NDArray[np.uint64], before: int) -> int:
    """A checksum over indices, and over what came before them."""
    return zlib.crc32(indices.tobytes(), before)


def random_state(samplers: Sequence[Any]) -> dict[str, torch.Tensor]:
    """All that torch's samplers draw from: the global state, and that of their own generator."""
    state = {"global": torch.get_rng_state()}
    for sampler in samplers:
        generator = getattr(sampler, "generator", None)
        if isinstance(generator, torch.Generator):
            state["generator"] = generator.get_state()
    return state


def restore_generators(samplers: Sequence[Any], state: dict[str, torch.Tensor]) -> None:
    """Set the samplers' own generators to what `random_state` gave."""
    for sampler in samplers:
        generator = getattr(sampler, "generator", None)
        if isinstance(generator, torch.Generator) and "generator" in state:
            generator.set_state(state["generator"])


def seeded(*key: int) -> torch.Tensor:
    """A global random state that follows from `key` alone."""
    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    return torch.Generator("cpu").manual_seed(seed).get_state()


def begin(
    batch_sampler: Iterable[Any],
    samplers: Sequence[Any],
    state: dict[str, torch.Tensor],
    done: int,
) -> Iterator[Any]:
    """Iterate a batch sampler from a random state on.

    The global random state is left as it is.

    Args:
        batch_sampler: what is iterated.
        samplers: those that may have a generator.
        state: what `random_state` gave before the epoch.
        done: how many batches are done, which come first again.
    """
    restore_generators(samplers, state)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(state["global"])
        batches = iter(batch_sampler)
        # Samplers draw when their first index is asked for, so that must happen in here.
        drawn = list(islice(batches, done + 1))
    return chain(drawn, batches)
