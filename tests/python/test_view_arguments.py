"""What `View` and `TwoView` refuse, and what the messages say."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import RandAugment

from tied_augment import TwoView, View

TWO = TwoView(View((24, 40), vflip=0.5))


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
        ({"gaussian_blur_kernel": 4, "gaussian_blur_prob": 1}, ValueError, "kernel must be odd"),
        ({"gaussian_blur_kernel": 0, "gaussian_blur_prob": 1}, ValueError, "kernel must be from 1"),
        (
            {"gaussian_blur_kernel": 9, "gaussian_blur_prob": 1, "size": 4},
            ValueError,
            "needs a size of at least 5 a side for a kernel of 9 pixels.*or None for Pillow's",
        ),
        ({"gaussian_blur_kernel": None}, ValueError, "no effect without gaussian_blur_prob"),
        ({"gaussian_blur_sigma": (1, 2)}, ValueError, "no effect without gaussian_blur_prob"),
        (
            {"gaussian_blur_sigma": (0, 2), "gaussian_blur_prob": 1},
            ValueError,
            r"gaussian_blur_sigma must be \(low, high\) with 0 < low",
        ),
        (
            {"gaussian_blur_sigma": (2, 1), "gaussian_blur_prob": 1, "gaussian_blur_kernel": None},
            ValueError,
            "gaussian_blur_sigma must be .* with 0 <= low <= high <= 10000, not",
        ),
        ({"gaussian_blur_sigma": 1, "gaussian_blur_prob": 1}, ValueError, "sigma must be a pair"),
        ({"solarize_threshold": 100}, ValueError, "no effect without solarize_prob: give it"),
        ({"solarize_prob": 1.5}, ValueError, "solarize_prob must be a probability"),
        (
            {"solarize_prob": 1, "solarize_threshold": 257},
            ValueError,
            "solarize_threshold must be from 0 to 256, not 257",
        ),
        ({"crop": "middle"}, ValueError, "crop must be 'rrc', .* not 'middle'"),
        ({"padding": -1}, ValueError, "padding must be from 0 to 32768, got -1"),
        ({"crop": "pad", "padding": 1 << 20}, ValueError, "padding must be from 0 to 32768"),
    ],
)
def test_refuses_views_that_make_no_sense(arguments, error, message):
    with pytest.raises(error, match=message):
        View(**arguments)


@pytest.mark.parametrize("name", [field.name for field in fields(View)])
def test_every_field_is_checked(name):
    with pytest.raises((TypeError, ValueError), match=name):
        View(**{name: object()})


def test_arrays_and_tensors_of_numbers_are_numbers():
    given = View(
        np.array([32, 48]),
        scale=np.array([0.25, 1.0]),
        ratio=torch.tensor([0.5, 2.0]),
        color_jitter=np.array([0.5, 0.25, 0.5]),
    )
    assert given == View((32, 48), (0.25, 1.0), (0.5, 2.0), color_jitter=(0.5, 0.25, 0.5))


def test_warns_that_a_policy_replaces_colour_jitter():
    with pytest.warns(UserWarning, match=r"color_jitter is not applied beside auto_augment='rand"):
        View(color_jitter=0.4, auto_augment="rand-m9")
    # Both are applied here.
    View(color_jitter=0.4, auto_augment="rand-m9", force_color_jitter=True)
    View(color_jitter=0.4, auto_augment="3a")
    # timm's own defaults combine the two, so from_timm does not warn.
    assert View.from_timm(auto_augment="rand-m9").color_jitter is None


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


def test_refuses_pairs_that_make_no_sense():
    with pytest.raises(ValueError, match=r"several sizes, .24, 24. and .40, 24., can share a crop"):
        TwoView(View(24, crop="pad"), View((40, 24), crop="pad"), same_crop=True)
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


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"index": -1}, ValueError, "index must be from 0"),
        ({"index": 0, "epoch": 2**32}, ValueError, "epoch must be from 0"),
        ({"index": 0, "seed": 1.5}, TypeError, "seed must be an integer"),
        ({"epoch": 3}, ValueError, r"epoch=3 needs index=.*new draw at every call"),
        ({"seed": 0}, ValueError, r"seed=0 needs index="),
    ],
)
def test_refuses_keys_that_make_no_sense(photos, arguments, error, message):
    with pytest.raises(error, match=message):
        TWO(photos[0], **arguments)
    with pytest.raises(error, match=message):
        TWO.plan((20, 30), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"indices": [1, 2]}, "indices must be 1 integers"),
        ({"indices": [-1]}, "indices must be integers from 0 up"),
        ({"indices": [0.5]}, "indices must be integers"),
        ({"threads": 0}, "threads must be from 1"),
        ({"epoch": 3}, "epoch=3 needs indices="),
    ],
)
def test_refuses_batches_that_make_no_sense(photos, arguments, message):
    with pytest.raises(ValueError, match=message):
        TWO.batch([photos[0]], **arguments)


def test_a_batch_of_one_sample_that_is_not_in_a_list_is_refused(photos):
    for one in ("dog.jpg", b"\xff\xd8", photos[0], Image.fromarray(photos[0]), None):
        with pytest.raises(TypeError, match=r"samples must be a list .*for one sample call"):
            TWO.batch(one)


def test_refuses_images_that_the_crop_does_not_fit():
    with pytest.raises(ValueError, match=r"padded by 4 is smaller than the crop .* crop='rrc'"):
        View(64, crop="pad")(np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(ValueError, match="cannot be cropped"):
        TWO.plan((0, 5))
