"""`Views`: any number of views, of any sizes, against single views of the same keys."""

import copy
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from tied_augment import TwoView, View, Views, render

LARGE = View((40, 56), scale=(0.25, 1.0), auto_augment="rand-m9-mstd0.5-inc1")
SMALL = View(24, scale=(0.05, 0.25), vflip=0.5, color_jitter=0.4)
CROPS = Views(*2 * [LARGE], *6 * [SMALL])
KEY = {"epoch": 3, "seed": 2**63}


@pytest.fixture(scope="module")
def samples(image_folder, photos):
    paths = sorted(image_folder.rglob("*.jpg"))
    return [*map(str, paths[:7]), *(path.read_bytes() for path in paths[7:10]), *photos[:2]]


@pytest.mark.parametrize("threads", [1, 4])
def test_each_view_is_the_single_view_of_its_number(samples, threads):
    indices = np.random.default_rng(1).permutation(1000)[: len(samples)]
    made = CROPS.batch(samples, indices, threads=threads, **KEY)
    assert isinstance(made, list)
    assert len(made) == len(CROPS.views) == 8
    for number, (view, pixels) in enumerate(zip(CROPS.views, made, strict=True)):
        assert pixels.dtype == np.uint8
        alone = view.batch(samples, indices, **KEY, view=number, threads=threads)
        assert np.array_equal(pixels, alone)
    for position, index in enumerate(indices[:3]):
        one = CROPS(samples[position], int(index), **KEY)
        assert isinstance(one, tuple)
        for view, pixels in zip(one, made, strict=True):
            assert np.array_equal(view, pixels[position])


def test_views_of_one_size_are_one_array(samples):
    indices = range(len(samples))
    three = Views(LARGE, LARGE, View((40, 56), hflip=1.0))
    made = three.batch(samples, indices, **KEY)
    assert made.shape == (3, len(samples), 3, 40, 56)
    assert np.array_equal(made[:2], TwoView(LARGE).batch(samples, indices, **KEY))
    assert np.array_equal(made[2], three.views[2].batch(samples, indices, **KEY, view=2))
    assert np.array_equal(Views(LARGE).batch(samples, indices, **KEY), made[:1])
    eight = Views(*8 * [LARGE]).batch(samples, indices, **KEY)
    assert np.array_equal(eight[:2], made[:2])
    assert len({view.tobytes() for view in eight}) == 8


def test_a_pair_may_have_two_sizes(samples):
    first, second = TwoView(LARGE, SMALL).batch(samples, range(len(samples)))
    both = CROPS.batch(samples, range(len(samples)))
    assert np.array_equal(first, both[0])
    assert np.array_equal(second, SMALL.batch(samples, range(len(samples)), view=1))


def test_plans_are_those_of_the_pixels(samples):
    views = CROPS(samples[0], 5, **KEY)
    height, width = 96, 128
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    views = CROPS(image, 5, **KEY)
    plans = CROPS.plan((height, width), 5, **KEY)
    assert len(plans) == 8
    for number, (plan, view) in enumerate(zip(plans, CROPS.views, strict=True)):
        assert plan == view.plan((height, width), 5, **KEY, view=number)
        assert np.array_equal(render(image, plan), views[number])
    assert plans[:2] == TwoView(LARGE).plan((height, width), 5, **KEY)


@pytest.mark.parametrize("crop", ["rrc", "squash"])
def test_a_shared_crop_is_resized_to_each_size(crop):
    large, small = View(64, crop=crop, interpolation="bicubic"), None
    small = View((24, 16), crop=crop, interpolation="bicubic")
    shared = Views(large, small, small, same_crop=True)
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    plans = shared.plan((96, 128), 7)
    assert len({(plan["crop"], plan["hflip"], plan["interpolation"]) for plan in plans}) == 1
    views = shared(image, 7)
    assert [view.shape for view in views] == [(3, 64, 64), (3, 24, 16), (3, 24, 16)]
    assert np.array_equal(views[1], views[2])  # nothing else is drawn
    assert np.array_equal(views[0], large(image, 7))
    own = Views(large, small, small, same_crop=True, own_flips=True).plan((96, 128), 7)
    assert len({plan["crop"] for plan in own}) == 1


@pytest.mark.parametrize("crop", ["rkrc", "rkrr", "center", "pad"])
def test_a_crop_that_depends_on_the_size_is_not_shared_by_several(crop):
    views = View(24, crop=crop), View(16, crop=crop)
    with pytest.raises(ValueError, match=r"same_crop views of several sizes.*crop='rrc'"):
        Views(*views, same_crop=True)
    assert Views(*views).sizes == ((24, 24), (16, 16))


@pytest.mark.parametrize("make", [np.empty, lambda shape, _: torch.empty(shape, dtype=torch.uint8)])
def test_writes_into_the_callers_buffers(samples, make):
    indices = range(len(samples))
    expected = CROPS.batch(samples, indices)
    out = [make(pixels.shape, np.uint8) for pixels in expected]
    assert CROPS.batch(samples, indices, out=out) is out
    for one, wanted in zip(out, expected, strict=True):
        assert np.array_equal(np.asarray(one), wanted)
    # Parts of one block.
    lengths = [pixels.size for pixels in expected]
    block = torch.empty(sum(lengths), dtype=torch.uint8)
    parts = zip(block.split(lengths), expected, strict=True)
    CROPS.batch(samples, indices, out=tuple(part.view(like.shape) for part, like in parts))
    assert np.array_equal(block.numpy(), np.concatenate([pixels.ravel() for pixels in expected]))


