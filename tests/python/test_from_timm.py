"""`View.from_timm` and `from_args` against what timm's `create_transform` composes."""

import argparse
import inspect
import itertools
import pickle
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch
from timm.data import create_loader, create_transform, resolve_data_config
from timm.data.dataset import ImageDataset
from timm.data.transforms import interp_mode_to_str

from tied_augment import TwoView, View, view_from_timm

SIGNATURE = inspect.signature(create_transform).parameters


def fields_of(transform):
    """What a composition of timm's says, by the names of a View's fields."""
    said = {"hflip": 0.0, "crop": None}
    for part in transform.transforms:
        read = READ[type(part).__name__]
        said |= read(part, said) or {}
    return said


def _filters(part):
    modes = part.interpolation
    names = [interp_mode_to_str(mode) for mode in modes] if isinstance(modes, tuple) else None
    assert names in (None, ["bilinear", "bicubic"])
    return {"interpolation": "random" if names else interp_mode_to_str(modes)}


def _random_apply(part, said):
    (inner,) = part.transforms
    if type(inner).__name__ == "GaussianBlur":
        assert inner.kernel_size == (23, 23)
        assert inner.sigma == (0.1, 2.0)
        return {"gaussian_blur_prob": part.p}
    return _jitter(inner, said) | {"color_jitter_prob": part.p}


def _jitter(part, said):
    strengths = [bounds[1] - 1 if bounds else 0.0 for bounds in (part.brightness, part.contrast)]
    strengths += [part.saturation[1] - 1 if part.saturation else 0.0]
    return {"color_jitter": (*strengths, part.hue[1] if part.hue else 0.0)}


def _policy(part, said):
    ops = part.ops if hasattr(part, "ops") else [op for ops in part.policy for op in ops]
    hparams = ops[0].hparams
    assert hparams["translate_const"] == int(min(said["size"]) * 0.45)
    return {"policy": True, "fill": hparams["img_mean"]}


def _center(part, said):
    return None if said["crop"] == "squash" else {"size": part.size}


def _resize(part, said):
    squash = isinstance(part.size, (tuple, list))
    return {"crop": "squash" if squash else "center", "size": part.size} | _filters(part)


def _rrc(part, said):
    fields = {"crop": "rrc", "size": part.size, "scale": part.scale, "ratio": part.ratio}
    return fields | _filters(part)


READ = {
    "RandomResizedCropAndInterpolation": _rrc,
    "ResizeKeepRatio": lambda part, _: (
        {
            "size": part.size,
            "scale": part.random_scale_range,
            "ratio": part.random_aspect_range,
        }
        | _filters(part)
    ),
    "CenterCropOrPad": lambda part, _: {"crop": "rkrc"},
    "RandomCropOrPad": lambda part, _: {"crop": "rkrr"},
    "Resize": _resize,
    "CenterCrop": _center,
    "RandomHorizontalFlip": lambda part, _: {"hflip": part.p},
    "RandomVerticalFlip": lambda part, _: {"vflip": part.p},
    "RandAugment": _policy,
    "AutoAugment": _policy,
    "AugMixAugment": _policy,
    "ColorJitter": _jitter,
    "RandomApply": _random_apply,
    "RandomGrayscale": lambda part, _: {"grayscale_prob": part.p},
    "MaybePILToTensor": lambda part, _: None,
    "MaybeToTensor": lambda part, _: None,
    "Normalize": lambda part, _: None,
    "RandomErasing": lambda part, _: {
        "re_prob": part.probability,
        "re_mode": part.mode,
        "re_count": part.max_count,
        "re_num_splits": part.num_splits,
    },
}


DEFAULTS = {
    name: getattr(View(), name)
    for name in ("vflip", "grayscale_prob", "gaussian_blur_prob", "re_prob")
}


