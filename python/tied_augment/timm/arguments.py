"""The options that ``--tied-augment`` brings to train.py, and what it can't be combined with.

Lives here: the options, their defaults, and every refusal that follows from options alone. It must
not change what the script parses when ``--tied-augment`` is absent.
"""

from __future__ import annotations

import argparse
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from tied_augment.loss import SCHEDULES, SIMILARITIES
from tied_augment.timm.errors import LaunchError

__all__ = ["DEFAULTS", "add_options", "check", "parse"]

# By name: the default, and what argparse is told.
_OPTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "weight": (
        1.0,
        {"type": float, "metavar": "W", "help": "weight of the similarity; negative parts views"},
    ),
    "similarity": (
        "mse",
        {"metavar": "NAME", "help": f"distance between both views: {', '.join(SIMILARITIES)}"},
    ),
    "schedule": (
        "constant",
        {"metavar": "NAME", "help": f"of the weight over the run: {', '.join(SCHEDULES)}"},
    ),
    "supervise": (
        "both",
        {"choices": ("both", "first"), "help": "the views whose logits the criterion gets"},
    ),
    "same_crop": (
        False,
        {"action": "store_true", "help": "one crop and flip for both views"},
    ),
    "own_flips": (
        False,
        {"action": "store_true", "help": "with --tied-same-crop: one crop, a flip for each view"},
    ),
    "aa2": (
        None,
        {"metavar": "POLICY", "help": "policy of the second view, 'none' for none (default: --aa)"},
    ),
    "clean_first": (
        False,
        {"action": "store_true", "help": "first view cropped and flipped only, as timm's AugMix"},
    ),
    "forward": (
        "joint",
        {
            "choices": ("joint", "separate"),
            "help": "one forward of all 2B images, or one for each view: BatchNorm differs",
        },
    ),
    "feature_module": (
        None,
        {
            "nargs": "+",
            "metavar": "MODULE",
            "help": "the modules whose inputs are tied (default: the last linear layer)",
        },
    ),
    "layer_weights": (
        None,
        {
            "nargs": "+",
            "type": float,
            "metavar": "W",
            "help": "a weight for each --tied-feature-module (default: 1)",
        },
    ),
    "loader": (
        "native",
        {"choices": ("native", "timm"), "help": "who reads: threads in Rust, or timm's workers"},
    ),
    "threads": (
        None,
        {"type": int, "metavar": "N", "help": "threads of the native loader (default: --workers)"},
    ),
}

DEFAULTS: dict[str, Any] = {"tied_augment": False} | {
    f"tied_{name}": default for name, (default, _) in _OPTIONS.items()
}

# Options of train.py that can't be combined with two tied views: what they must be, and why.
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "aug_splits": ((0,), "leave it out: --tied-augment makes the views"),
    "jsd_loss": ((False,), "leave it out: use --tied-similarity js for such a loss"),
    "naflex_loader": ((False,), "leave it out: its batches are no pairs of views"),
    "torchscript": ((False,), "use --torchcompile"),
    "aot_autograd": ((False,), "use --torchcompile"),
    "variable_batch_loss_scale": (("none",), "leave it out: it counts images, not pairs"),
    "input_img_mode": ((None, "RGB"), "leave it out: the views are RGB"),
    "in_chans": ((None, 3), "leave it out: the views are RGB"),
    "mixup_mode": (("batch", "pair", "elem"), "choose batch, pair or elem"),
}


def add_options(parser: ArgumentParser) -> None:
    """Add the group of tied options. None of them has a default, so that none appears in the args.

    Raises:
        LaunchError: the script has such an option already.
    """
    group = parser.add_argument_group(
        "Tied-Augment", "Train on two views of each image whose features are tied."
    )
    try:
        group.add_argument(
            "--tied-augment",
            action="store_true",
            default=argparse.SUPPRESS,
            help="train with two tied views; without it none of the options below may be given",
        )
        for name, (default, keywords) in _OPTIONS.items():
            described = dict(keywords)
            if default is not None and default is not False:
                described["help"] += f" (default: {default})"
            flag = f"--tied-{name.replace('_', '-')}"
            group.add_argument(flag, default=argparse.SUPPRESS, **described)
    except argparse.ArgumentError as error:
        raise LaunchError(f"the script has a tied option of its own: {error}") from error


def parse(
    parser: ArgumentParser, parse_args: Callable[[], tuple[Namespace, str]]
) -> tuple[Namespace, str]:
    """Parse with the script's own function, which also reads ``--config`` files.

    Returns:
        What the script's function returns: without ``--tied-augment`` as ever, with it with all
        tied options in both the namespace and the text for args.yaml.

    Raises:
        LaunchError: an option that is refused, unknown, out of range or without effect.
    """
    args, text = parse_args()
    _check_keys(parser, args)
    _check_bool("tied_augment", getattr(args, "tied_augment", False))
    given = [name for name in vars(args) if name in DEFAULTS]
    if not getattr(args, "tied_augment", False):
        others = [name for name in given if name != "tied_augment"]
        if others:
            raise LaunchError(f"{_flag(others[0])} has no effect without --tied-augment: add that")
        return args, text
    # A config file has set defaults of its own by now, which stay.
    missing = {name: value for name, value in DEFAULTS.items() if not hasattr(args, name)}
    parser.set_defaults(**missing)
    args, text = parse_args()
    check(args)
    return args, text


