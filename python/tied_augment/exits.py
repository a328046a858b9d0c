"""`INSIDE`: the interpreter's exit waits for the threads that call torch or the core.

A daemon thread that asks for the GIL while the interpreter is finalized is ended on the spot
(``pthread_exit``, before Python 3.14). Within torch or the core this unwinds frames that must not
be unwound, and the process dies of ``std::terminate``. So the calls of the views and of the loader
are made inside ``with INSIDE``. The exit lets no more threads in and waits for those inside.

May import the standard library only.
"""

from __future__ import annotations

import atexit
import os
import threading

__all__ = ["INSIDE"]

# How long the exit waits, in seconds: the code of a data set may take any time.
_PATIENCE = 5


class _Inside:
    """A context manager that counts the threads inside it. A thread may enter it again.

    The main thread is not counted. It is the one that exits, and Ctrl-C could interrupt it between
    two lines here.

    Raises:
        SystemExit: on entering, if the interpreter exits. It ends a thread without a message.
    """

    def __init__(self) -> None:
        self._reset()
        atexit.register(self._exit)
        if hasattr(os, "register_at_fork"):
            # The child of a fork has none of its parent's other threads.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._count = 0
        self._changed = threading.Condition()
        self._exiting = False

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            return
        with self._changed:
            if self._exiting:
                raise SystemExit
            self._count += 1

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            return
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def must_leave(self) -> bool:
        """Whether the interpreter exits and waits for this thread."""
        return self._exiting and threading.current_thread() is not threading.main_thread()

    def _exit(self) -> None:
        with self._changed:
            self._exiting = True
            self._changed.wait_for(lambda: self._count == 0, _PATIENCE)


INSIDE = _Inside()
