"""View and TwoView as values and as functions: determinism, buffers, and what they refuse."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import RandAugment

import tied_augment
from tied_augment import DecodeError, TwoView, View, build_info, decode

TWO = TwoView(View((24, 40), vflip=0.5))


@pytest.fixture(scope="module")
def samples(image_folder, photos):
    """Every kind of sample, 18 of them."""
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


def test_every_part_of_the_key_changes_the_view(photos):
    base = {"index": 1, "epoch": 2, "seed": 3}
    same = TWO(photos[0], **base)
    assert np.array_equal(TWO(photos[0], **base), same)
    assert not np.array_equal(same[0], same[1])
    for change in ({"index": 2}, {"epoch": 3}, {"seed": 4}, {"index": 2**64 - 1}):
        assert not np.array_equal(TWO(photos[0], **base | change), same)


def test_a_second_view_of_its_own(photos):
    two = TwoView(View(32, scale=(1, 1), hflip=0), View(32, scale=(0.1, 0.2), hflip=1))
    first, second = two.plan(photos[0].shape[:2], index=0)
    assert first["crop"][2] * first["crop"][3] > 5 * second["crop"][2] * second["crop"][3]
    assert not first["hflip"]
    assert second["hflip"]


def test_same_crop_makes_the_views_equal(photos):
    pixels = TwoView(View(32), same_crop=True)(photos[0], index=5)
    assert np.array_equal(pixels[0], pixels[1])
    plans = TwoView(View(32), same_crop=True).plan(photos[0].shape[:2], index=5)
    assert plans[0] == plans[1]


def test_own_flips_leave_crop_and_filter_shared(photos):
    two = TwoView(View(32), View(32, hflip=1.0), same_crop=True, own_flips=True)
    flipped = 0
    for index in range(40):
        first, second = two.plan(photos[0].shape[:2], index=index)
        assert first["crop"] == second["crop"]
        assert first["interpolation"] == second["interpolation"]
        assert second["hflip"]
        flipped += first["hflip"]
        pixels = two(photos[0], index=index)
        mirrored = pixels[0] if first["hflip"] else pixels[0][..., ::-1]
        assert np.array_equal(mirrored, pixels[1])
    assert 8 <= flipped <= 32  # of 40, even chances: 3.8 standard deviations


@pytest.mark.parametrize(
    "own",
    [
        {"crop": "rkrr"},
        {"scale": (0.5, 1)},
        {"ratio": (1, 1)},
        {"interpolation": "bicubic"},
        {"hflip": 0.0},
        {"vflip": 0.5},
    ],
)
def test_same_crop_refuses_a_second_view_with_its_own(own):
    (name,) = own
    with pytest.raises(ValueError, match=f"same_crop.*{name}.*make them equal"):
        TwoView(View(32), View(32, **own), same_crop=True)
    assert TwoView(View(32), View(32, **own)).second == View(32, **own)


def test_same_crop_leaves_the_policies_their_own(photos):
    two = TwoView(View(32), View(32, auto_augment="rand-m9", re_prob=1.0), same_crop=True)
    first, second = two.plan(photos[0].shape[:2], index=1)
    assert first["crop"] == second["crop"]
    assert len(second["ops"]) > len(first["ops"])


def test_a_plan_is_plain_data():
    plan = View(32, interpolation="bicubic", hflip=1, vflip=1, scale=(1, 1)).plan((48, 64), index=0)
    assert plan == {
        "crop": (0, 0, 64, 48),
        "interpolation": "bicubic",
        "hflip": True,
        "vflip": True,
        "ops": [
            ("crop", {"x": 0, "y": 0, "w": 64, "h": 48}),
            ("resize", {"size": (32, 32), "interpolation": "bicubic"}),
            ("hflip", {}),
            ("vflip", {}),
        ],
    }
    padded = View(32, crop="pad", hflip=0).plan((32, 32), index=1)
    assert padded["interpolation"] is None
    assert [name for name, _ in padded["ops"]] == ["crop"]
    assert TWO.plan((48, 64), index=7) == [
        TWO.first.plan((48, 64), index=7, view=0),
        TWO.first.plan((48, 64), index=7, view=1),
    ]


def test_views_are_values():
    view = View(224, scale=[0.2, 1], hflip=0)
    assert view == View((224, 224), (0.2, 1.0), hflip=0.0)
    assert view != View(224)
    assert hash(view) == hash(View((224, 224), (0.2, 1.0), hflip=0.0))
    assert eval(repr(view)) == view
    two = TwoView(view, view, same_crop=True, own_flips=True, max_pixels=10**6)
    assert eval(repr(two)) == two
    assert repr(TwoView(View(8))) == "TwoView(View(size=(8, 8)))"
    assert eval(repr(TwoView(view, View(224)))) == TwoView(view, View(224))
    for twin in (pickle.loads(pickle.dumps(two)), copy.deepcopy(two), copy.copy(two)):
        assert twin == two
        assert hash(twin) == hash(two)
        assert twin.plan((40, 50), index=3) == two.plan((40, 50), index=3)
    with pytest.raises(AttributeError):
        view.hflip = 1.0


def test_writes_into_the_callers_buffer(samples):
    indices = range(len(samples))
    expected = TWO.batch(samples, indices)
    array = np.empty_like(expected)
    assert TWO.batch(samples, indices, out=array) is array
    assert np.array_equal(array, expected)
    tensor = torch.empty(expected.shape, dtype=torch.uint8)
    assert TWO.batch(samples, indices, out=tensor) is tensor
    assert np.array_equal(tensor.numpy(), expected)
    part = torch.empty((3, *expected.shape), dtype=torch.uint8)[1]
    TWO.batch(samples, indices, out=part)
    assert np.array_equal(part.numpy(), expected)


def test_an_empty_batch_is_a_batch():
    assert TWO.batch([]).shape == (2, 0, 3, 24, 40)
    assert TwoView(View(8)).batch([], threads=2).shape == (2, 0, 3, 8, 8)


def test_refuses_other_buffers(photos):
    two, sample = TwoView(View(8)), photos[0]
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
            two.batch([sample], out=out)
    image = np.zeros((32, 12, 3), np.uint8)  # as many bytes as the output
    out = image.reshape(-1)[: 2 * 3 * 8 * 8].reshape(shape)
    with pytest.raises(BufferError, match="share memory"):
        two.batch([image], out=out)


@pytest.mark.parametrize("name", [field.name for field in fields(View)])
def test_every_field_is_checked(name):
    with pytest.raises((TypeError, ValueError), match=name):
        View(**{name: object()})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must be from 1 to 32768"),
        ({"size": 40_000}, ValueError, "size must be from 1 to 32768"),
        ({"size": (1, 2, 3)}, ValueError, "size must be a pair"),
        ({"size": 22.4}, TypeError, "size must be an integer, got 22.4"),
        ({"scale": (0, 1)}, ValueError, r"scale must be .* not \(0, 1\)"),
        ({"scale": (0.5, 0.1)}, ValueError, "scale must be"),
        ({"scale": (0.5, 1.1)}, ValueError, "scale must be"),
        ({"scale": 0.5}, ValueError, r"scale must be a pair \(low, high\), got 0.5"),
        ({"size": True}, TypeError, "size must be an integer, got True"),
        ({"size": "224"}, TypeError, "size must be an integer, got '224'"),
        ({"hflip": True}, TypeError, "hflip must be a number, got True"),
        ({"force_color_jitter": "no"}, TypeError, "force_color_jitter must be True or False"),
        ({"interpolation": None}, TypeError, "interpolation must be a string such as 'random'"),
        ({"crop": 224}, TypeError, "crop must be a string such as 'rrc', got 224"),
        (
            {"auto_augment": RandAugment()},
            TypeError,
            r"auto_augment must be a string such as 'rand-m9-mstd0.5-inc1', got RandAugment\(",
        ),
        ({"color_jitter_prob": 0.8}, ValueError, "color_jitter_prob=0.8 has no effect without"),
        ({"force_color_jitter": True}, ValueError, "force_color_jitter=True has no effect without"),
        ({"padding": 2}, ValueError, "padding=2 has no effect without crop='pad'"),
        (
            {"crop": "pad", "scale": (0.5, 1)},
            ValueError,
            r"scale=\(0.5, 1.0\) has no effect with crop='pad'",
        ),
        ({"crop": "squash", "ratio": (1, 1)}, ValueError, "ratio=.*no effect with crop='squash'"),
        ({"ratio": (-1, 1)}, ValueError, "ratio must be"),
        ({"ratio": (1, float("inf"))}, ValueError, "ratio must be"),
        ({"interpolation": "cubic"}, ValueError, "interpolation must be one of 'random', .*cubic"),
        ({"hflip": 1.5}, ValueError, "hflip must be a probability"),
        ({"vflip": float("nan")}, ValueError, "vflip must be finite"),
        ({"hflip": None}, TypeError, "hflip must be a number, got None"),
        ({"vflip": "0.5"}, TypeError, "vflip must be a number, got '0.5'"),
        ({"scale": (None, 1)}, TypeError, "scale must be a number, got None"),
        ({"mean": (0.5, 0.5, "0.5")}, TypeError, "mean must be a number"),
        ({"color_jitter": (0.4, 0.4, None)}, TypeError, "color_jitter must be a number"),
        ({"crop": "middle"}, ValueError, "crop must be 'rrc', .* not 'middle'"),
        ({"padding": -1}, ValueError, "padding must be from 0"),
        ({"crop": "pad", "padding": 1 << 20}, ValueError, "padding must be from 0 to 32768"),
    ],
)
def test_refuses_views_that_make_no_sense(arguments, error, message):
    with pytest.raises(error, match=message):
        View(**arguments)


def test_arrays_and_tensors_of_numbers_are_numbers():
    given = View(
        np.array([32, 48]),
        scale=np.array([0.25, 1.0]),
        ratio=torch.tensor([0.5, 2.0]),
        color_jitter=np.array([0.5, 0.25, 0.5]),
    )
    assert given == View((32, 48), (0.25, 1.0), (0.5, 2.0), color_jitter=(0.5, 0.25, 0.5))


def test_colour_jitter_that_a_policy_leaves_out_is_told():
    with pytest.warns(UserWarning, match=r"color_jitter is not applied beside auto_augment='rand"):
        View(color_jitter=0.4, auto_augment="rand-m9")
    # Applied in these; and from_timm says nothing, as timm's own defaults combine the two.
    View(color_jitter=0.4, auto_augment="rand-m9", force_color_jitter=True)
    View(color_jitter=0.4, auto_augment="3a")
    assert View.from_timm(auto_augment="rand-m9").color_jitter is None


def test_refuses_pairs_that_make_no_sense():
    with pytest.raises(ValueError, match="one size to fit a batch"):
        TwoView(View(32), View(24))
    with pytest.raises(TypeError, match="first must be a View, got 224"):
        TwoView(224)
    with pytest.raises(ValueError, match="max_pixels must be from 1"):
        TwoView(View(32), max_pixels=0)
    with pytest.raises(TypeError, match="positional arguments"):
        TwoView(View(32), View(32), View(32))
    with pytest.raises(TypeError, match="same_crop must be True or False, got View"):
        TwoView(View(32), same_crop=View(32))
    with pytest.raises(ValueError, match="own_flips=True has an effect with same_crop=True only"):
        TwoView(View(32), own_flips=True)


def test_refuses_calls_that_make_no_sense(photos):
    sample = photos[0]
    for arguments, error, message in [
        ({"index": -1}, ValueError, "index must be from 0"),
        ({"index": 0, "epoch": 2**32}, ValueError, "epoch must be from 0"),
        ({"index": 0, "seed": 1.5}, TypeError, "seed must be an integer"),
        ({"epoch": 3}, ValueError, r"epoch=3 needs index=.*new draw at every call"),
        ({"seed": 0}, ValueError, r"seed=0 needs index="),
    ]:
        with pytest.raises(error, match=message):
            TWO(sample, **arguments)
    for one in ("dog.jpg", b"\xff\xd8", sample, Image.fromarray(sample), None):
        with pytest.raises(TypeError, match=r"samples must be a list .*for one sample call"):
            TWO.batch(one)
    for arguments, message in [
        ({"indices": [1, 2]}, "indices must be 1 integers"),
        ({"indices": [-1]}, "indices must be integers from 0 up"),
        ({"indices": [0.5]}, "indices must be integers"),
        ({"threads": 0}, "threads must be from 1"),
        ({"epoch": 3}, "epoch=3 needs indices="),
    ]:
        with pytest.raises(ValueError, match=message):
            TWO.batch([sample], **arguments)
    with pytest.raises(ValueError, match=r"padded by 4 is smaller than the crop .* crop='rrc'"):
        View(64, crop="pad")(np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(ValueError, match="cannot be cropped"):
        TWO.plan((0, 5))


def test_refuses_samples_that_are_no_images(tmp_path):
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
    with pytest.raises(TypeError) as raised:
        TWO.batch([samples[0], 7])
    if sys.version_info >= (3, 11):
        assert raised.value.__notes__ == ["sample 1 of the batch"]


def test_max_pixels_applies_to_files_only(image_folder, photos):
    path = next(image_folder.rglob("*.jpg"))
    two = TwoView(View(8), max_pixels=100)
    with pytest.raises(DecodeError, match=r"exceeds the limit of 100 pixels.*raise max_pixels"):
        two(path)
    with pytest.raises(DecodeError, match="exceeds the limit"):
        decode(path, max_pixels=100)
    assert np.shape(two(photos[0])) == (2, 3, 8, 8)


def test_other_threads_run_meanwhile(photos):
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
    # A call that kept the GIL would leave none.
    assert sum(start < tick < end for tick in ticks) >= 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
# Python 3.12 and later warn of any fork in a process with threads; this test is about that.
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


def test_importing_needs_no_torch_and_says_what_does():
    program = """
import sys
sys.modules["torch"] = None
import tied_augment
assert tied_augment.View(8).plan((9, 9))["crop"]
try:
    tied_augment.TiedLoss
except ImportError as error:
    assert "needs PyTorch: pip install torch" in str(error), error
else:
    raise AssertionError("TiedLoss without torch")
assert {"PIL", "timm", "matplotlib"}.isdisjoint(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_build_info_and_names():
    info = build_info()
    assert info["version"] == tied_augment.__version__
    assert info["optimized"]
    assert info["jpeg_simd"], "nasm was missing when libjpeg was built: apt install nasm, rebuild"
    assert info["threads"] >= 1
    assert set(tied_augment.__all__) <= set(dir(tied_augment))
    for name in tied_augment.__all__:
        assert getattr(tied_augment, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'TwoViews'"):
        tied_augment.TwoViews  # noqa: B018
    assert (Path(tied_augment.__file__).parent / "py.typed").exists()
