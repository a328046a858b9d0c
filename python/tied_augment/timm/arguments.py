"""The options that ``--tied-augment`` adds to train.py, and what they can't be combined with.

Lives here: the options with their defaults, and every refusal that follows from options alone.
Without ``--tied-augment`` the script must parse what it always has: so the options have no defaults
in the parser, which keeps them out of the arguments, and `parse` sets the defaults when the flag is
given. Values may come from timm's ``--config`` file, which argparse does not check.
"""

from __future__ import annotations

import argparse
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from tied_augment.arguments import nearest
from tied_augment.loss import SCHEDULES, SIMILARITIES
from tied_augment.similarity import known_aliases
from tied_augment.timm.errors import LaunchError

__all__ = ["DEFAULTS", "add_options", "check", "parse"]


@dataclass(frozen=True)
class _Option:
    """One ``--tied-*`` option.

    Attributes:
        default: the value if the option is not given.
        kind: the type of a value, or the names to choose from.
        metavar: how ``--help`` shows a value.
        help: one line for ``--help``.
        several: whether it takes a list of values.
    """

    default: Any
    kind: type | tuple[str, ...]
    metavar: str | None
    help: str
    several: bool = False

    def keywords(self) -> dict[str, Any]:
        """The keyword arguments of ``add_argument``."""
        if self.kind is bool:
            return {"action": "store_true", "help": self.help}
        default = "" if self.default is None else f" (default: {self.default})"
        return {
            "type": self.kind if isinstance(self.kind, type) else str,
            "nargs": "+" if self.several else None,
            "metavar": self.metavar,
            "help": self.help + default,
        }


_OPTIONS = {
    "views": _Option(2, int, "K", "views of each image, at least 2"),
    "weight": _Option(
        1.0,
        float,
        "W",
        "weight of the similarity in the loss; a negative one pushes the views apart",
    ),
    "similarity": _Option(
        "mse",
        tuple(SIMILARITIES),
        "NAME",
        f"distance between the features of two views: {', '.join(SIMILARITIES)}",
    ),
    "schedule": _Option(
        "constant",
        tuple(SCHEDULES),
        "NAME",
        f"schedule of the weight over the steps of the run: {', '.join(SCHEDULES)}",
    ),
    "supervise": _Option(
        "both", ("both", "first"), "both|first", "the views whose logits the criterion gets"
    ),
    "same_crop": _Option(False, bool, None, "give all views the same crop and flips"),
    "own_flips": _Option(
        False, bool, None, "with --tied-same-crop: draw the flips of each view separately"
    ),
    "aa2": _Option(
        None,
        str,
        "POLICY",
        "policy of view 2 and later ones; 'none' for no policy (default: that of --aa)",
    ),
    "clean_first": _Option(
        False, bool, None, "only crop and flip view 1, as timm does for its AugMix splits"
    ),
    "forward": _Option(
        "joint",
        ("joint", "separate"),
        "joint|separate",
        "one forward of all images, or one per view: what BatchNorm averages over",
    ),
    "feature_module": _Option(
        None,
        str,
        "MODULE",
        "modules whose inputs are the features (default: the last linear layer)",
        several=True,
    ),
    "layer_weights": _Option(
        None, float, "W", "a weight per --tied-feature-module (default: 1 each)", several=True
    ),
    "loader": _Option(
        "native",
        ("native", "timm"),
        "native|timm",
        "load in threads, by this package, or in timm's worker processes",
    ),
    "eval_loader": _Option(
        "native",
        ("native", "timm"),
        "native|timm",
        "likewise for validation, whose results are the same with both",
    ),
    "threads": _Option(
        None, int, "N", "number of threads of a native loader (default: that of --workers)"
    ),
    "log": _Option(
        None,
        ("tensorboard", "wandb"),
        "tensorboard|wandb",
        "log the parts of the loss at each log line, and views in each epoch: into the run's "
        "folder, or into the run of --log-wandb",
    ),
}

DEFAULTS: dict[str, Any] = {"tied_augment": False} | {
    f"tied_{name}": option.default for name, option in _OPTIONS.items()
}

