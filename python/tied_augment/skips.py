"""What happens to samples that can't be read, in `TiedDataset` as in `TiedLoader`."""

from __future__ import annotations

import errno
import logging
import threading
from typing import Any, Literal

__all__ = ["MOST_IN_A_ROW", "OnError", "Skips"]

_logger = logging.getLogger("tied_augment.loader")

OnError = Literal["raise", "skip"]

# The process or the system has run out of something. The sample may be good.
_RAN_OUT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

# One bad file is an accident. Many in a row mean that a disk is missing.
MOST_IN_A_ROW = 20


class Skips:
    """Raises the errors of samples, or counts and logs them, so that the next sample is taken.

    Only OSErrors are skipped, which include all errors in decoding. Other errors are defects of the
    code. timm's ``ImageDataset`` skips likewise. An OSError that says that the process has run out
    of file descriptors or memory is raised as well, as good samples would be lost.

    Args:
        on_error: ``'raise'`` or ``'skip'``.

    Raises:
        ValueError: `on_error` is neither.

    Attributes:
        count: samples skipped so far.
    """

    def __init__(self, on_error: OnError) -> None:
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        self.on_error = on_error
        self.count = 0
        # Iterations of one loader may overlap, in several threads.
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"on_error": self.on_error, "count": self.count}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def pass_by(self, index: int, error: Exception, in_a_row: int) -> None:
        """Note that sample `index` is skipped, with a warning.

        Args:
            index: of the sample.
            error: why.
            in_a_row: how many samples have been skipped in its place, with this one.

        Raises:
            Exception: `error`, if it is not to be skipped.
            RuntimeError: too many in a row.
        """
        skipped = isinstance(error, OSError) and error.errno not in _RAN_OUT
        if self.on_error == "raise" or not skipped:
            raise error
        with self._lock:
            self.count += 1
        _logger.warning("Skipped sample %d: %s", index, error)
        if in_a_row >= MOST_IN_A_ROW:
            raise RuntimeError(
                f"{in_a_row} samples in a row could not be read, the last one being number {index}"
            ) from error
