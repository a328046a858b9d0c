"""Feeds for data sets that only Python can read: one thread fetches samples, ahead of the core.

A sample that the data set's own code or Pillow can't read is given to the core as an empty file.
The core then reports it among the samples that failed, so that all failures go one way. The error
that is raised or logged is the one of the data set (`Pending.unreadable`).
"""

from __future__ import annotations

import queue
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Any

import numpy as np

from tied_augment.exits import INSIDE
from tied_augment.items import Item, item_of
from tied_augment.loader.feed import Feed, Submission
from tied_augment.loader.pending import Pending
from tied_augment.ranks import Ranks

__all__ = ["FetchedFeed", "StreamFeed", "StreamPart"]


class _ThreadFeed(Feed):
    """Samples that a Python thread fetches, one after the other."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission
        self._asked: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        # A daemon, since a data set that never answers must not hold up the interpreter's exit.
        # The iteration's finalizer ends the thread before that where it can be ended.
        self._thread = threading.Thread(target=self._run, name="tied-fetch", daemon=True)
        self._started = False

    def begin(self, batch: Pending) -> None:
        """See `Feed.begin`."""
        if not self._started:
            self._start()
        self._asked.put(batch)

    def _start(self) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:
            raise RuntimeError(
                f"cannot start the thread that calls the data set: {error}; raise the limits on "
                "memory and processes (ulimit -v, -u), or start fewer threads elsewhere"
            ) from error
        self._started = True

    def rest(self, batch: Pending) -> Sequence[tuple[Any, ...]]:
        """See `Feed.rest`."""
        return batch.rest

    def close(self) -> None:
        """See `Feed.close`."""
        self._stop.set()
        self._asked.put(None)
        own = self._thread is threading.current_thread()
        if self._started and not own and not INSIDE.exiting:
            # It ends after the item that it is at. Some items take too long to wait for.
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
            # Otherwise this name would keep the batch alive until the next one comes.
            del batch

    @abstractmethod
    def _fetch(self, batch: Pending) -> None:
        """Get the samples of a batch, and begin it."""


def _item(index: int, read: Callable[[int], Any]) -> Item:
    """The item at `index`, with its error if it can't be read."""
    try:
        return item_of(index, read(index))
    except OSError as error:
        return Item(index, b"", (), error)


def _given(number: int, given: Any) -> Item:
    """The item that a stream gave."""
    return _item(number, lambda _: given)


class FetchedFeed(_ThreadFeed):
    """Items of a map-style data set.

    Args:
        submission: what the core must know.
        read: index to item.
        length: the number of samples.
    """

    def __init__(self, submission: Submission, read: Callable[[int], Any], length: int) -> None:
        super().__init__(submission)
        self._read = read
        self._length = length
        # Replacements are fetched by the consumer's thread.
        self._reading = threading.Lock()

    def _item(self, index: int) -> Item:
        with self._reading:
            return _item(index, self._read)

    def _fetch(self, batch: Pending) -> None:
        items = []
        for index in batch.indices.tolist():
            if self._stop.is_set():
                return
            items.append(self._item(index))
        batch.take(items)
        self._submission.begin(batch, None, [item.image for item in items])

    def replace(self, batch: Pending, failed: Sequence[int]) -> None:
        """See `Feed.replace`."""
        images = []
        for position in failed:
            item = self._item((int(batch.indices[position]) + 1) % self._length)
            batch.put(position, item)
            images.append(item.image)
        self._submission.redo(batch, None, images, failed)


@dataclass(frozen=True)
class StreamPart:
    """Which samples of a stream make this rank's batches.

    Attributes:
        samples: of all ranks, from the beginning; or this rank's, if `is_split`.
        batch_size: of this rank's samples.
        drop_last: leave out what does not fill a batch, or a group of all ranks.
        done: how many samples of all ranks are passed over.
        ranks: this rank and the number of all.
        is_split: whether the stream splits by rank itself. Then the n-th sample of this rank is
            number rank + n * world_size of all.
        keep_first: keep the first batch, whose samples replace those of a batch without a good one.
            Among several ranks such a batch may not be left out, as the others would wait for it.
    """

    samples: Iterable[Any]
    batch_size: int
    drop_last: bool
    done: int
    ranks: Ranks
    is_split: bool
    keep_first: bool

    def __iter__(self) -> Iterator[tuple[int, bool, Any]]:
        """Of each of this rank's samples its number among all, whether it is done, and itself."""
        rank, size = self.ranks.rank, self.ranks.world_size
        if self.is_split:
            for number, sample in zip(count(rank, size), self.samples):
                yield number, number < self.done, sample
            return
        samples = iter(self.samples)
        first = []
        for number, sample in enumerate(islice(samples, self.done)):
            if number < size:
                first.append(sample)
            if number % size == rank:
                yield number, True, sample
        groups = self.ranks.groups(samples, self.drop_last, first)
        for number, group in zip(count(self.done + rank, size), groups):
            yield number, False, group[rank]


class StreamFeed(_ThreadFeed):
    """Items of an iterable data set, numbered as they come."""

    def __init__(self, submission: Submission, part: StreamPart) -> None:
        super().__init__(submission)
        self._part = part
        self._first: list[Item] = []
        self._samples: Iterator[tuple[int, bool, Any]] | None = None

    def _fetch(self, batch: Pending) -> None:
        if self._samples is None:
            self._samples = iter(self._part)
            for number, done, given in self._samples:
                if self._stop.is_set():
                    return
                if not done:
                    self._samples = chain([(number, done, given)], self._samples)
                    break
                if self._keeps():
                    self._first.append(_given(number, given))
        size = self._part.batch_size
        for number, _, given in islice(self._samples, size):
            if self._stop.is_set():
                return
            item = _given(number, given)
            batch.came.append(item)
            if self._keeps():
                self._first.append(item)
        came = len(batch.came)
        if came == 0 or (self._part.drop_last and came < size):
            batch.ended = True
            return
        batch.take(batch.came)
        batch.first_views = np.zeros(came, np.uint16)
        self._submission.begin(batch, None, [item.image for item in batch.came])

    def _keeps(self) -> bool:
        return self._part.keep_first and len(self._first) < self._part.batch_size

    def lost(self, batch: Pending, failed: int) -> bool:
        """See `Feed.lost`: in a single process a batch's own samples are all there is."""
        return not self._first and failed == len(batch.came)

    def replace(self, batch: Pending, failed: Sequence[int]) -> None:
        """See `Feed.replace`."""
        # Not by the next in the stream: which one that is depends on how far ahead has been read.
        if self._first and len(failed) == len(batch.came):
            batch.came = self._first
        images = []
        for position in failed:
            other = batch.came[(position + batch.in_a_row[position]) % len(batch.came)]
            batch.put(position, other)
            images.append(other.image)
        self._submission.redo(batch, None, images, failed)