# Options of train.py that can't be combined with tied views: their allowed values, and the remedy.
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "aug_splits": ((0,), "leave it out: --tied-augment makes the views"),
    "jsd_loss": ((False,), "leave it out: use --tied-similarity js for such a loss"),
    "naflex_loader": ((False,), "leave it out: its batches do not hold several views"),
    "torchscript": ((False,), "use --torchcompile"),
    "aot_autograd": ((False,), "use --torchcompile"),
    "variable_batch_loss_scale": (("none",), "leave it out: it counts images, not samples"),
    "input_img_mode": ((None, "RGB"), "leave it out: the views are RGB"),
    "in_chans": ((None, 3), "leave it out: the views are RGB"),
    "mixup_mode": (("batch", "pair", "elem"), "choose batch, pair or elem"),
}

# The most that a TiedLoader takes.
_MOST_THREADS = 2**16 - 1

# Options for how the views are augmented, which --no-aug does not do.
_AUGMENTING = ("tied_aa2", "tied_clean_first", "tied_same_crop", "tied_own_flips")


def add_options(parser: ArgumentParser) -> None:
    """Add the group of tied options to the parser of train.py.

    Raises:
        LaunchError: the script has such an option already.
    """
    group = parser.add_argument_group(
        "Tied-Augment", "Train on two views of each image and tie their features."
    )
    try:
        group.add_argument(
            "--tied-augment",
            action="store_true",
            default=argparse.SUPPRESS,
            help="train on two tied views of each image; the options below need this flag",
        )
        for name, option in _OPTIONS.items():
            flag = _flag(f"tied_{name}")
            group.add_argument(flag, default=argparse.SUPPRESS, **option.keywords())
    except argparse.ArgumentError as error:
        raise LaunchError(f"the script has a tied option of its own: {error}") from error


def parse(
    parser: ArgumentParser, parse_args: Callable[[], tuple[Namespace, str]]
) -> tuple[Namespace, str]:
    """Parse with the script's own function, which also reads ``--config`` files.

    Args:
        parser: the script's, with the tied options.
        parse_args: the script's function.

    Returns:
        The arguments and their text for args.yaml, as `parse_args` returns them. With
        ``--tied-augment`` both have every tied option, without it none.

    Raises:
        LaunchError: an option that is refused, unknown, out of range or without effect.
    """
    args, text = parse_args()
    _check_keys(parser, args)
    _check_value("tied_augment", bool, getattr(args, "tied_augment", False))
    given = [name for name in vars(args) if name in DEFAULTS]
    if not getattr(args, "tied_augment", False):
        for name in given:
            if name != "tied_augment":
                raise LaunchError(f"{_flag(name)} has no effect without --tied-augment: add that")
        return args, text
    # The config file has set its values as defaults of the parser: those stay.
    parser.set_defaults(**{name: DEFAULTS[name] for name in DEFAULTS.keys() - set(given)})
    args, text = parse_args()
    check(args)
    return args, text


def check(args: Namespace) -> None:
    """Refuse options that can't be trained with, or that would have no effect.

    Args:
        args: train.py's arguments with all tied options. A single value for an option that takes
            several becomes a list.

    Raises:
        LaunchError: it names the option and the remedy.
    """
    for name, option in _OPTIONS.items():
        _check_option(args, f"tied_{name}", option)
    for name, (allowed, remedy) in _REFUSED.items():
        value = getattr(args, name, allowed[0])
        if value not in allowed:
            raise LaunchError(f"{_given(name, value)} does not go with --tied-augment: {remedy}")
    _check_combinations(args)
    _check_layers(args)
    _check_views(args)


def _check_keys(parser: ArgumentParser, args: Namespace) -> None:
    """Refuse misspelt tied options in a config file, of which argparse takes any key."""
    known = {action.dest for action in parser._actions} | DEFAULTS.keys()
    for key in (key for key in vars(args) if key not in known):
        name = str(key).lower().replace("-", "_")
        close = get_close_matches(name, DEFAULTS, n=1, cutoff=0.8)
        if close or name.startswith("tied"):
            remedy = f"did you mean {close[0]}?" if close else "see --help"
            raise LaunchError(f"the config file has an unknown option {key}: {remedy}")


