"""How samples reach the core: found by itself, or fetched by a Python thread ahead of it.

Nothing here refers to an iteration, so that the thread does not keep one alive.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tied_augment import _core
from tied_augment.items import split
from tied_augment.exits import INSIDE
from tied_augment.loader.output import Buffers, Output
from tied_augment.located import Located
from tied_augment.ranks import Ranks
from tied_augment.skips import Skips

__all__ = ["Feed", "FetchedFeed", "LocatedFeed", "Pending", "StreamFeed", "Submission"]


@dataclass
class Pending:
    """A batch that has been begun.

    Attributes:
        asked: the index of each sample that the sampler asked for; of a stream, its number.
        indices: the same, or of a replacement once a sample has been skipped.
        first_views: the number of each sample's first view.
        choice: which of the loader's views to make.
        order: a checksum over the epoch's order with this batch; 0 in a stream.
        memory: what the core writes.
        rest: of each sample, what follows the image; empty if it is found by index.
        items: the samples with their rest, if a skipped one is replaced by another of the batch.
        in_a_row: how many samples have been skipped at a position.
        begun: set once the core has the batch, or `error` or `ended` is set.
        error: what went wrong before that.
        ended: there was nothing left.
    """

    asked: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    indices: NDArray[np.uint64] = field(init=False)
    first_views: NDArray[np.uint16] = field(default_factory=lambda: np.empty(0, np.uint16))
    choice: int = 0
    order: int = 0
    memory: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8, device="cpu"))
    rest: list[tuple[Any, ...]] = field(default_factory=list)
    items: list[tuple[Any, tuple[Any, ...]]] = field(default_factory=list)
    in_a_row: dict[int, int] = field(default_factory=dict)
    begun: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    ended: bool = False

    def __post_init__(self) -> None:
        self.indices = self.asked.copy()


@dataclass(frozen=True)
class Submission:
    """What the core must know of every batch.

    Attributes:
        core: the core's threads.
        shapes: for each choice: the number of views, and their (height, width).
    """

    core: _core.Loader
    shapes: Sequence[tuple[int, tuple[int, int]]]
    output: Output
    buffers: Buffers

    def begin(
        self, batch: Pending, catalog: _core.Catalog | None, samples: Sequence[Any] = ()
    ) -> None:
        """Hand a batch to the core."""
        views, size = self.shapes[batch.choice]
        with INSIDE:
            batch.memory = self.buffers.lend(self.output.size(views, len(batch.indices), *size))
            self.core.submit(
                catalog,
                samples,
                batch.indices,
                batch.first_views,
                batch.choice,
                cast("NDArray[np.uint8]", batch.memory.numpy()),
            )
        batch.begun.set()

    def redo(
        self,
        batch: Pending,
        catalog: _core.Catalog | None,
        samples: Sequence[Any],
        positions: Sequence[int],
    ) -> None:
        """Have the core make some samples of a finished batch again, from its present indices."""
        chosen = list(positions)
        indices, views = batch.indices[chosen], batch.first_views[chosen]
        self.core.redo(catalog, samples, indices, views, chosen)


class Feed(ABC):
    """Begins batches, and finds replacements for samples that failed."""

    @abstractmethod
    def begin(self, batch: Pending) -> None:
        """Begin a batch; it may be fetched first, so that ``batch.begun`` is set later."""

    @abstractmethod
    def replace(self, batch: Pending, failed: Sequence[int]) -> None:
        """Have the core make samples at positions anew, from the samples that come next."""

    def lost(self, batch: Pending, failed: int) -> bool:  # noqa: ARG002  (by default never)
        """Whether no sample is left that could replace those that failed."""
        return False

    @abstractmethod
    def rest(self, batch: Pending) -> list[tuple[Any, ...]]:
        """What follows the image, for each sample of a batch."""

    def close(self) -> None:  # noqa: B027  (by default nothing runs)
        """End what runs in the background."""


class LocatedFeed(Feed):
    """Samples that the core reads by itself."""

    def __init__(self, submission: Submission, located: Located, catalog: _core.Catalog) -> None:
        self._submission = submission
        self._catalog = catalog
        self._rest = located.rest

    def begin(self, batch: Pending) -> None:
        """See `Feed.begin`."""
        self._submission.begin(batch, self._catalog)

    def replace(self, batch: Pending, failed: Sequence[int]) -> None:
        """See `Feed.replace`."""
        for position in failed:
            batch.indices[position] = (int(batch.indices[position]) + 1) % len(self._catalog)
        self._submission.redo(batch, self._catalog, (), failed)

    def rest(self, batch: Pending) -> list[tuple[Any, ...]]:
        """See `Feed.rest`."""
        return [self._rest(index) for index in batch.indices.tolist()]


class _ThreadFeed(Feed):
    """Samples that a thread of Python's fetches, one after the other."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission
        self._asked: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        # A daemon, since a data set that never answers must not hold up the interpreter's exit;
        # the iteration's finalizer ends it before that where it can be ended.
        self._thread = threading.Thread(target=self._run, name="tied-fetch", daemon=True)
        self._started = False

    def begin(self, batch: Pending) -> None:
        """See `Feed.begin`."""
        if not self._started:
            self._started = True
            self._thread.start()
        self._asked.put(batch)

    def rest(self, batch: Pending) -> list[tuple[Any, ...]]:
        """See `Feed.rest`."""
        return batch.rest

    def close(self) -> None:
        """See `Feed.close`."""
        self._stop.set()
        self._asked.put(None)
        if self._started and self._thread is not threading.current_thread():
            # It ends after the item that it is at, at the latest; not all can be waited for.
            self._thread.join(timeout=0.5)

    def _run(self) -> None:
        while (batch := self._asked.get()) is not None:
            try:
                self._fetch(batch)
            except BaseException as error:  # raised where the batch is waited for
                batch.error = error
                batch.begun.set()
                return
            if batch.ended:
                batch.begun.set()
                return
            # Not to keep the batch alive until the next one.
            del batch

    @abstractmethod
    def _fetch(self, batch: Pending) -> None:
        """Get the samples of a batch, and begin it."""


