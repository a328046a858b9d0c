"""One object in many threads: each thread gets what it would get alone."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import encoded
from loader_sets import Items, Stream, assert_same, epoch_of, paths_of
from packed_sets import pack_folder
from PIL import Image
from torchvision.datasets import ImageFolder

from tied_augment import (
    TiedDataset,
    TiedLoader,
    TiedLoss,
    TwoView,
    View,
    Views,
    apply_to_mask,
    decode,
    fused,
    render,
)
from tied_augment.packed import PackedDataset, unpack
from tied_augment.packed import pack as pack_image

THREADS = 8
VIEWS = TwoView(View(16, auto_augment="rand-m9-n2"))
ARGUMENTS = range(6)
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")


def in_threads(call, arguments=ARGUMENTS):
    """The results of a call in 8 threads, each with all arguments, which begin each together."""
    barrier = threading.Barrier(THREADS)

    def work():
        results = []
        try:
            for argument in arguments:
                barrier.wait(100)
                results.append(call(argument))
        except BaseException:
            barrier.abort()  # nobody waits for this thread any more
            raise
        return results

    with ThreadPoolExecutor(THREADS) as pool:
        threads = [pool.submit(work) for _ in range(THREADS)]
    errors = [error for thread in threads if (error := thread.exception()) is not None]
    # First the one that broke the barrier for the others.
    for error in sorted(errors, key=lambda e: isinstance(e, threading.BrokenBarrierError)):
        raise error
    return [thread.result() for thread in threads]


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def assert_as_alone(call):
    alone = [call(argument) for argument in ARGUMENTS]
    for made in in_threads(call):
        assert all(map(equal, alone, made))


@pytest.fixture(scope="module")
def packed(image_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "set"
    return pack_folder(image_folder, folder)


DRAWN = {
    "TwoView": lambda sample, index: VIEWS(sample, index, 1),
    "Views": lambda sample, index: Views(View(16), View(24), View(8))(sample, index, 1),
    "View": lambda sample, index: [VIEWS.views[0](sample, index, 1)],
    "one pool": lambda sample, index: VIEWS.batch([sample] * 8, range(8), index, threads=3),
    "many pools": lambda sample, index: VIEWS.batch(
        [sample] * 8, range(8), index, threads=1 + threading.get_native_id() % 5
    ),
    "render": lambda sample, index: [render(sample, VIEWS.views[0].plan((90, 90), index, 1))],
}


@pytest.mark.parametrize("name", DRAWN)
def test_views(photos, name):
    """Of pixels that all threads share."""
    image = np.ascontiguousarray(photos[0][:90, :90])
    assert_as_alone(lambda index: DRAWN[name](image, index))


@pytest.mark.parametrize("kind", FORMATS)
def test_decoding(photos, kind):
    file = encoded(Image.fromarray(photos[0][:90, :90]), kind)
    assert_as_alone(lambda _: [decode(file)])


def test_masks(photos):
    mask = photos[0][:90, :90, 0]
    assert_as_alone(lambda index: [apply_to_mask(mask, VIEWS.views[0].plan((90, 90), index, 1))])


def test_a_data_set_and_a_packed_one(image_folder, packed):
    files = [Path(path).read_bytes() for path in paths_of(image_folder)]
    fresh = PackedDataset(packed)  # the threads ask it first
    assert in_threads(fresh.original, range(12)) == THREADS * [files]
    for data in (ImageFolder(image_folder), fresh):
        dataset = TiedDataset(data, VIEWS, seed=4)
        dataset.set_epoch(1)  # otherwise each call draws anew
        assert_as_alone(lambda index, dataset=dataset: dataset[index][0])


def test_packing(image_folder):
    files = [Path(path).read_bytes() for path in paths_of(image_folder)]
    back = in_threads(lambda index: unpack(pack_image(files[index])), range(len(files)))
    assert back == THREADS * [files]


def test_the_fused_loss():
    logits, features = np.random.default_rng(0).random((2, 8, 9), np.float32)
    assert_as_alone(lambda _: fused.tied_loss(logits, features, np.arange(4))[2:])


def test_one_capsule_is_taken_once():
    """Memory that was given away must not be released twice."""
    features, target = np.ones((8, 5), np.float32), np.arange(4)
    capsules = [np.ones((8, 9), np.float32).__dlpack__() for _ in range(100)]

    def take(capsule):
        try:
            return fused.tied_loss(capsule, features, target, grad=False)[0]
        except ValueError as error:
            return str(error)

    refused = "logits: a capsule that is not a DLPack tensor, or was used before"
    for results in zip(*in_threads(take, capsules), strict=True):
        assert results.count(refused) == THREADS - 1
        assert sum(isinstance(result, float) for result in results) == 1


def test_one_output_is_written_by_one_call_at_a_time(photos):
    image, out = np.ascontiguousarray(photos[0]), np.empty((2, 4, 3, 16, 16), np.uint8)

    def write(index):
        try:
            VIEWS.batch([image] * 4, [index] * 4, out=out)
        except BufferError as error:
            return str(error)
        return None

    for results in zip(*in_threads(write, range(20)), strict=True):
        assert None in results
        assert all("out must not share memory" in result for result in results if result)


@contextmanager
def meanwhile(act):
    """Another thread does something again and again."""
    stop = threading.Event()

    def repeat():
        while not stop.is_set():
            act()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def scramble(array):
    array[...] = np.random.default_rng().integers(0, 256, array.shape).astype(array.dtype)


def test_arrays_that_change_meanwhile(photos):
    """What is made of them is anything; but errors are exceptions, and nothing crashes."""
    image = np.ascontiguousarray(photos[0][:90, :90])
    with meanwhile(lambda: scramble(image)):
        in_threads(lambda index: VIEWS.batch([image] * 8, range(8), index, threads=2))
    logits, features = np.random.default_rng(0).random((2, 64, 9), np.float32)
    target = np.zeros(32, np.int64)

    def loss(_):
        for _ in range(50):
            with suppress(ValueError):  # a class index that is out of range
                fused.tied_loss(logits, features, target)

    for array in (logits, target):
        with meanwhile(lambda array=array: scramble(array)):
            in_threads(loss)


def test_a_bytearray_that_grows_and_shrinks(photos):
    file = encoded(Image.fromarray(photos[0][:90, :90]), "JPEG")
    sample = bytearray(file)

    def resize():
        sample.extend(b" " * 100_000)
        del sample[len(file) :]

    wanted = decode(file)
    with meanwhile(resize):
        for made in in_threads(lambda _: decode(sample)):
            assert all(np.array_equal(one, wanted) for one in made)


@pytest.mark.parametrize("similarity", ["mse", "cosine", "js"])
def test_a_loss(similarity):
    """Its values and gradients are each thread's own; `last` is of one of the calls, whole."""
    loss = TiedLoss(similarity=similarity)

    def call(number):
        generator = torch.Generator().manual_seed(number)
        inputs = [torch.rand(8, 9, generator=generator, requires_grad=True) for _ in range(2)]
        value = loss(*inputs, torch.arange(4))
        value.backward()
        last = loss.last
        assert last.keys() >= {"loss", "ce", "cosine", "feature_norm", "spread"}
        torch.testing.assert_close(last["loss"], last["ce"] + last["similarity"])
        return [value.detach(), *(given.grad for given in inputs)]

    assert_as_alone(call)


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


