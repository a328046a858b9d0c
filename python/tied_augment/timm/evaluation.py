"""The loader for validation: the batches of timm's own loader, made by `TiedLoader`.

Batches, order and padding are timm's, bit for bit, so accuracy and loss are the same to the last
digit. Where that is not certain, `evaluation_loader` says why, and timm's loader is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from operator import length_hint
from typing import Any

from timm.data.distributed_sampler import OrderedDistributedSampler
from timm.data.loader import create_loader
from timm.data.transforms_factory import create_transform

from tied_augment.loader import TiedLoader
from tied_augment.located import locate
from tied_augment.timm.errors import warnings_in_log
from tied_augment.timm.prefetched import PrefetchedLoader, prefetched
from tied_augment.view import View

__all__ = ["chosen_loader", "evaluation_loader"]

_TIMMS_ONLY = (
    "collate_fn",
    "tf_preprocessing",
    "num_aug_splits",
    "num_aug_repeats",
    "input_size_choices",
)
_LOADER = inspect.signature(create_loader).parameters
_TRANSFORM = inspect.signature(create_transform).parameters


def chosen_loader(
    args: Any,
    original: Callable[..., Any],
    dataset: Any,
    options: dict[str, Any],
    say: Callable[..., None],
) -> Any:
    """Make the loader for validation that a script asks for, and log which one it is.

    Args:
        args: the script's, with ``tied_eval_loader`` and ``tied_threads``.
        original: the script's ``create_loader``.
        dataset: to validate on.
        options: keyword arguments of `original`.
        say: logs a message.
    """
    images = length_hint(dataset, -1)
    if images >= 0:  # not a stream of unknown length
        say("validation on %d images", images)
    loader: Any = f"--tied-eval-loader {args.tied_eval_loader}"
    if args.tied_eval_loader == "native":
        threads = args.tied_threads or options.get("num_workers", 1)
        with warnings_in_log(args):
            loader = evaluation_loader(dataset, options | {"num_workers": threads})
    if isinstance(loader, str):
        say("validation with timm's loader, since %s", loader)
        return original(dataset, **options)
    threads = getattr(loader, "loader", loader).threads
    say("validation with the native loader, %d threads", threads)
    return loader


def evaluation_loader(dataset: Any, options: dict[str, Any]) -> Any:
    """Make a loader for validation from the arguments of ``timm.data.create_loader``.

    Args:
        dataset: to validate on; it is left as it is.
        options: all other arguments, by name; `num_workers` is the number of threads.

    Returns:
        timm's ``PrefetchLoader`` over a `TiedLoader`; if ``use_prefetcher=False`` the `TiedLoader`,
        with normalised float32 images; or the reason why only timm's loader will do.
    """
    options = {name: _LOADER[name].default for name in _LOADER} | options
    # timm replaces the transform. What it sets later on the same data set has no effect here.
    dataset = copy(dataset)
    dataset.transform = None
    try:
        located = locate(dataset)
        if reason := located if isinstance(located, str) else _unusual(options):
            return reason
        return _native(dataset, options)
    except (TypeError, ValueError) as error:
        return str(error)


def _unusual(options: dict[str, Any]) -> str | None:
    """The option for which only timm's loader will do."""
    for name in options.keys() - _LOADER.keys():
        return f"timm.data.create_loader has no option {name}"
    # Earlier releases of timm lack some.
    given = (name for name in _TIMMS_ONLY if options.get(name))
    return next((f"{name} is given" for name in given), None)


def _native(dataset: Any, options: dict[str, Any]) -> Any:
    prefetcher = options["use_prefetcher"]
    normalisation = {"mean": options["mean"], "std": options["std"]}
    transform = {name: options[name] for name in options if name in _TRANSFORM}
    form = {} if prefetcher else normalisation | {"output": "float32"}
    loader = (PrefetchedLoader if prefetcher else TiedLoader)(
        dataset,
        View.from_timm(**transform | {"is_training": False}),
        options["batch_size"],
        # With `distributed` as in timm: every process gets equally many samples.
        sampler=OrderedDistributedSampler(dataset) if options["distributed"] else None,
        threads=max(1, options["num_workers"]),
        pin_memory=options["pin_memory"],
        on_error="skip",
        world_size=None if options["distributed"] else 1,
        repeat_targets=prefetcher,
        **form,
    )
    return prefetched(loader, options) if prefetcher else loader