def assert_view_says(view, said):
    """The view's fields are those of timm's composition; what timm doesn't compose is off."""
    expected = DEFAULTS | said
    assert (view.auto_augment is not None) == bool(expected.pop("policy", False))
    fill = expected.pop("fill", None)
    if fill is not None:
        assert fill == tuple(min(255, round(255 * mean)) for mean in view.mean)
    jitters = expected.pop("color_jitter", None) or (0, 0, 0, 0)
    plans = [view.plan((200, 180), index=index)["ops"] for index in range(60)]
    drawn = {name for plan in plans for name, _ in plan}
    assert ("Hue" in drawn) == (jitters[3] > 0)
    if view.auto_augment != "rand-m9-mstd0.5-inc1":  # which has brightness of its own
        assert ("Brightness" in drawn) == (jitters[0] > 0)
    if any(jitters) and view.auto_augment is None:
        assert view.color_jitter == pytest.approx(jitters)
        factors = [a["factor"] for plan in plans for name, a in plan if name == "Brightness"]
        assert max(abs(factor - 1) for factor in factors) <= jitters[0]
    for name, value in expected.items():
        mine = getattr(view, name)
        if name == "size" and isinstance(value, int):
            value = (value, value)
        assert mine == (tuple(value) if isinstance(value, (list, tuple)) else value), name


GRID = {
    "input_size": [224, (3, 96, 128), (64, 48)],
    "train_crop_mode": [None, "rrc", "rkrc", "rkrr"],
    "scale": [None, (0.3, 0.9), [0.5, 1.0]],
    "ratio": [None, (0.5, 2.0)],
    "hflip": [0.5, 0.0, 1.0],
    "vflip": [0.0, 0.2],
    "color_jitter": [0.4, None, 0.0, (0.1, 0.2, 0.3), [0.4, 0.3, 0.2, 0.1]],
    "color_jitter_prob": [None, 0.8],
    "grayscale_prob": [0.0, 0.2, None],
    "gaussian_blur_prob": [0.0, 0.5],
    "auto_augment": [None, "", "rand-m9-mstd0.5-inc1", "3a", "augmix-m3", "original", "rand-t3a"],
    "interpolation": ["bilinear", "random", "bicubic", "nearest"],
    "mean": [View.mean, (0.5, 0.5, 0.5)],
    "std": [View.std, (0.5, 0.5, 0.5)],
    "re_prob": [0.0, 0.25],
    "re_mode": ["const", "pixel", "rand"],
    "re_count": [1, 3],
    "re_num_splits": [0, 2],
    "no_aug": [False, True],
    "use_prefetcher": [False, True],
    "normalize": [True, False],
    "crop_pct": [None, 0.9],
    "crop_mode": [None, "border"],
    "crop_border_pixels": [None, 3],
}


def combinations():
    """Every pair of values of every pair of options at least once, the rest being defaults."""
    yield {}
    for one, other in itertools.combinations(GRID, 2):
        for values in itertools.product(GRID[one], GRID[other]):
            yield dict(zip((one, other), values, strict=True))


def test_says_what_timm_composes():
    count = 0
    for options in combinations():
        timms = create_transform(is_training=True, **options)
        said = fields_of(timms)
        view = View.from_timm(**options)
        if options.get("no_aug"):
            assert view.crop in ("center", "squash")
        assert_view_says(view, said)
        count += 1
    assert count > 1500


def test_takes_every_option_of_create_transform():
    known = view_from_timm._DEFAULTS | dict.fromkeys(view_from_timm._WITHOUT_EFFECT)
    assert SIGNATURE.keys() == known.keys() | view_from_timm._REFUSED.keys()
    for name, default in view_from_timm._DEFAULTS.items():
        assert name == "is_training" or SIGNATURE[name].default == default, name
    defaults = {name: parameter.default for name, parameter in SIGNATURE.items()}
    assert View.from_timm(**defaults | {"is_training": True}) == View.from_timm()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"is_training": False, "crop_mode": "pad"}, ValueError, "crop_mode must be 'center', "),
        ({"separate": True}, ValueError, "separate=True is not supported: use TwoView"),
        ({"naflex": True}, ValueError, "naflex=True is not supported"),
        ({"patchify": True}, ValueError, "patchify=True is not supported"),
        ({"tf_preprocessing": True}, ValueError, "tf_preprocessing=True is not supported"),
        ({"input_size": (1, 28, 28)}, ValueError, r"input_size \(1, 28, 28\) is not supported"),
        ({"train_crop_mode": "center"}, ValueError, "train_crop_mode must be 'rrc', 'rkrc'"),
        ({"color_jitter": (0.1, 0.2)}, ValueError, "color_jitter must be a number or 3 or 4"),
        ({"auto_augment": "v1"}, ValueError, "no policy is called 'v1'"),
        ({"aa": "v0"}, TypeError, "create_transform has no option 'aa'"),
        ({"re_prob": 0.5, "re_mode": "noise"}, ValueError, "re_mode must be 'const', 'rand'"),
    ],
)
def test_refuses_what_it_cannot_do(options, error, message):
    with pytest.raises(error, match=message):
        View.from_timm(**options)


