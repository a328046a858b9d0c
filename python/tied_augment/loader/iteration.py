"""One epoch under way."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tied_augment import _core
from tied_augment.exits import INSIDE
from tied_augment.loader.fetch import Feed, Pending
from tied_augment.skips import Skips

__all__ = ["Iteration", "Progress"]

# How long to sleep in the core at most, in seconds: signals are handled in between.
_NAP = 0.1


@dataclass
class Progress:
    """How far an epoch has got, and what it waited for.

    Attributes:
        epoch: the epoch.
        batches: delivered, or left out because none of their samples is good.
        order: a checksum over the epoch's order up to these; 0 in a stream.
        over: whether there are no more.
        images: samples delivered since the iteration began.
        began: when it began.
        waited: seconds that the consumer waited for a batch.
        consumed: seconds that it spent with the batches.
        busy: seconds that the core's threads worked, summed.
        ready: batches that were finished when the last one was asked for.
        ended: when the iteration ended.
    """

    epoch: int
    batches: int = 0
    order: int = 0
    over: bool = False
    images: int = 0
    began: float = 0.0
    waited: float = 0.0
    consumed: float = 0.0
    busy: float = 0.0
    ready: int = 0
    ended: float | None = None

    def passed(self, batch: Pending) -> None:
        """Note that the epoch goes on after this batch, also when it is resumed."""
        self.batches += 1
        self.order = batch.order


class Iteration(Iterator[Any]):
    """The batches of one epoch, in order.

    Dropped, closed, exhausted, or when the interpreter exits, it ends its threads.

    Args:
        core: the core's threads.
        feed: what begins batches there.
        batches: what to begin, in order.
        deliver: makes what the consumer gets.
        ahead: how many batches to have under way.
    """

    def __init__(
        self,
        core: _core.Loader,
        feed: Feed,
        batches: Iterator[Pending],
        deliver: Callable[[Pending, list[tuple[Any, ...]]], Any],
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
        # Samples of batches left out since the last one that was not.
        self._lost = 0
        self._delivered_at: float | None = None
        self._closed = False
        self._close = weakref.finalize(self, _close, core, feed)
        progress.began = time.perf_counter()
        try:
            self._begin_batches()
        except BaseException:
            self.close()
            raise

    def __next__(self) -> Any:
        with INSIDE:
            return self._next()

    def _next(self) -> Any:
        if not self._close.alive:
            raise SystemExit if self._ended_by_exit() else StopIteration
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
                # While the consumer works, as many batches as ever are under way.
                self._begin_batches()
                progress.busy = self._core.counts()["busy"]
        except StopIteration as error:
            self.close()
            # As from here it would look like the end of the epoch.
            raise RuntimeError("the data set or collate_fn raised StopIteration") from error
        except BaseException:
            if self._ended_by_exit():
                raise SystemExit from None
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
            self._pending.clear()

    def _ended_by_exit(self) -> bool:
        """Whether the interpreter's exit has ended it, in the midst of a daemon thread's work.

        That thread must end without a word, and must not take it for the end of the epoch:
        `threading` ignores SystemExit.
        """
        return INSIDE.must_leave() or (not self._close.alive and not self._closed)

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
            self._leave_if_asked()
            self._core.ready()  # says so if there is no thread left, after a fork
        if batch.error is not None:
            raise batch.error
        return None if batch.ended else batch

    def _made(self, batch: Pending) -> bool:
        """Wait until a batch is made, replacing samples that fail; False if nothing can."""
        while failures := self._failures():
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

    def _failures(self) -> list[tuple[int, Exception]]:
        while (failures := self._core.wait(_NAP)) is None:
            self._leave_if_asked()
        return failures

    def _leave_if_asked(self) -> None:
        if INSIDE.must_leave():
            raise SystemExit


def _close(core: _core.Loader, feed: Feed) -> None:
    core.close()
    feed.close()
