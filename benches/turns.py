"""Turns: while one loader is measured, the worker processes of all others are stopped.

Workers that wait for work should use no time. But they poll, they may make batches ahead, and their
libraries have threads of their own. A stopped process does nothing of this. The threads of this
package are in this process, which can't be stopped; `Turns.ours` says how long they ran in the
turns of others, so that one can see that they stood still.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["Turns"]


class Turns:
    """Whose turn it is.

    Attributes:
        ours: seconds of CPU time of this package's threads in the turns of others.
    """

    def __init__(self) -> None:
        self._workers: dict[str, set[int]] = {}
        self.ours = 0.0

    @contextmanager
    def of(self, name: str, uses_our_threads: bool = False) -> Iterator[None]:
        """Let the workers of `name` run in this block: those that it starts here, and earlier ones.

        Args:
            name: who is measured.
            uses_our_threads: whether this package's threads in this process belong to it.
        """
        workers = self._workers.setdefault(name, set())
        _send(workers, signal.SIGCONT)
        others, before = _children(), _seconds_of_our_threads()
        try:
            yield
        finally:
            if not uses_our_threads:
                self.ours += _seconds_of_our_threads() - before
            workers |= _children() - others
            _send(workers, signal.SIGSTOP)

    def end(self) -> None:
        """Let all workers run, so that they can end."""
        for workers in self._workers.values():
            _send(workers, signal.SIGCONT)


def _children() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


def _send(processes: set[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _seconds_of_our_threads() -> float:
    """The CPU time of this process's threads that are this package's, by their names."""
    nanoseconds = 0
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it may end meanwhile
            if (thread / "comm").read_text().startswith("tied-"):
                nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9