class FetchedFeed(_ThreadFeed):
    """Items of a map-style data set."""

    def __init__(
        self, submission: Submission, read: Callable[[int], Any], length: int, skips: Skips
    ) -> None:
        super().__init__(submission)
        self._read = read
        self._length = length
        self._skips = skips
        # Replacements are fetched by the consumer's thread.
        self._reading = threading.Lock()

    def _fetch(self, batch: Pending) -> None:
        samples = []
        for position in range(len(batch.indices)):
            if self._stop.is_set():
                return
            sample, rest = self._good(batch, position)
            samples.append(sample)
            batch.rest.append(rest)
        self._submission.begin(batch, None, samples)

    def replace(self, batch: Pending, failed: Sequence[int]) -> None:
        """See `Feed.replace`."""
        samples = []
        for position in failed:
            batch.indices[position] = (int(batch.indices[position]) + 1) % self._length
            sample, batch.rest[position] = self._good(batch, position)
            samples.append(sample)
        self._submission.redo(batch, None, samples, failed)

    def _good(self, batch: Pending, position: int) -> tuple[Any, tuple[Any, ...]]:
        while True:
            index = int(batch.indices[position])
            try:
                with self._reading:
                    return split(self._read(index))
            except OSError as error:
                batch.in_a_row[position] = batch.in_a_row.get(position, 0) + 1
                self._skips.pass_by(index, error, batch.in_a_row[position])
            batch.indices[position] = (index + 1) % self._length


class StreamFeed(_ThreadFeed):
    """Items of an iterable data set, numbered as they come.

    Args:
        samples: this rank's.
        done: how many samples to pass over.
        ranks: this rank and the number of all, which number the samples: the n-th one here is
            number rank + n * world_size of all.
        skips: what happens to bad samples. Among several ranks no batch may be left out, as the
            others would wait for it: samples of the first batch replace those of one that has no
            good sample.
    """

    def __init__(
        self,
        submission: Submission,
        samples: Iterable[Any],
        batch_size: int,
        drop_last: bool,
        done: int,
        ranks: Ranks,
        skips: Skips,
    ) -> None:
        super().__init__(submission)
        self._samples = samples
        self._batch_size = batch_size
        self._drop_last = drop_last
        self._done = done
        self._ranks = ranks
        self._keeps = ranks.world_size > 1 and skips.on_error == "skip"
        self._first: list[tuple[int, tuple[Any, tuple[Any, ...]]]] = []
        self._iterator: Iterator[Any] | None = None

    def _fetch(self, batch: Pending) -> None:
        if self._iterator is None:
            self._iterator = iter(self._samples)
            for number, item in enumerate(islice(self._iterator, self._done)):
                if self._stop.is_set():
                    return
                self._keep(number, item)
        for number, item in enumerate(islice(self._iterator, self._batch_size), self._done):
            if self._stop.is_set():
                return
            self._keep(number, item)
            batch.items.append(split(item))
        count = len(batch.items)
        if count == 0 or (self._drop_last and count < self._batch_size):
            batch.ended = True
            return
        numbers = range(self._done, self._done + count)
        batch.asked = np.asarray([self._number(number) for number in numbers], np.uint64)
        batch.indices = batch.asked.copy()
        batch.rest = [rest for _, rest in batch.items]
        batch.first_views = np.zeros(count, np.uint16)
        self._done += count
        self._submission.begin(batch, None, [sample for sample, _ in batch.items])

    def _number(self, number: int) -> int:
        return self._ranks.rank + self._ranks.world_size * number

    def _keep(self, number: int, item: Any) -> None:
        if self._keeps and number < self._batch_size:
            self._first.append((self._number(number), split(item)))

    def lost(self, batch: Pending, failed: int) -> bool:
        """See `Feed.lost`: in a single process a batch's own samples are all there is."""
        return not self._first and failed == len(batch.items)

    def replace(self, batch: Pending, failed: Sequence[int]) -> None:
        """See `Feed.replace`."""
        # The next in the stream would depend on how far ahead it has been read.
        samples = []
        # From what came, not from `indices` and `rest`: those may be replaced, too.
        others = list(zip(batch.asked.tolist(), batch.items, strict=True))
        if self._first and len(failed) == len(others):
            others = self._first
        for position in failed:
            other = others[(position + batch.in_a_row[position]) % len(others)]
            batch.indices[position], (sample, batch.rest[position]) = other
            samples.append(sample)
        self._submission.redo(batch, None, samples, failed)
