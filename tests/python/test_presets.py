"""The presets of self-supervised methods: lightly's pixels from our plans, and its draws."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import scipy.stats
from lightly import transforms
from lightly.transforms import gaussian_blur, solarize
from lightly_views import draws_of, made_by, our_draw, steps_of
from PIL import Image
from reference import assert_equal, planes
from test_policy_parity import samples
from torchvision.transforms import InterpolationMode, v2
from two_samples import chi_square, same_values

from tied_augment import TwoView, View, presets

# The seeds are fixed. With others, one run in 250 would fail by chance: about 400 tests at 1e-5.
ALPHA = 1e-5
COUNT = 2000
SHAPE = (300, 400)

PRESETS = {
    "simclr": (presets.simclr, transforms.SimCLRTransform),
    "byol": (presets.byol, transforms.BYOLTransform),
    "moco_v2": (presets.moco_v2, transforms.MoCoV2Transform),
    # lightly has none, but BYOL's in lightly is resized as MoCo v3 resizes.
    "moco_v3": (presets.moco_v3, transforms.BYOLTransform),
    "dino": (partial(presets.dino, local_size=40, local_views=3), transforms.DINOTransform),
    "swav": (partial(presets.swav, local_size=40, local_views=3), transforms.SwaVTransform),
    "vicreg": (presets.vicreg, transforms.VICRegTransform),
}
# Where lightly resizes bilinear and the authors bicubic.
BICUBIC = {"simclr", "byol", "vicreg"}


def lightly_views(name):
    """The steps of each of lightly's views, at 64 pixels, with the published settings."""
    theirs = PRESETS[name][1]
    if name == "dino":
        made = theirs(global_crop_size=64, local_crop_size=40, n_local_views=3)
    elif name == "swav":
        made = theirs(crop_sizes=(64, 40), crop_counts=(2, 3))
    elif theirs is transforms.BYOLTransform:
        size = {"input_size": 64}
        made = theirs(transforms.BYOLView1Transform(**size), transforms.BYOLView2Transform(**size))
    else:
        made = theirs(input_size=64)
    return made.transforms


def published(name, transform):
    """The steps of lightly's transform, changed where the docstring of the preset says so."""
    steps = steps_of(transform)
    if name in BICUBIC:
        assert InterpolationMode(steps[0].interpolation) == InterpolationMode.BILINEAR
        steps[0] = v2.RandomResizedCrop(
            steps[0].size, steps[0].scale, steps[0].ratio, InterpolationMode.BICUBIC
        )
    if name == "vicreg":
        assert isinstance(steps[-2], solarize.RandomSolarization)
        assert isinstance(steps[-1], gaussian_blur.GaussianBlur)
        steps[-2:] = steps[:-3:-1]
    return steps


@pytest.mark.parametrize("name", PRESETS)
def test_pixels_are_lightlys(photos, name):
    views = PRESETS[name][0](64)
    transforms_ = lightly_views(name)
    seen = set()
    for case, image in samples(photos, 60, 11):
        plans = views.plan(image.shape[:2], index=case)
        made = views(image, index=case)
        assert len(made) == len(plans) == len(transforms_)
        for ours, plan, transform in zip(made, plans, transforms_, strict=True):
            theirs = made_by(published(name, transform), plan, Image.fromarray(image))
            assert_equal(ours, planes(theirs), case, plan)
            seen |= {op for op, _ in plan["ops"]}
    expected = {"hflip", "Brightness", "Contrast", "Color", "Hue", "Grayscale", "GaussianBlur"}
    assert seen >= expected
    assert ("Solarize" in seen) == (name not in ("simclr", "moco_v2", "swav"))


@pytest.mark.parametrize("name", PRESETS)
def test_draws_are_distributed_as_lightlys(name, monkeypatch):
    plans = [PRESETS[name][0](64).plan(SHAPE, index=index) for index in range(COUNT)]
    theirs = {}
    for number, transform in enumerate(lightly_views(name)):
        if transform not in theirs:
            with monkeypatch.context() as patch:
                theirs[transform] = draws_of(transform, SHAPE, COUNT, patch)
        ours = [our_draw(plan[number]) for plan in plans]
        assert_same_distribution(ours, theirs[transform])


