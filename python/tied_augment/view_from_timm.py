"""timm's options as fields of a `View`.

`fields_from_options` maps the options of ``timm.data.create_transform`` to fields.
`options_from_args` maps the arguments of timm's train.py to those options. It alone imports timm.
No option is dropped silently: each one is listed as used, without effect, or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "evaluation_fields",
    "fields_from_options",
    "keeps_color_jitter",
    "options_from_args",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The defaults of `create_transform`, timm 1.0.31. None for those that `View` resolves as timm does.
_DEFAULTS: dict[str, Any] = {
    "input_size": 224,
    "is_training": True,  # False in timm: most views are for training
    "no_aug": False,
    "train_crop_mode": None,
    "scale": None,
    "ratio": None,
    "hflip": 0.5,
    "vflip": 0.0,
    "color_jitter": 0.4,
    "color_jitter_prob": None,
    "grayscale_prob": 0.0,
    "gaussian_blur_prob": 0.0,
    "auto_augment": None,
    "interpolation": "bilinear",
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
    "re_prob": 0.0,
    "re_mode": "const",
    "re_count": 1,
    "re_num_splits": 0,
    "crop_pct": None,
    "crop_mode": None,
    "crop_border_pixels": None,
    "use_prefetcher": False,
    "normalize": True,
}

# Options that `create_transform` reads only with one of `_REFUSED`.
_WITHOUT_EFFECT = frozenset(
    {
        "patch_size",
        "max_seq_len",
        "patchify_channels_last",
        "patchify_flatten",
    }
)

_REFUSED = {
    "tf_preprocessing": "TensorFlow's preprocessing is for evaluating ported models",
    "separate": "use TwoView(first, second, same_crop=True) for a clean and an augmented view",
    "naflex": "NaFlex gives sequences of patches, not images",
    "patchify": "NaFlex gives sequences of patches, not images",
}


def fields_from_options(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `View` for these keyword arguments of ``create_transform``."""
    for name, value in options.items():
        if name in _REFUSED and value:
            raise ValueError(f"{name}={value!r} is not supported: {_REFUSED[name]}")
        if name not in _DEFAULTS.keys() | _WITHOUT_EFFECT | _REFUSED.keys():
            close = get_close_matches(name, _DEFAULTS)
            hint = f": did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"timm.data.create_transform has no option {name!r}{hint}")
    given = _DEFAULTS | {name: value for name, value in options.items() if name in _DEFAULTS}
    size = _size(given["input_size"])
    if not given["is_training"]:
        # timm takes 0 for 'not given'.
        crop_pct, border = given["crop_pct"] or None, given["crop_border_pixels"] or 0
        mode = given["crop_mode"] or "center"
        fields = evaluation_fields(size, crop_pct, mode, given["interpolation"], border)
        return fields | {name: given[name] for name in ("mean", "std")}
    if given["no_aug"]:
        return _unaugmented(size, given["interpolation"])
    mode = given["train_crop_mode"] or "rrc"
    if mode not in ("rrc", "rkrc", "rkrr"):
        raise ValueError(f"train_crop_mode must be 'rrc', 'rkrc' or 'rkrr', not {mode!r}")
    fields = {
        "size": size,
        "crop": mode,
        # timm takes an empty or missing value for 'not given'.
        "scale": given["scale"] or None,
        "ratio": given["ratio"] or None,
        "grayscale_prob": given["grayscale_prob"] or 0.0,
        "gaussian_blur_prob": given["gaussian_blur_prob"] or 0.0,
    }
    same = ("hflip", "vflip", "color_jitter", "color_jitter_prob", "auto_augment", "interpolation")
    fields |= {name: given[name] for name in (*same, "mean", "std")}
    if given["color_jitter"] is None or not keeps_color_jitter(given["auto_augment"]):
        # timm ignores it silently, while `View` would warn.
        fields |= {"color_jitter": None, "color_jitter_prob": None}
    # With the prefetcher timm erases on the device, and without normalisation not at all.
    if (given["re_prob"] or 0) > 0 and given["normalize"] and not given["use_prefetcher"]:
        fields |= {name: given[name] for name in given if name.startswith("re_")}
    return fields


