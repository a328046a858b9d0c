"""Threads: no more than there is work for, and named when the system gives none."""

from __future__ import annotations

import sys
import textwrap

import pytest
import ready_process

from tied_augment import build_info

if sys.platform != "linux":
    pytest.skip("only Linux lists a process's threads", allow_module_level=True)

PREAMBLE = """
import os, resource, time
from pathlib import Path
import numpy as np
from tied_augment import TwoView, View
from tied_augment.fused import tied_loss

two = TwoView(View(8))
image = np.zeros((9, 9, 3), np.uint8)
indices = lambda n: list(range(n))

def threads():
    return len(list(Path("/proc/self/task").iterdir())) - before

def settled(most):
    deadline = time.monotonic() + 20
    while threads() > most and time.monotonic() < deadline:
        time.sleep(0.05)
    return threads()

before = 0
before = threads()

def limit():
    # Memory for some ten more threads.
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (30 << 20), -1))

def no_more_processes():
    if os.geteuid() == 0:  # which has no limit
        os.setuid(65534)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
"""

# The most threads of a call, and of all pools that are kept.
MOST = max(64, 2 * build_info()["threads"])


def run(code: str, *, fails: bool = False) -> str:
    """What ``code`` prints in a process of its own, or the exception that ends it."""
    code = PREAMBLE + textwrap.dedent(code)
    done = ready_process.run("-c", code)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr.strip().splitlines()[-1] if fails else done.stdout.strip()


def test_no_more_threads_than_views() -> None:
    assert run("two.batch([], [], threads=65535); print(threads())") == "0"
    counts = run("""
        for samples in (1, 4, 3, 4):
            two.batch([image] * samples, indices(samples), threads=65535)
            print(threads())
    """)
    # Two views each: pools of 2, 8 and 6 threads. The calling thread is one of each pool's.
    assert counts.split() == ["1", "8", "13", "13"]


def test_no_more_threads_than_twice_the_cores_or_64() -> None:
    count = run("two.batch([image] * 1000, indices(1000), threads=65535); print(threads())")
    assert int(count) == MOST - 1


def test_no_more_threads_than_asked_for() -> None:
    assert run("two.batch([image] * 99, indices(99), threads=3); print(threads())") == "2"
    assert run("two.batch([image] * 99, indices(99), threads=1); print(threads())") == "0"


def test_the_pools_together_have_few_threads() -> None:
    code = f"""
        for number in range(2, 50):
            two.batch([image] * 50, indices(50), threads=number)
        print(settled({MOST} - 1))
    """
    # The last pool is kept in any case: 48 threads are started by a call with 49.
    assert 48 <= int(run(code)) < MOST


def test_the_loss_starts_no_more_than_rows() -> None:
    code = """
        logits, features = np.zeros((4, 7), np.float32), np.zeros((4, 3), np.float32)
        tied_loss(logits, features, np.zeros(2, int), threads=65535)
        print(threads())
    """
    assert int(run(code)) <= 7


LOADER = """
from tied_augment import TiedLoader

class Images:
    def __len__(self):
        return 4000

    def __getitem__(self, index):
        return image, index

def loader(batch_size):
    return TiedLoader(Images(), two, batch_size, threads=65535, prefetch=1, on_error="skip")
"""


def test_a_loader_starts_no_more_threads_than_samples_under_way() -> None:
    counts = run(
        LOADER
        + """
iteration = iter(loader(4))
for _ in range(200):
    next(iteration)
print(threads())
iteration.close()
print(settled(0))
"""
    )
    during, after = (int(count) for count in counts.split())
    # Two batches of four, and the thread that calls the data set.
    assert 2 <= during <= 9
    assert after == 0


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("limit()\ntwo.batch([image] * 2000, indices(2000), threads=2000)", MOST),
        (f"{LOADER}\nlimit()\nnext(iter(loader(2000)))", 2000),
        ("no_more_processes()\ntwo.batch([image] * 4, indices(4), threads=8)", 8),
    ],
    ids=["batch", "loader", "processes"],
)
def test_where_the_system_starts_none_no_sample_is_blamed(code: str, wanted: int) -> None:
    said = run(code, fails=True)
    assert said.startswith(f"RuntimeError: cannot start {wanted} threads: ")
    assert "pass a smaller threads=" in said


def test_where_the_system_starts_no_thread_for_the_data_set() -> None:
    said = run(f"{LOADER}\nno_more_processes()\nnext(iter(loader(4)))", fails=True)
    assert said.startswith(
        "RuntimeError: cannot start the thread that calls the data set: can't st"
    )
    assert "raise the limits on memory and processes" in said