def assert_same_distribution(ours, theirs):
    names = set().union(*ours, *theirs)
    assert {"x", "y", "w", "h", "hflip", "order", "Hue", "Grayscale", "GaussianBlur"} <= names
    for name in names:
        samples_ = [[draw[name] for draw in draws if name in draw] for draws in (ours, theirs)]
        if name != "order":
            assert same_values(*samples_) > ALPHA, name
        else:
            assert chi_square(*samples_) > ALPHA
        counts = [[len(sample), COUNT - len(sample)] for sample in samples_]
        if np.sum(counts, 0).min() > 0:
            assert scipy.stats.chi2_contingency(counts).pvalue > ALPHA, name
    for quantity in (lambda d: d["w"] * d["h"], lambda d: d["w"] / d["h"]):
        assert same_values(*([quantity(d) for d in draws] for draws in (ours, theirs))) > ALPHA


def test_the_settings_are_the_papers():
    """Those that are not lightly's, and the numbers of each as its paper has them."""
    first, second = presets.byol().views
    assert first.interpolation == second.interpolation == "bicubic"
    assert (first.gaussian_blur_prob, second.gaussian_blur_prob) == (1.0, 0.1)
    assert (first.solarize_prob, second.solarize_prob) == (0.0, 0.2)
    assert first.color_jitter == (0.4, 0.4, 0.2, 0.1)
    bilinear = {"interpolation": "bilinear"}
    assert presets.moco_v3() == TwoView(
        *(dataclasses.replace(v, **bilinear) for v in (first, second))
    )
    assert presets.simclr(strength=0.5).first.color_jitter == (0.4, 0.4, 0.4, 0.1)
    assert presets.moco_v2().first.scale == (0.2, 1)


def test_multi_crop():
    for views, count, sizes in (
        (presets.dino(), 8, (224, 96)),
        (presets.swav(), 6, (224, 96)),
        (presets.dino(64, (32, 40), 0), 0, (64, None)),
        (presets.swav((48, 64), 32, local_views=1), 1, ((48, 64), 32)),
    ):
        large, small = ((size, size) if isinstance(size, int) else size for size in sizes)
        assert views.sizes == (large, large, *count * [small])
    scales = {view.scale for view in presets.dino(scale=(0.3, 0.6)).views}
    assert scales == {(0.3, 0.6)}
    assert [view.solarize_prob for view in presets.dino(local_views=2).views] == [0, 0.2, 0, 0]
    with pytest.raises(ValueError, match="local_views must be from 0 to 1000, got -1"):
        presets.dino(local_views=-1)
    with pytest.raises(TypeError, match=r"local_views must be an integer, got 2\.5"):
        presets.swav(local_views=2.5)


def test_changes_are_made_in_every_view():
    views = presets.byol((48, 64), scale=(0.2, 1), gaussian_blur_prob=0, color_jitter=None)
    assert views.size == (48, 64)
    assert all(view.scale == (0.2, 1) for view in views.views)
    ops = {op for index in range(50) for plan in views.plan(SHAPE, index) for op, _ in plan["ops"]}
    assert not ops & {"GaussianBlur", "Hue"}
    assert "Solarize" in ops
    kernel = presets.simclr(gaussian_blur_kernel=23).first
    assert kernel == dataclasses.replace(presets.simclr().first, gaussian_blur_kernel=23)
    with pytest.raises(TypeError, match="hue_strength"):
        presets.byol(hue_strength=0.1)
    with pytest.raises(ValueError, match="gaussian_blur_kernel=9 has no effect"):
        presets.byol(gaussian_blur_kernel=9, gaussian_blur_prob=0)
    assert isinstance(presets.vicreg().first, View)