def _check_option(args: Namespace, name: str, option: _Option) -> None:
    value = getattr(args, name)
    if value is None and option.default is None:
        return
    if option.several and not isinstance(value, list):
        value = [value]
        setattr(args, name, value)
    for each in value if option.several else [value]:
        _check_value(name, option.kind, each)


def _check_value(name: str, kind: type | tuple[str, ...], value: Any) -> None:
    if isinstance(kind, tuple):
        _check_choice(name, value, kind)
    elif kind is bool and not isinstance(value, bool):
        raise LaunchError(f"{_flag(name)} must be true or false, got {value!r}")
    elif kind is str and not isinstance(value, str):
        raise LaunchError(f"{_flag(name)} must be text, got {value!r}: put it in quotes")
    elif kind is int and (type(value) is not int or not 1 <= value <= _MOST_THREADS):
        raise LaunchError(
            f"{_flag(name)} must be a whole number from 1 to {_MOST_THREADS}, got {value!r}"
        )
    elif kind is float and (type(value) not in (int, float) or not math.isfinite(value)):
        raise LaunchError(f"{_flag(name)} takes finite numbers, got {value!r}")


def _check_choice(name: str, value: Any, names: tuple[str, ...]) -> None:
    if value not in names:
        near = nearest(value, names, known_aliases()) if isinstance(value, str) else None
        hint = f"; did you mean {near}?" if near else ""
        raise LaunchError(f"{_flag(name)} must be one of {', '.join(names)}, got {value!r}{hint}")


def _check_combinations(args: Namespace) -> None:
    size = getattr(args, "input_size", None)
    if size is not None and size[0] != 3:
        raise LaunchError(f"--input-size {size[0]} ...: the views have 3 channels; give 3")
    _check_log(args)
    separate = args.tied_forward == "separate"
    if getattr(args, "split_bn", False):
        if getattr(args, "sync_bn", False):
            raise LaunchError("--split-bn and --sync-bn: choose one")
        if separate:
            raise LaunchError("--split-bn and --tied-forward separate: choose one")
    teacher = getattr(args, "kd_model_name", None)
    if separate and teacher and getattr(args, "kd_distill_type", "") == "feature":
        raise LaunchError("--tied-forward separate does not go with --kd-distill-type feature")


def _check_log(args: Namespace) -> None:
    kind = args.tied_log
    if kind == "wandb" and not getattr(args, "log_wandb", False):
        raise LaunchError("--tied-log wandb logs into the run of --log-wandb: add that")
    if kind is not None and find_spec(kind) is None:
        raise LaunchError(f"--tied-log {kind}: {kind} is not installed: pip install {kind}")


def _check_layers(args: Namespace) -> None:
    modules = args.tied_feature_module or []
    weights = args.tied_layer_weights
    similarity = args.tied_similarity
    if (modules or weights) and SIMILARITIES[similarity].of_logits:
        name = "--tied-feature-module" if modules else "--tied-layer-weights"
        raise LaunchError(
            f"{name} has no effect with --tied-similarity {similarity}, which compares logits: "
            "leave it out"
        )
    if weights and len(weights) != len(modules):
        raise LaunchError(
            f"--tied-layer-weights has {len(weights)} weights for {len(modules)} modules: "
            "give one for each --tied-feature-module"
        )


def _check_views(args: Namespace) -> None:
    if args.tied_views < 2:
        raise LaunchError(
            "--tied-views 1: the loss compares the views of an image, so it needs 2 or more; to "
            "train on a single view leave out --tied-augment"
        )
    if args.tied_own_flips and not args.tied_same_crop:
        raise LaunchError(
            "--tied-own-flips has no effect without --tied-same-crop, where each view has its own "
            "crop and flips: add --tied-same-crop, or leave --tied-own-flips out"
        )
    if getattr(args, "no_aug", False):
        for name in _AUGMENTING:
            if getattr(args, name):
                raise LaunchError(
                    f"{_flag(name)} has no effect with --no-aug, which augments no view: "
                    "leave one of them out"
                )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _given(name: str, value: Any) -> str:
    return _flag(name) if value is True else f"{_flag(name)} {value}"
