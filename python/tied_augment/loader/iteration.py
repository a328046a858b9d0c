"""One epoch under way.

An iteration keeps `ahead` batches begun: in the core, or on their way to it in the feed's thread.
The consumer gets them in order. When the oldest is finished, the core says which of its samples
failed. The feed has these made again from others, until none fails. Then the batch is delivered,
and the next one is begun.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from tied_augment import _core
from tied_augment.exits import INSIDE
from tied_augment.loader.feed import Feed
from tied_augment.loader.output import Delivery
from tied_augment.loader.pending import Pending
from tied_augment.loader.progress import Progress
from tied_augment.skips import Skips

__all__ = ["Iteration"]

# How long to sleep in the core at most, in seconds: signals are handled in between.
_NAP = 0.1


class Iteration(Iterator[Any]):
    """The batches of one epoch, in order.

    Dropped, closed, exhausted, or when the interpreter exits, it ends its threads. Several threads
    may take batches from it; each batch goes to one of them.

    Args:
        core: the core's threads.
        feed: what begins batches there.
        batches: what to begin, in order.
        deliver: makes what the consumer gets.
        ahead: how many batches to have under way.
        skips: what happens to samples that fail.
        progress: what the iteration notes.
    """

    def __init__(
        self,
        core: _core.Loader,
        feed: Feed,
        batches: Iterator[Pending],
        deliver: Delivery,
        ahead: int,
        skips: Skips,
        progress: Progress,
    ) -> None:
        self._core = core
        self._feed = feed
        self._batches = batches
        self._deliver = deliver
        self._ahead = ahead
        self._skips = skips
        self._progress = progress
        self._pending: deque[Pending] = deque()
        # Samples skipped in a row, in batches that were left out.
        self._lost = 0
        self._delivered_at: float | None = None
        self._closed = False
        self._turn = threading.RLock()
        self._process = os.getpid()
        self._close = weakref.finalize(self, _close, core, feed)
        try:
            self._begin_batches()
        except BaseException:
            self.close()
            raise

    def __next__(self) -> Any:
        with INSIDE:
            # Of several threads each gets batches of its own.
            while not self._turn.acquire(timeout=_NAP):
                INSIDE.check()
                if os.getpid() != self._process:
                    self._core.ready()  # raises: the thread whose turn it is stayed in the parent
            try:
                return self._next()
            finally:
                self._turn.release()

    def _next(self) -> Any:
        if not self._close.alive:
            if self._closed:
                raise StopIteration
            # A hook of `atexit` that runs after ours must not take this for the epoch's end.
            raise RuntimeError("the interpreter is exiting, which has ended this iteration")
        asked_at = time.perf_counter()
        progress = self._progress
        if self._delivered_at is not None:
            progress.consumed += asked_at - self._delivered_at
        try:
            progress.ready = self._core.ready()
            self._begin_batches()
            batch = self._finished()
            if batch is not None:
                result = self._deliver(batch, self._feed.rest(batch))
                # Now, so that `ahead` batches are under way while the consumer works.
                self._begin_batches()
                progress.busy = self._core.counts()["busy"]
        except StopIteration as error:
            self.close()
            # Raised from here, it would look like the end of the epoch.
            raise RuntimeError("the data set or collate_fn raised StopIteration") from error
        except BaseException:
            self.close()
            raise
        if batch is None:
            progress.over = True
            self.close()
            raise StopIteration
        progress.passed(batch)
        progress.images += len(batch.indices)
        self._delivered_at = time.perf_counter()
        progress.waited += self._delivered_at - asked_at
        return result

    def close(self) -> None:
        """End the threads, and give back all memory but that of batches in use."""
        if self._close.alive:
            self._closed = True
            self._progress.ended = time.perf_counter()
            self._close()
        # A thread that is taking a batch will find the iteration closed, and come here itself.
        if self._turn.acquire(blocking=False):
            self._pending.clear()
            self._turn.release()

    def _begin_batches(self) -> None:
        while len(self._pending) < self._ahead:
            batch = next(self._batches, None)
            if batch is None:
                return
            self._pending.append(batch)
            self._feed.begin(batch)

    def _finished(self) -> Pending | None:
        """Wait for the next batch that is not left out; None if there is none."""
        while (batch := self._begun()) is not None:
            made = self._made(batch)
            self._pending.popleft()
            if made:
                return batch
            self._progress.passed(batch)
            self._begin_batches()
        return None

    def _begun(self) -> Pending | None:
        """Wait until the core has the next batch; None if there is none."""
        if not self._pending:
            return None
        batch = self._pending[0]
        while not batch.begun.wait(_NAP):
            INSIDE.check()
            self._core.ready()  # raises after a fork, where no thread is left
        if batch.error is not None:
            raise batch.error
        return None if batch.ended else batch

    def _made(self, batch: Pending) -> bool:
        """Wait until a batch is made, replacing samples that fail; False if nothing can."""
        while failures := self._failures(batch):
            if self._feed.lost(batch, len(failures)):
                for position, error in failures:
                    self._lost += 1
                    self._skips.pass_by(int(batch.indices[position]), error, self._lost)
                return False
            for position, error in failures:
                batch.in_a_row[position] = batch.in_a_row.get(position, 0) + 1
                index = int(batch.indices[position])
                self._skips.pass_by(index, error, batch.in_a_row[position])
            self._feed.replace(batch, [position for position, _ in failures])
        self._lost = 0
        return True

    def _failures(self, batch: Pending) -> list[tuple[int, Exception]]:
        """Wait until the core is done with a batch: the positions that failed, and why."""
        while (failures := self._core.wait(_NAP)) is None:
            INSIDE.check()
        return [(position, batch.failure(position, error)) for position, error in failures]


def _close(core: _core.Loader, feed: Feed) -> None:
    core.close()
    feed.close()
