"""One object in many threads: each thread gets what it would get alone."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from loader_sets import Items, Stream, epoch_of, paths_of
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, TiedLoader, TwoView, View, decode, fused, render

THREADS = 8
VIEWS = TwoView(View(16, auto_augment="rand-m9-n2"))


def in_threads(call, arguments):
    """The results of a call in 8 threads that begin at once, each with all arguments."""
    barrier = threading.Barrier(THREADS)

    def work(_):
        barrier.wait(30)
        return [call(argument) for argument in arguments]

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, range(THREADS)))


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_views_decoding_and_the_loss(image_folder):
    paths = paths_of(image_folder)
    rng = np.random.default_rng(0)
    logits, features = rng.random((2, 8, 9), np.float32)
    target = np.arange(4)
    plan = VIEWS.views[0].plan(decode(paths[0]).shape[:2], 3)
    dataset = TiedDataset(ImageFolder(image_folder), VIEWS, seed=4)
    dataset.set_epoch(1)  # otherwise each call draws anew
    calls = {
        "batch": lambda index: VIEWS.batch(paths, range(len(paths)), index, threads=3),
        "decode": lambda index: [decode(paths[index])],
        "render": lambda index: [render(paths[0], plan)],
        "dataset": lambda index: dataset[index][0],
        "loss": lambda _: fused.tied_loss(logits, features, target),
    }
    for name, call in calls.items():
        arguments = range(6)
        alone = [call(argument) for argument in arguments]
        for made in in_threads(call, arguments):
            assert all(map(equal, alone, made)), name


@pytest.mark.parametrize("kind", [ImageFolder, Items, Stream])
def test_threads_that_share_an_iteration(image_folder, kind):
    """Each batch goes to one of them, whole and with its own targets."""
    samples = [(path, n) for n, path in enumerate(paths_of(image_folder) * 9)]
    dataset = ImageFolder(image_folder)
    dataset.samples = samples
    source = dataset if kind is ImageFolder else kind(samples)
    wanted = epoch_of(TiedLoader(source, VIEWS, 2, threads=2))
    for _ in range(5):
        iteration = iter(TiedLoader(source, VIEWS, 2, threads=2))
        with ThreadPoolExecutor(THREADS) as pool:
            parts = pool.map(lambda _, shared=iteration: list(shared), range(THREADS))
            batches = sorted((b for part in parts for b in part), key=lambda b: b[1][0].item())
        assert len(batches) == len(wanted)
        for (images, targets), (views, numbers) in zip(batches, wanted, strict=True):
            assert torch.equal(targets, numbers)
            assert torch.equal(images, views)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_waits_for_a_batch(image_folder):
    class Slow(Items):
        def __getitem__(self, index):
            time.sleep(0.05)
            return super().__getitem__(index)

    samples = ImageFolder(image_folder).samples * 3
    iteration = iter(TiedLoader(Slow(samples), VIEWS, len(samples)))
    waiting = threading.Thread(target=next, args=(iteration,))
    waiting.start()
    time.sleep(0.2)
    child = os.fork()
    if child == 0:
        try:
            next(iteration)
        except RuntimeError as error:
            os._exit(7 if "forked" in str(error) else 1)
        os._exit(2)
    _, status = os.waitpid(child, 0)
    waiting.join()
    assert os.waitstatus_to_exitcode(status) == 7
    iteration.close()
