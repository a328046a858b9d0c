"""`TwoView.batch`: threads, buffers, the samples that it takes, and their errors."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from tied_augment import DecodeError, TwoView, View, decode

TWO = TwoView(View((24, 40), vflip=0.5))


@pytest.fixture(scope="module")
def samples(image_folder, photos):
    """18 samples, of every kind that a batch takes."""
    paths = sorted(image_folder.rglob("*.jpg"))
    images = [Image.open(path).convert("RGB") for path in paths[:3]]
    return [
        *map(str, paths[:6]),
        *paths[6:9],
        *(path.read_bytes() for path in paths[9:11]),
        bytearray(paths[11].read_bytes()),
        *images,
        photos[0],
        photos[1][:, ::-1],  # not contiguous
        photos[2][::2, ::3],
    ]


def test_threads_batches_and_order_do_not_matter(samples):
    key = {"epoch": 3, "seed": 2**63}
    everything = range(len(samples))
    whole = TWO.batch(samples, everything, threads=1, **key)
    assert whole.shape == (2, len(samples), 3, 24, 40)
    assert whole.dtype == np.uint8
    for threads in (2, 8, None):
        assert np.array_equal(TWO.batch(samples, everything, threads=threads, **key), whole)
    indices = np.random.default_rng(0).permutation(len(samples))
    shuffled = TWO.batch([samples[i] for i in indices], indices, threads=2, **key)
    assert np.array_equal(shuffled, whole[:, indices])
    for start in everything[::5]:
        part = range(start, min(start + 5, len(samples)))
        got = TWO.batch([samples[i] for i in part], part, threads=3, **key)
        assert np.array_equal(got, whole[:, part])
    for index, sample in enumerate(samples):
        assert np.array_equal(np.stack(TWO(sample, index, **key)), whole[:, index])


def test_one_view_is_the_pairs_view_of_that_number(samples):
    key = {"indices": range(len(samples)), "epoch": 1, "seed": 2}
    both = TWO.batch(samples, **key)
    for view in (0, 1):
        one = TWO.first.batch(samples, **key, view=view)
        assert np.array_equal(one, both[view])
        assert np.array_equal(TWO.first(samples[4], 4, 1, 2, view), both[view, 4])


@pytest.mark.parametrize(
    "empty",
    [
        lambda shape: np.empty(shape, np.uint8),
        lambda shape: torch.empty(shape, dtype=torch.uint8),
        lambda shape: torch.empty((3, *shape), dtype=torch.uint8)[1],
    ],
    ids=["array", "tensor", "part of a tensor"],
)
def test_writes_into_the_callers_buffer(samples, empty):
    indices = range(len(samples))
    expected = TWO.batch(samples, indices)
    out = empty(expected.shape)
    assert TWO.batch(samples, indices, out=out) is out
    assert np.array_equal(np.asarray(out), expected)


def test_an_empty_batch_is_a_batch():
    assert TWO.batch([]).shape == (2, 0, 3, 24, 40)
    assert TwoView(View(8)).batch([], threads=2).shape == (2, 0, 3, 8, 8)


def test_refuses_other_buffers(photos):
    two = TwoView(View(8))
    shape = (2, 1, 3, 8, 8)
    read_only = np.empty(shape, np.uint8)
    read_only.flags.writeable = False
    for out, message in [
        (np.empty((2, 2, 3, 8, 8), np.uint8), r"of shape \[2, 1, 3, 8, 8\]; got shape \[2, 2"),
        (np.empty(shape, np.float32), "uint8 array .* of float32"),
        (np.empty((2, 3, 8, 8), np.uint8), r"got \(2, 3, 8, 8\) of uint8"),
        (np.empty((*shape, 2), np.uint8)[..., 0], "not contiguous"),
        (read_only, "read-only"),
        (torch.empty(shape), "of float32"),
        (torch.empty(shape, dtype=torch.uint8, device="meta"), "tensor on meta"),
        ([0], "got list"),
    ]:
        with pytest.raises(ValueError, match="^out must be .*" + message):
            two.batch([photos[0]], out=out)


def test_refuses_a_buffer_that_shares_memory_with_a_sample():
    image = np.zeros((32, 12, 3), np.uint8)  # as many bytes as the output
    out = image.reshape(-1)[: 2 * 3 * 8 * 8].reshape((2, 1, 3, 8, 8))
    with pytest.raises(BufferError, match="share memory"):
        TwoView(View(8)).batch([image], out=out)


def test_refuses_samples_that_are_not_images(tmp_path):
    for sample, error, message in [
        (None, TypeError, "expected the bytes of an image file, a path, .* got NoneType"),
        (np.zeros((5, 5), np.uint8), TypeError, r"\(H, W, 3\) uint8 image, got shape \[5, 5\]"),
        (np.zeros((5, 5, 3), np.float32), TypeError, "of float32"),
        (np.zeros((0, 5, 3), np.uint8), TypeError, "got shape"),
        (torch.zeros(5, 5, 3), TypeError, "got Tensor"),
        (tmp_path / "none.jpg", FileNotFoundError, r"none\.jpg"),
        (tmp_path, IsADirectoryError, str(tmp_path)),
        (b"", DecodeError, "the file is empty"),
        (b"hello, world", DecodeError, "not an image of a known format"),
    ]:
        with pytest.raises(error, match=message):
            TWO(sample, index=0)
        with pytest.raises(error, match=message):
            decode(sample)


def test_an_error_names_the_first_sample_that_failed(samples, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff nothing")
    for threads in (1, 3):
        with pytest.raises(
            DecodeError, match=r"^sample 2 of the batch \(index 12\): cannot decode"
        ):
            TWO.batch([*samples[:2], bad.read_bytes(), bad], [10, 11, 12, 13], threads=threads)
        with pytest.raises(DecodeError, match=rf"^{bad}: cannot decode JPEG"):
            TWO.batch([*samples[:2], bad], threads=threads)


def test_a_note_names_a_sample_of_the_wrong_type(samples):
    with pytest.raises(TypeError) as raised:
        TWO.batch([samples[0], 7])
    if sys.version_info >= (3, 11):  # exceptions have no notes before
        assert raised.value.__notes__ == ["sample 1 of the batch"]


def test_max_pixels_applies_to_files_only(image_folder, photos):
    path = next(image_folder.rglob("*.jpg"))
    two = TwoView(View(8), max_pixels=100)
    with pytest.raises(DecodeError, match=r"exceeds the limit of 100 pixels.*raise max_pixels"):
        two(path)
    with pytest.raises(DecodeError, match="exceeds the limit"):
        decode(path, max_pixels=100)
    assert np.shape(two(photos[0])) == (2, 3, 8, 8)


def test_a_batch_releases_the_gil(photos):
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.wait(0.001):
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    TwoView(View(512, interpolation="lanczos")).batch(photos * 40, threads=1)
    end = time.perf_counter()
    stop.set()
    thread.join()
    # There would be none if the call kept the GIL.
    assert sum(start < tick < end for tick in ticks) >= 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
# Python 3.12 and later warn of any fork in a process with threads, which is what is tested here.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_works_after_its_parent(samples):
    indices = range(len(samples))
    expected = TWO.batch(samples, indices, threads=2)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        equal = np.array_equal(TWO.batch(samples, indices, threads=2), expected)
        os._exit(0 if equal else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(TWO.batch(samples, indices, threads=2), expected)
