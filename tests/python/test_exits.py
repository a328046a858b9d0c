"""The interpreter ends while daemon threads make views and compute the loss."""

from __future__ import annotations

import sys

import pytest
import ready_process

if sys.platform != "linux":
    pytest.skip("the children are forked", allow_module_level=True)

CODE = """
import os, random, signal, sys, threading, time, warnings
import numpy as np
import torch
from tied_augment import TiedLoss, TwoView, View, decode, fused, render

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of fork with threads
image = np.zeros((9, 9, 3), np.uint8)
rows = np.zeros((8, 9), np.float32), np.zeros((8, 5), np.float32), np.zeros(4, np.int64)
tensors = [torch.from_numpy(array) for array in rows]
loss = TiedLoss()
two, plan = TwoView(View(8)), View(8).plan((9, 9), 0)

def repeat(call):
    while True:
        call()

for trial in range(15):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        for call in (
            lambda: two(image),
            lambda: View(8)(image),
            lambda: two.batch([image] * 2, threads=1),
            lambda: two.plan((9, 9)),
            lambda: render(image, plan),
            lambda: decode(image),
            lambda: fused.tied_loss(*rows),
            lambda: loss(*tensors),
        ):
            threading.Thread(target=repeat, args=(call,), daemon=True).start()
        time.sleep(random.Random(trial).random() * 0.1)
        sys.exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def test_the_interpreter_ends_at_any_moment_of_a_daemon_thread() -> None:
    """A thread that is ended within torch or the core would abort the process."""
    done = ready_process.run("-c", CODE)
    assert (done.returncode, set(done.stdout.split()), done.stderr) == (0, {"0"}, "")
