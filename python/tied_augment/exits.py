"""`INSIDE`: the interpreter's exit waits for the threads that call torch or the core.

Before Python 3.14 a daemon thread that asks for the GIL while the interpreter is being finalized is
ended on the spot, by ``pthread_exit``. Within torch or the core this unwinds frames that must not
be unwound, and the process dies of ``std::terminate``. So views, loaders and the fused loss make
their calls inside ``with INSIDE``, and the exit

1. lets no thread in, and waits until those inside have finished their calls;
2. stops these threads for good when they leave. Ending them by an exception would release their
   caller's tensors, for which torch asks for the GIL, too;
3. waits a moment for threads outside, which may be releasing a batch.

What else a daemon thread does with torch at that time is beyond our reach.

May import the standard library only.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref

__all__ = ["INSIDE"]

# How long the exit waits, in seconds: for threads inside, which may run the code of a data set, and
# for those outside.
_PATIENCE = 5
_GRACE = 0.1


class _Inside:
    """A context manager around calls of torch and of the core. A thread may enter it again.

    The main thread is not held up: it is the one that exits, and Ctrl-C could interrupt it between
    two lines here.

    Attributes:
        exiting: whether the interpreter's exit has begun.
    """

    def __init__(self) -> None:
        self._reset()
        # Iterations are closed by `weakref.finalize`, which registers its own hook when it is first
        # used. Hooks run in reverse order: this one must come before that, so be registered later.
        weakref.finalize(self, int)
        atexit.register(self._exit)
        if hasattr(os, "register_at_fork"):
            # The child of a fork has none of its parent's other threads.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self.exiting = False
        self._changed = threading.Condition()
        self._depth = threading.local()
        self._inside = 0
        self._held = 0
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def __enter__(self) -> None:
        thread = threading.current_thread()
        if thread is threading.main_thread():
            return
        depth = getattr(self._depth, "value", 0)
        with self._changed:
            if self.exiting and depth == 0:
                self._hold()
            self._threads.add(thread)
            self._inside += depth == 0
        self._depth.value = depth + 1

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            return
        self._depth.value -= 1
        if self._depth.value:
            return
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()
            if self.exiting:
                self._hold()

    def check(self) -> None:
        """Raise SystemExit if the exit has begun. For a thread that waits while it is inside.

        The exception does not reach the caller: the thread is stopped when it leaves.
        """
        if self.exiting and threading.current_thread() is not threading.main_thread():
            raise SystemExit

    def _hold(self) -> None:
        """Stop this thread for good: it ends with the process."""
        self._held += 1
        self._changed.notify_all()
        while True:
            self._changed.wait()

    def _exit(self) -> None:
        with self._changed:
            self.exiting = True
            self._changed.wait_for(lambda: self._inside == 0, _PATIENCE)
            self._changed.wait_for(lambda: self._held >= self._alive(), _GRACE)

    def _alive(self) -> int:
        return sum(thread.is_alive() for thread in self._threads)


INSIDE = _Inside()
