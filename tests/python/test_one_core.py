"""The tests pass where this process may use one core only, as in small containers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux limits a process to cores")
def test_more_workers_than_cores():
    run = (
        "import os, sys, pytest\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    arguments = ["-q", "-p", "no:cacheprovider", "-k", "default_collate", "test_dataset.py"]
    done = subprocess.run(
        [sys.executable, "-c", run, *arguments],
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
