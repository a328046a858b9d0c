"""The random numbers of a view have the distributions of timm's and torchvision's."""

import random

import numpy as np
import pytest
import scipy.stats
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import CenterCropOrPad, RandomCropOrPad, ResizeKeepRatio
from torchvision.transforms import ColorJitter
from two_samples import chi_square, same_values

from tied_augment import View

# The seeds are fixed. With others, one run in 1,700 would fail by chance: about 60 tests at 1e-5.
ALPHA = 1e-5
COUNT = 4000


def plans(view, shape=(50, 50)):
    return [view.plan(shape, index=index)["ops"] for index in range(COUNT)]


def named(ops, *names):
    return [op for op in ops if op[0] in names]


def occurs(name, draws, rate):
    count = sum(any(op[0] == name for op in ops) for ops in draws)
    return scipy.stats.binomtest(count, len(draws), rate).pvalue > ALPHA


def test_colour_jitter():
    strengths = (0.4, 0.3, 1.2, 0.1)
    names = ("Brightness", "Contrast", "Color", "Hue")
    mine = [named(ops, *names) for ops in plans(View(32, color_jitter=strengths))]
    torch.manual_seed(0)
    jitter = ColorJitter(*strengths)
    bounds = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    theirs = [ColorJitter.get_params(*bounds) for _ in range(COUNT)]
    orders = [tuple(names[i] for i in order) for order, *_ in theirs]
    assert chi_square([tuple(name for name, _ in ops) for ops in mine], orders) > ALPHA
    for which, name in enumerate(names):
        factors = [dict(ops)[name]["factor"] for ops in mine]
        assert same_values(factors, [params[1 + which] for params in theirs]) > ALPHA, name


def test_probabilities():
    view = View(
        32, color_jitter=0.1, color_jitter_prob=0.8, grayscale_prob=0.3, gaussian_blur_prob=0.2
    )
    draws = plans(view)
    assert occurs("Brightness", draws, 0.8)
    assert occurs("Grayscale", draws, 0.3)
    assert occurs("GaussianKernel", draws, 0.2)
    sigmas = [a["sigma"] for ops in draws for _, a in named(ops, "GaussianKernel")]
    assert scipy.stats.kstest(sigmas, scipy.stats.uniform(0.1, 1.9).cdf).pvalue > ALPHA
    # No random number decides two things.
    gray, blur, jitter = (
        [any(op[0] == name for op in ops) for ops in draws]
        for name in ("Grayscale", "GaussianKernel", "Brightness")
    )
    for one, other in ((gray, blur), (gray, jitter), (blur, jitter)):
        table = np.histogram2d(one, other, bins=2)[0]
        assert scipy.stats.chi2_contingency(table).pvalue > ALPHA


def test_blur_and_solarize():
    view = View(
        32,
        gaussian_blur_prob=0.7,
        gaussian_blur_kernel=None,
        gaussian_blur_sigma=(0.5, 3),
        solarize_prob=0.2,
        solarize_threshold=77,
    )
    draws = plans(view)
    assert occurs("GaussianBlur", draws, 0.7)
    assert occurs("Solarize", draws, 0.2)
    radii = [a["radius"] for ops in draws for _, a in named(ops, "GaussianBlur")]
    assert scipy.stats.kstest(radii, scipy.stats.uniform(0.5, 2.5).cdf).pvalue > ALPHA
    assert all(a["threshold"] == 77 for ops in draws for _, a in named(ops, "Solarize"))
    blurred, solarized = (
        [any(op[0] == name for op in ops) for ops in draws] for name in ("GaussianBlur", "Solarize")
    )
    table = np.histogram2d(blurred, solarized, bins=2)[0]
    assert scipy.stats.chi2_contingency(table).pvalue > ALPHA


class Erased:
    """Stands in for an image and records the boxes that timm erases."""

    def __init__(self):
        self.boxes = []

    def __setitem__(self, key, value):
        _, rows, columns = key
        w, h = columns.stop - columns.start, rows.stop - rows.start
        self.boxes.append((columns.start, rows.start, w, h))


@pytest.mark.parametrize("count", [1, 3])
def test_random_erasing(count):
    draws = plans(View((48, 64), re_prob=0.6, re_count=count))
    erase = RandomErasing(0.6, max_count=count, device="cpu")
    random.seed(0)
    theirs = []
    for _ in range(COUNT):
        image = Erased()
        erase._erase(image, 3, 48, 64, torch.float32)
        theirs.append(image.boxes)
    mine = [[tuple(a[key] for key in "xywh") for _, a in named(ops, "Erase")] for ops in draws]
    assert same_values([len(boxes) for boxes in mine], [len(boxes) for boxes in theirs]) > ALPHA
    for name, quantity in {
        "x": lambda x, y, w, h: x,
        "y": lambda x, y, w, h: y,
        "w": lambda x, y, w, h: w,
        "h": lambda x, y, w, h: h,
        "area": lambda x, y, w, h: w * h,
        "aspect": lambda x, y, w, h: w / max(h, 1),
    }.items():
        samples = ([quantity(*b) for boxes in draw for b in boxes] for draw in (mine, theirs))
        assert same_values(*samples) > ALPHA, name


