"""`View` and `TwoView` as values and as functions of their key."""

import copy
import pickle

import numpy as np
import pytest

from tied_augment import TwoView, View

TWO = TwoView(View((24, 40), vflip=0.5))


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


VIEW = View(224, scale=[0.2, 1], hflip=0)
PAIR = TwoView(VIEW, VIEW, same_crop=True, own_flips=True, max_pixels=10**6)


def test_views_are_equal_by_value():
    assert View((224, 224), (0.2, 1.0), hflip=0.0) == VIEW
    assert View(224) != VIEW
    assert hash(VIEW) == hash(View((224, 224), (0.2, 1.0), hflip=0.0))


def test_views_cannot_be_changed():
    with pytest.raises(AttributeError):
        VIEW.hflip = 1.0


def test_the_repr_is_the_call_that_makes_it():
    assert repr(TwoView(View(8))) == "TwoView(View(size=(8, 8)))"
    for value in (VIEW, PAIR, TwoView(VIEW, View(224))):
        assert eval(repr(value)) == value


@pytest.mark.parametrize(
    "copied", [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy, copy.copy]
)
def test_copies_are_equal(copied):
    twin = copied(PAIR)
    assert twin == PAIR
    assert hash(twin) == hash(PAIR)
    assert twin.plan((40, 50), index=3) == PAIR.plan((40, 50), index=3)