def evaluation_fields(
    size: object, crop_pct: float | None, crop_mode: str, interpolation: str, border: int
) -> dict[str, Any]:
    """The fields of a view for validation, as ``transforms_imagenet_eval`` makes it."""
    if crop_mode not in ("center", "squash", "border"):
        raise ValueError(f"crop_mode must be 'center', 'squash' or 'border', not {crop_mode!r}")
    if interpolation == "random":
        raise ValueError(
            "interpolation='random' is not for evaluation, which draws nothing: name a filter such "
            "as 'bicubic'"
        )
    return {
        "size": size,
        "crop": crop_mode,
        "crop_pct": 0.875 if crop_pct is None else crop_pct,
        "crop_border_pixels": border,
        "interpolation": interpolation,
        "hflip": 0.0,
    }


def keeps_color_jitter(auto_augment: object) -> bool:
    """Whether timm applies colour jitter with this policy: with none and with 3-Augment it does."""
    named = isinstance(auto_augment, str) and auto_augment != ""
    return not named or "3a" in cast("str", auto_augment)


def options_from_args(args: Namespace, model: object = None) -> dict[str, Any]:
    """The options that train.py passes to ``create_transform``, through ``create_loader``."""
    from timm.data.config import resolve_data_config

    if not hasattr(args, "train_interpolation"):
        raise TypeError(f"args must be what timm's train.py parses, got {args!r}")
    for name, remedy in {
        "aug_splits": "TwoView makes the views that a tied loss needs",
        "jsd_loss": "it needs --aug-splits",
        "naflex_loader": "NaFlex gives sequences of patches, not images",
        "train_img_sizes": "a View has one size: make one for each",
        "tf_preprocessing": "TensorFlow's preprocessing is for evaluating ported models",
    }.items():
        if getattr(args, name, None):
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} is not supported in a View: {remedy}")
    if getattr(args, "input_img_mode", None) not in (None, "RGB"):
        raise ValueError(f"--input-img-mode {args.input_img_mode} is not supported: views are RGB")
    config: dict[str, Any] = cast("Any", resolve_data_config)(vars(args), model=model)
    interpolation = args.train_interpolation
    if args.no_aug or not interpolation:
        interpolation = config["interpolation"]
    return {
        "input_size": config["input_size"],
        "mean": config["mean"],
        "std": config["std"],
        "no_aug": args.no_aug,
        "train_crop_mode": getattr(args, "train_crop_mode", None),
        "scale": args.scale,
        "ratio": args.ratio,
        "hflip": args.hflip,
        "vflip": args.vflip,
        "color_jitter": args.color_jitter,
        "color_jitter_prob": getattr(args, "color_jitter_prob", None),
        "grayscale_prob": getattr(args, "grayscale_prob", None),
        "gaussian_blur_prob": getattr(args, "gaussian_blur_prob", None),
        "auto_augment": args.aa,
        "interpolation": interpolation,
        "re_prob": args.reprob,
        "re_mode": args.remode,
        "re_count": args.recount,
        "re_num_splits": 2 if args.resplit else 0,
        "use_prefetcher": not args.no_prefetcher,
    }


def _size(input_size: int | Sequence[int]) -> int | Sequence[int]:
    if isinstance(input_size, str) or not isinstance(input_size, Sequence):
        return input_size
    if len(input_size) == 3 and input_size[0] != 3:
        raise ValueError(f"input_size {tuple(input_size)} is not supported: views have 3 channels")
    return input_size[-2:]


def _unaugmented(size: int | Sequence[int], interpolation: str) -> dict[str, Any]:
    """``transforms_noaug_train``: two sides squash the image, a single one keeps its ratio."""
    return {
        "size": size,
        "crop": "squash" if isinstance(size, Sequence) else "center",
        "interpolation": "bilinear" if interpolation == "random" else interpolation,
        "hflip": 0.0,
    }
