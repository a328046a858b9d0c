"""The tests pass where this process may use one core only, as in small containers."""

import os
from pathlib import Path

import pytest
import ready_process

TESTS = Path(__file__).parent


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux limits a process to cores")
def test_more_workers_than_cores(monkeypatch):
    run = (
        "import os, sys, pytest\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    arguments = ["-q", "-p", "no:cacheprovider", "-k", "default_collate", "test_dataset.py"]
    monkeypatch.chdir(TESTS)
    done = ready_process.run("-c", run, *arguments)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
