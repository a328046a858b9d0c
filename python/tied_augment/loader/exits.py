"""The interpreter's exit waits until no daemon thread is inside the loader.

Before Python 3.14 a daemon thread that asks for the GIL during the interpreter's exit is ended at
once, by ``pthread_exit``. If this happens within an operation of torch, it unwinds C++ frames that
must not be unwound, and the process ends in ``std::terminate``. So a thread enters here before it
calls torch. At exit no more threads are let in, and those inside are waited for.
"""

from __future__ import annotations

import atexit
import os
import threading

__all__ = ["INSIDE"]

# In seconds. It is limited, since the code of a data set may take any time.
_PATIENCE = 5


class _Inside:
    """A context manager that counts the threads inside the loader, except the main thread.

    The main thread is the one that exits. Besides, Ctrl-C could reach it between two lines here.

    Raises:
        SystemExit: on entering, if the interpreter exits. `threading` ends the thread silently.
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
        """Whether the interpreter is exiting and waits for this thread."""
        return self._exiting and threading.current_thread() is not threading.main_thread()

    def _exit(self) -> None:
        with self._changed:
            self._exiting = True
            self._changed.wait_for(lambda: self._count == 0, _PATIENCE)


INSIDE = _Inside()