def test_the_colours_of_random_erasing():
    view = View(48, re_prob=1, re_mode="rand", mean=(0.5, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    colours = np.array([a["fill"] for ops in plans(view) for _, a in named(ops, "Erase")])
    rng = np.random.default_rng(0)
    for channel in range(3):
        normal = view.mean[channel] + view.std[channel] * rng.normal(size=COUNT)
        theirs = np.clip(np.round(255 * normal), 0, 255)
        assert same_values(colours[:, channel], theirs) > ALPHA
    assert scipy.stats.spearmanr(colours[:, 0], colours[:, 1]).pvalue > ALPHA


def test_cutout():
    """The centre is uniform, as `numpy.random.randint` draws it in the paper's code."""
    erased = [a for ops in plans(View(32, cutout=16)) for _, a in named(ops, "Erase")]
    boxes = np.array([[box[key] for key in "xywh"] for box in erased])
    assert len(boxes) == COUNT
    assert (boxes[:, 2:] == 16).all()
    for axis in (0, 1):
        assert set(boxes[:, axis]) == set(range(-8, 24))
        assert scipy.stats.chisquare(np.bincount(boxes[:, axis] + 8)).pvalue > ALPHA


@pytest.mark.parametrize("shape", [(120, 180), (333, 95), (30, 31)])
def test_resizing_that_keeps_the_ratio(shape):
    scale, ratio = (0.5, 1.5), (0.6, 1.5)
    view = View((64, 80), crop="rkrr", scale=scale, ratio=ratio, interpolation="bicubic")
    draws = plans(view, shape)
    image = Image.new("RGB", shape[::-1])
    random.seed(0)
    theirs, corners = [], []
    for _ in range(COUNT):
        height, width = ResizeKeepRatio.get_params(
            image, (64, 80), 0.0, 0.5, scale, True, 0.5, ratio
        )
        theirs.append((height, width))
        resized = Image.new("L", (width, height))
        corners.append(RandomCropOrPad.get_params(resized, (64, 80)))
    mine = [dict(ops)["resize"]["size"] for ops in draws]
    frames = [(dict(ops)["frame"]["y"], dict(ops)["frame"]["x"]) for ops in draws]
    for axis in (0, 1):
        for samples in ((mine, theirs), (frames, corners)):
            assert same_values(*([pair[axis] for pair in sample] for sample in samples)) > ALPHA
    assert same_values(*([h / w for h, w in sample] for sample in (mine, theirs))) > ALPHA
    # A quarter of the draws leave the image as it is.
    plain = max(set(theirs), key=theirs.count)
    counts = [sum(tuple(size) == tuple(plain) for size in sample) for sample in (mine, theirs)]
    table = [[count, COUNT - count] for count in counts]
    assert scipy.stats.chi2_contingency(table).pvalue > ALPHA


def test_central_frames_are_timms(photos):
    """Nothing is random here, so the pixels are held against timm's own transform."""
    view = View((40, 56), crop="rkrc", scale=(0.4, 2), ratio=(0.5, 2), hflip=0)
    for index in range(60):
        image = np.ascontiguousarray(photos[index % 5][: 30 + 3 * index, : 200 - 2 * index])
        ops = dict(view.plan(image.shape[:2], index=index)["ops"])
        height, width = ops["resize"]["size"]
        filter_ = Image.Resampling[ops["resize"]["interpolation"].upper()]
        resized = Image.fromarray(image).resize((width, height), filter_)
        theirs = CenterCropOrPad((40, 56), padding_mode="reflect")(resized)
        assert (view(image, index=index) == np.asarray(theirs).transpose(2, 0, 1)).all(), ops


def test_no_aug_is_timms(photos):
    for index in range(20):
        image = np.ascontiguousarray(photos[index % 5][: 40 + 9 * index, : 220 - 7 * index])
        for size in (37, (3, 40, 29)):
            options = {"input_size": size, "no_aug": True, "interpolation": "bicubic"}
            timms = create_transform(is_training=True, use_prefetcher=True, **options)
            ours = View.from_timm(**options)(image, index=index)
            assert (ours == timms(Image.fromarray(image)).numpy()).all(), (size, image.shape)
