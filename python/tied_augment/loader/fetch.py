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
from itertools import islice
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
        samples: this rank's, from the beginning.
        batch_size: of these.
        drop_last: leave out what does not fill a batch.
        done: how many of the samples are passed over.
        ranks: this rank and the number of all. They number the samples: the n-th one here is number
            rank + n * world_size of all.
        keep_first: keep the first batch, whose samples replace those of a batch without a good one.
            Among several ranks such a batch may not be left out, as the others would wait for it.
    """

    samples: Iterable[Any]
    batch_size: int
    drop_last: bool
    done: int
    ranks: Ranks
    keep_first: bool

    def number(self, position: int) -> int:
        """The number in the whole stream of a sample of this rank."""
        return self.ranks.rank + self.ranks.world_size * position


class StreamFeed(_ThreadFeed):
    """Items of an iterable data set, numbered as they come."""

    def __init__(self, submission: Submission, part: StreamPart) -> None:
        super().__init__(submission)
        self._part = part
        self._done = part.done
        self._first: list[Item] = []
        self._iterator: Iterator[Any] | None = None

    def _fetch(self, batch: Pending) -> None:
        if self._iterator is None:
            self._iterator = iter(self._part.samples)
            for position, given in enumerate(islice(self._iterator, self._done)):
                if self._stop.is_set():
                    return
                if self._keeps(position):
                    self._first.append(self._item(position, given))
        size = self._part.batch_size
        for position, given in enumerate(islice(self._iterator, size), self._done):
            if self._stop.is_set():
                return
            item = self._item(position, given)
            batch.came.append(item)
            if self._keeps(position):
                self._first.append(item)
        count = len(batch.came)
        if count == 0 or (self._part.drop_last and count < size):
            batch.ended = True
            return
        batch.take(batch.came)
        batch.first_views = np.zeros(count, np.uint16)
        self._done += count
        self._submission.begin(batch, None, [item.image for item in batch.came])

    def _item(self, position: int, given: Any) -> Item:
        return _item(self._part.number(position), lambda _: given)

    def _keeps(self, position: int) -> bool:
        return self._part.keep_first and position < self._part.batch_size

    def lost(self, batch: Pending, failed: int) -> bool:
        """See `Feed.lost`: in a single process a batch's own samples are all there is."""
        return not self._first and failed == len(batch.came)

    def replace(self, batch: Pending, failed: Sequence[int]) -> None:
        """See `Feed.replace`."""
        # Not by the next in the stream: which one that is depends on how far ahead has been read.
        others = batch.came
        if self._first and len(failed) == len(others):
            others = self._first
        images = []
        for position in failed:
            other = others[(position + batch.in_a_row[position]) % len(others)]
            batch.put(position, other)
            images.append(other.image)
        self._submission.redo(batch, None, images, failed)