def test_takes_a_models_data_config():
    config = resolve_data_config({}, model=SimpleNamespace(pretrained_cfg={"mean": (0.5,) * 3}))
    view = View.from_timm(**config)
    assert view == View.from_timm(interpolation="bicubic", mean=(0.5,) * 3, input_size=224)


# train.py's own parser is not in timm's wheel: its augmentation options and defaults, timm 1.0.31.
ARGS = {
    **dict.fromkeys(("img_size", "in_chans", "input_size", "crop_pct", "mean", "std")),
    "interpolation": "",
    "no_aug": False,
    "train_crop_mode": None,
    "scale": [0.08, 1.0],
    "ratio": [3 / 4, 4 / 3],
    "hflip": 0.5,
    "vflip": 0.0,
    "color_jitter": 0.4,
    **dict.fromkeys(("color_jitter_prob", "grayscale_prob", "gaussian_blur_prob", "aa")),
    "aug_repeats": 0,
    "aug_splits": 0,
    "jsd_loss": False,
    "reprob": 0.0,
    "remode": "pixel",
    "recount": 1,
    "resplit": False,
    "train_interpolation": "random",
    "no_prefetcher": False,
    "naflex_loader": False,
    "train_img_sizes": None,
    "input_img_mode": None,
}


def args(**changes):
    assert changes.keys() <= ARGS.keys()
    return argparse.Namespace(**ARGS | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aa": "rand-m9-mstd0.5-inc1", "reprob": 0.25, "img_size": 160},
        {"no_prefetcher": True, "reprob": 0.3, "recount": 2, "resplit": True},
        {"no_aug": True, "input_size": [3, 96, 96]},
        {"train_interpolation": "", "interpolation": "bilinear", "mean": [0.5], "std": [0.2]},
        {"train_crop_mode": "rkrc", "vflip": 0.1, "grayscale_prob": 0.2, "color_jitter": None},
        {"color_jitter_prob": 0.8, "gaussian_blur_prob": 0.3, "hflip": 0.0},
    ],
)
def test_from_args_is_what_train_py_trains_on(changes):
    given = args(**changes)
    # The calls of train.py, with its arguments.
    config = resolve_data_config(vars(given))
    interpolation = given.train_interpolation
    if given.no_aug or not interpolation:
        interpolation = config["interpolation"]
    dataset = ImageDataset.__new__(ImageDataset)
    dataset.reader, dataset.transform = [0], None
    create_loader(
        dataset,
        input_size=config["input_size"],
        batch_size=1,
        is_training=True,
        no_aug=given.no_aug,
        re_prob=given.reprob,
        re_mode=given.remode,
        re_count=given.recount,
        re_split=given.resplit,
        train_crop_mode=given.train_crop_mode,
        scale=given.scale,
        ratio=given.ratio,
        hflip=given.hflip,
        vflip=given.vflip,
        color_jitter=given.color_jitter,
        color_jitter_prob=given.color_jitter_prob,
        grayscale_prob=given.grayscale_prob,
        gaussian_blur_prob=given.gaussian_blur_prob,
        auto_augment=given.aa,
        num_aug_splits=given.aug_splits,
        interpolation=interpolation,
        mean=config["mean"],
        std=config["std"],
        num_workers=0,
        use_prefetcher=not given.no_prefetcher,
        device=torch.device("cpu"),
    )
    assert_view_says(View.from_args(given), fields_of(dataset.transform))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aug_splits": 2}, "--aug-splits is not supported in a View: TwoView makes"),
        ({"jsd_loss": True}, "--jsd-loss is not supported"),
        ({"naflex_loader": True}, "--naflex-loader is not supported"),
        ({"train_img_sizes": [128, 160]}, "--train-img-sizes is not supported"),
        ({"input_img_mode": "L"}, "--input-img-mode L is not supported"),
        ({"in_chans": 1, "mean": [0.5], "std": [0.5]}, "views have 3 channels"),
    ],
)
def test_from_args_refuses_what_it_cannot_do(changes, message):
    with pytest.raises(ValueError, match=message):
        View.from_args(args(**changes))


