"""One process at a time writes into a folder."""

from __future__ import annotations

import fcntl
from typing import IO

__all__ = ["lock"]


def lock(file: int | IO[bytes], message: str) -> None:
    """Lock a file or a folder until it is closed, where the file system can do that.

    Raises:
        ValueError: another process has locked it; `message` says so.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(message) from None
    except OSError:
        pass  # Not all network file systems have locks.