@pytest.mark.parametrize("kind", [ImageFolder, Items, Stream])
def test_iterations_side_by_side(image_folder, kind):
    """Of a loader for each thread, over one data set."""
    samples = [(path, n) for n, path in enumerate(paths_of(image_folder))]
    source = ImageFolder(image_folder) if kind is ImageFolder else kind(samples)
    wanted = epoch_of(TiedLoader(source, VIEWS, 4, threads=2))
    for made in in_threads(lambda _: epoch_of(TiedLoader(source, VIEWS, 4, threads=2)), [0] * 3):
        for batches in made:
            assert_same(batches, wanted)


def test_skips_of_several_threads_are_all_counted(image_folder):
    samples = [*((path, 0) for path in paths_of(image_folder)), ("missing.jpg", 0)]
    loader = TiedLoader(Items(samples), VIEWS, 4, on_error="skip")
    iterations = [iter(loader) for _ in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(list, iterations))
    assert loader.skipped == THREADS


@pytest.mark.parametrize("kind", [ImageFolder, Items])
def test_an_iteration_that_another_thread_closes(image_folder, kind):
    samples = ImageFolder(image_folder).samples * 9
    dataset = ImageFolder(image_folder)
    dataset.samples = samples
    loader = TiedLoader(dataset if kind is ImageFolder else Items(samples), VIEWS, 2, threads=2)
    for trial in range(40):
        iteration = iter(loader)
        next(iteration)
        with ThreadPoolExecutor(THREADS) as pool:
            parts = [pool.submit(list, iteration) for _ in range(THREADS - 1)]
            time.sleep(trial * 1e-4)
            iteration.close()
        for part in parts:
            # What was waiting for a batch is told; what asks later finds the iteration at its end.
            error = part.exception()
            assert error is None or "the iteration has been closed" in str(error)


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