def test_from_args_of_an_older_train_py():
    """timm 0.9.16 has fewer options."""
    old = args(hflip=0.3)
    for name in ("train_crop_mode", "color_jitter_prob", "grayscale_prob", "gaussian_blur_prob"):
        delattr(old, name)
    for name in ("naflex_loader", "train_img_sizes", "input_img_mode"):
        delattr(old, name)
    assert View.from_args(old) == View.from_args(args(hflip=0.3))


def test_the_models_size_and_normalisation_hold_where_args_say_nothing():
    cfg = {"input_size": (3, 288, 288), "mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}
    view = View.from_args(args(), SimpleNamespace(pretrained_cfg=cfg))
    assert (view.size, view.mean, view.std) == ((288, 288), (0.5,) * 3, (0.2,) * 3)


def test_a_view_is_a_value():
    options = {"auto_augment": "rand-m9", "re_prob": 0.1}
    view = View.from_timm(input_size=96, color_jitter=[0.1, 0.2, 0.3, 0.1], **options)
    again = View.from_timm(input_size=(3, 96, 96), color_jitter=(0.1, 0.2, 0.3, 0.1), **options)
    assert view == again
    assert hash(view) == hash(again)
    assert pickle.loads(pickle.dumps(view)) == view
    assert len({view, again, View(96)}) == 2
    for value in (view, View(), View(96, crop="rkrr", scale=(0.7, 1)), View(32, crop="center")):
        assert eval(repr(value), {"View": View}) == value
    assert repr(View()) == "View()"
    assert repr(View(32, crop="pad", cutout=16)) == "View(size=(32, 32), crop='pad', cutout=16)"
    assert {field.name for field in fields(View)} >= {"auto_augment", "color_jitter", "re_prob"}
    assert TwoView(view).first == view


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"color_jitter": -0.1}, "color_jitter must be of values from 0 up, not -0.1"),
        ({"color_jitter": (0, 0, 0, 0.6)}, "hue must be at most 0.5, not 0.6"),
        ({"color_jitter": 0.4, "color_jitter_prob": 1.5}, "color_jitter_prob must be from 0 to 1"),
        ({"grayscale_prob": 1.1}, "grayscale_prob must be a probability"),
        ({"gaussian_blur_prob": -0.1}, "gaussian_blur_prob must be a probability"),
        ({"gaussian_blur_prob": 0.1, "size": 11}, "needs a size of at least 12 a side"),
        ({"re_prob": 2}, "re_prob must be a probability"),
        ({"re_prob": 1, "re_count": 0}, "re_count must be from 1 to 1000"),
        ({"re_mode": "black"}, "re_mode must be 'const', 'rand' or 'pixel', not 'black'"),
        ({"cutout": 40_000}, "cutout must be from 0 to 224, got 40000"),
        ({"mean": (0.5, 0.5)}, "mean must be 3 numbers"),
        ({"mean": (124, 116, 104)}, "mean must be of values from 0 to 1, not 124"),
        ({"crop": "rkrc", "scale": (0, 1)}, "scale must be"),
    ],
)
def test_refuses_values_that_make_no_sense(fields, message):
    with pytest.raises(ValueError, match=message):
        View(**fields)


def test_a_strip_is_not_resized_to_a_gigabyte():
    with pytest.raises(ValueError, match="too long and thin for this crop"):
        View(224, crop="rkrc").plan((1, 100_000_000))
    for shape in [(1, 100_000_000), (100_000_000, 1)]:
        with pytest.raises(ValueError, match="too long and thin for this crop"):
            View(224, crop="squash").plan(shape)
