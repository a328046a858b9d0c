"""The peak of this process's memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


class Memory:
    """Measures by how much the process's memory grows at its peak inside ``with``, in MiB."""

    def __enter__(self) -> Memory:
        if sys.platform != "linux":
            pytest.skip("only Linux can reset the peak of a process's memory")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from the present size
        self.before = self._status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.growth = (self._status("VmHWM") - self.before) >> 10

    @staticmethod
    def _status(key: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key))