def test_refuses_other_buffers(photos):
    views = Views(View(8), View(6), View(6))

    def buffers():
        return [np.empty((1, 3, side, side), np.uint8) for side in (8, 6, 6)]

    read_only = buffers()
    read_only[2].flags.writeable = False
    strided = buffers()
    strided[1] = np.empty((1, 3, 6, 12), np.uint8)[..., ::2]
    twice = buffers()
    twice[2] = twice[1]
    for out, error, message in [
        (np.empty((3, 1, 3, 8, 8), np.uint8), ValueError, "a list of 3 arrays.*got ndarray of"),
        (buffers()[:2], ValueError, "a list of 3 arrays, one for each view.*got 2"),
        (buffers()[::-1], ValueError, r"\[1, 3, 8, 8\]; got shape \[1, 3, 6, 6\]"),
        ([0, 0, 0], ValueError, "uint8 array of shape .samples, 3, height, width.; got int"),
        ([b.astype(float) for b in buffers()], ValueError, "uint8 array .* of float64"),
        (read_only, ValueError, "writable"),
        (strided, ValueError, "not contiguous"),
        (twice, BufferError, "share memory"),
        ([torch.empty(1, 3, 8, 8, device="meta")] * 3, ValueError, "tensor on meta"),
    ]:
        with pytest.raises(error, match=r"^out(\[\d\])? must .*" + message):
            views.batch([photos[0]], out=out)
    with pytest.raises(
        ValueError, match=r"out must be a uint8 array of shape .views, samples.*list"
    ):
        Views(View(8), View(8)).batch([photos[0]], out=buffers()[:2])


def test_an_empty_batch_is_a_batch():
    assert [pixels.shape for pixels in CROPS.batch([])][1:3] == [(0, 3, 40, 56), (0, 3, 24, 24)]


@pytest.mark.parametrize(
    ("views", "error", "message"),
    [
        ((), ValueError, r"at least one View: .*Views\(\*8 \* \[view\]\)"),
        (([LARGE, SMALL],), TypeError, r"view 0 must be a View, got list: .*Views\(\*views\)"),
        ((LARGE, [SMALL]), TypeError, "view 1 must be a View, got list"),
        ((LARGE, 8), TypeError, r"view 1 must be a View, got 8: .*Views\(\*8 \* \[view\]\)"),
        ((TwoView(LARGE),), TypeError, r"got TwoView: give its views, Views\(\*declared.views\)"),
        ((View,), TypeError, "got the class View"),
        ((None,), TypeError, "got None"),
        ((View(8),) * 65_536, ValueError, "at most 65,535 views can be made, not 65536"),
    ],
)
def test_refuses_what_is_not_views(views, error, message):
    with pytest.raises(error, match=message):
        Views(*views)


def test_refuses_switches_that_make_no_sense():
    with pytest.raises(ValueError, match="own_flips=True has an effect with same_crop=True only"):
        Views(LARGE, own_flips=True)
    with pytest.raises(TypeError, match="same_crop must be True or False, got 1"):
        Views(LARGE, same_crop=1)
    with pytest.raises(ValueError, match=r"same_crop.*hflip.*make them equal"):
        Views(SMALL, SMALL, View(24, scale=(0.05, 0.25), vflip=0.5, hflip=0.0), same_crop=True)
    with pytest.raises(ValueError, match=r"several sizes, \(40, 56\), \(24, 24\): use .sizes"):
        _ = CROPS.size


def test_views_are_values():
    assert repr(CROPS) == f"Views(*2 * [{LARGE!r}], *6 * [{SMALL!r}])"
    assert eval(repr(CROPS)) == CROPS
    mixed = Views(SMALL, LARGE, SMALL, same_crop=False, max_pixels=10**9)
    assert eval(repr(mixed)) == mixed != CROPS
    assert repr(TwoView(SMALL)) == f"TwoView({SMALL!r})"
    assert eval(repr(TwoView(SMALL, LARGE, max_pixels=5))) == TwoView(SMALL, LARGE, max_pixels=5)
    for views in (CROPS, TwoView(SMALL, LARGE)):
        assert pickle.loads(pickle.dumps(views)) == views == copy.deepcopy(views)
        assert len({views, copy.copy(views)}) == 1
        with pytest.raises((FrozenInstanceError, AttributeError)):
            views.max_pixels = 3
    assert CROPS.sizes == ((40, 56),) * 2 + ((24, 24),) * 6
    assert TwoView(SMALL).size == (24, 24)


def test_without_an_index_the_views_follow_torchs_seed(photos):
    torch.manual_seed(3)
    first = [CROPS(photos[0]) for _ in range(2)]
    torch.manual_seed(3)
    again = [CROPS(photos[0]) for _ in range(2)]
    assert not np.array_equal(first[0][0], first[1][0])
    for one, other in zip(first, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_many_views_of_one_sample(photos):
    many = Views(*2000 * [View(4)])
    made = many.batch([photos[0]], [9])
    assert made.shape == (2000, 1, 3, 4, 4)
    assert np.array_equal(made[1999], View(4).batch([photos[0]], [9], view=1999))