def check(args: Namespace) -> None:
    """Refuse what can't be trained with.

    Raises:
        LaunchError: with the option and the remedy.
    """
    for name, (allowed, remedy) in _REFUSED.items():
        value = getattr(args, name, allowed[0])
        if value not in allowed:
            raise LaunchError(f"{_given(name, value)} does not go with --tied-augment: {remedy}")
    size = getattr(args, "input_size", None)
    if size is not None and size[0] != 3:
        raise LaunchError(f"--input-size {size[0]} ...: the views have 3 channels; give 3")
    if getattr(args, "split_bn", False):
        for other in ("sync_bn", "tied_forward"):
            value = getattr(args, other, False)
            if value and value != "joint":
                raise LaunchError(f"--split-bn and {_given(other, value)}: choose one")
    if args.tied_forward == "separate" and _distils_features(args):
        raise LaunchError("--tied-forward separate does not go with --kd-distill-type feature")
    _check_kinds(args)
    _check_layers(args)
    _check_effects(args)


def _check_keys(parser: ArgumentParser, args: Namespace) -> None:
    """Refuse what looks like a tied option but is none: argparse takes any key of a config file."""
    known = {action.dest for action in parser._actions} | DEFAULTS.keys()
    for key in (key for key in vars(args) if key not in known):
        name = str(key).lower().replace("-", "_")
        close = get_close_matches(name, DEFAULTS, n=1, cutoff=0.8)
        if close or name.startswith("tied"):
            remedy = f"did you mean {close[0]}?" if close else "see --help"
            raise LaunchError(f"the config file has an unknown option {key}: {remedy}")


def _check_kinds(args: Namespace) -> None:
    """Check values, which argparse does not if they come from a config file."""
    _check_choice("tied_similarity", args.tied_similarity, SIMILARITIES)
    _check_choice("tied_schedule", args.tied_schedule, SCHEDULES)
    for name, (default, keywords) in _OPTIONS.items():
        name, value = f"tied_{name}", getattr(args, f"tied_{name}")
        if "choices" in keywords:
            _check_choice(name, value, keywords["choices"])
        if default is False:
            _check_bool(name, value)
    for name in ("tied_feature_module", "tied_layer_weights"):
        value = getattr(args, name)
        if value is not None and not isinstance(value, list):  # a single one in a config file
            setattr(args, name, [value])
    _check_weights("tied_weight", [args.tied_weight])
    _check_weights("tied_layer_weights", args.tied_layer_weights or [])
    threads = args.tied_threads
    if threads is not None and (type(threads) is not int or threads < 1):
        raise LaunchError(f"--tied-threads must be a whole number of at least 1, got {threads!r}")
    for name, values in (
        ("tied_aa2", [args.tied_aa2]),
        ("tied_feature_module", args.tied_feature_module or []),
    ):
        for value in values:
            if not isinstance(value, str | None):
                raise LaunchError(f"{_flag(name)} must be text, got {value!r}: put it in quotes")


def _check_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise LaunchError(f"{_flag(name)} must be true or false, got {value!r}")


def _check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    names = list(choices)
    if value not in names:
        close = get_close_matches(value.lower(), names, n=1) if isinstance(value, str) else []
        hint = f"; did you mean {close[0]}?" if close else ""
        raise LaunchError(f"{_flag(name)} must be one of {', '.join(names)}, got {value!r}{hint}")


def _check_weights(name: str, weights: list[Any]) -> None:
    for weight in weights:
        if type(weight) not in (int, float) or not math.isfinite(weight):
            raise LaunchError(f"{_flag(name)} takes finite numbers, got {weight!r}")


def _check_layers(args: Namespace) -> None:
    modules = args.tied_feature_module or []
    weights = args.tied_layer_weights
    if (modules or weights) and args.tied_similarity == "js":
        name = "--tied-feature-module" if modules else "--tied-layer-weights"
        raise LaunchError(
            f"{name} has no effect with --tied-similarity js, which compares logits: leave it out"
        )
    if weights and len(weights) != len(modules):
        raise LaunchError(
            f"--tied-layer-weights has {len(weights)} weights for {len(modules)} modules: "
            "give one for each --tied-feature-module"
        )


def _check_effects(args: Namespace) -> None:
    """Refuse options that would do nothing beside the others."""
    if args.tied_own_flips and not args.tied_same_crop:
        raise LaunchError(
            "--tied-own-flips has no effect without --tied-same-crop, where each view has its own "
            "crop and flips: add --tied-same-crop, or leave --tied-own-flips out"
        )
    if args.tied_threads is not None and args.tied_loader == "timm":
        raise LaunchError(
            "--tied-threads has no effect with --tied-loader timm: give --workers instead"
        )


def _distils_features(args: Namespace) -> bool:
    teacher = getattr(args, "kd_model_name", None)
    return teacher is not None and getattr(args, "kd_distill_type", "") == "feature"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _given(name: str, value: Any) -> str:
    return _flag(name) if value is True else f"{_flag(name)} {value}"
