"""The names that are substituted in a train.py, and why. This file has the whole list.

A name is replaced in the loaded script only, by a method of `TiedRun` that gets the original as its
first argument. For a name with a dot the script gets a stand-in of that module, which differs in
the one function. How a script computes its loss is decided by the names it has, not by version
numbers.

``create_dataset`` is replaced in every run, so that a baseline can be trained on a packed folder,
too; it differs for these only.

Two substitutions are made elsewhere. `launcher` wraps the script's ``_parse_args`` to add the tied
options. `collate` replaces timm's ``create_transform`` during one call: while timm's own
``create_loader`` makes the train loader.
"""

from __future__ import annotations

import inspect
import logging
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from tied_augment.timm.errors import LaunchError
from tied_augment.timm.packed import packed_dataset
from tied_augment.timm.tied_run import TiedRun

__all__ = ["install", "read_packed"]

# A name in train.py, and the method of TiedRun that replaces it.
_REQUIRED: dict[str, Callable[..., Any]] = {
    # The model stays the plain one; hooks on it record the input of its classifier.
    "create_model": TiedRun.create_model,
    # The train loader gives batches of views; that for validation is ours, too.
    "create_loader": TiedRun.create_loader,
    # Only view 1 is mixed, within the view, and the loss needs to know how much.
    "Mixup": TiedRun.mixup,
    "FastCollateMixup": TiedRun.fast_collate_mixup,
    # It knows the epoch and returns the metrics. Without tasks it also takes the criterion.
    "train_one_epoch": TiedRun.train_one_epoch,
}
_OPTIONAL: dict[str, Callable[..., Any]] = {
    # Since timm 1.0.23 tasks compute the loss: they get the tied criterion.
    "ClassificationTask": TiedRun.task,
    "LogitDistillationTask": TiedRun.task,
    "FeatureDistillationTask": TiedRun.task,
    "TokenDistillationTask": TiedRun.task,
    # train.py passes device_ids for a CPU as well, which DistributedDataParallel refuses.
    "NativeDDP": TiedRun.data_parallel,
    # All processes call it before one of them logs a step. There the parts of the loss can be
    # averaged as the loss is, without a collective operation at every step.
    "utils.reduce_tensor": TiedRun.reduce_tensor,
    # It makes the folder of the run, where --tied-log tensorboard belongs.
    "utils.get_outdir": TiedRun.get_outdir,
}


class _StandIn:
    """A module, except for the attributes that are set on this object."""

    def __init__(self, module: object) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def read_packed(script: ModuleType) -> None:
    """Let a loaded train.py take packed folders, which timm's ``create_dataset`` doesn't know."""
    original = getattr(script, "create_dataset", None)
    if original is None:
        return

    def create_dataset(*args: Any, **kw: Any) -> Any:
        try:
            found = packed_dataset(*args, **kw)
        except (OSError, ValueError) as error:
            raise LaunchError(str(error)) from error
        return original(*args, **kw) if found is None else found

    script.create_dataset = create_dataset  # type: ignore[attr-defined]


def install(script: ModuleType, args: Namespace) -> None:
    """Put the substitutes into a loaded train.py.

    Args:
        script: the module of the train.py.
        args: its arguments, with the tied options.

    Raises:
        LaunchError: the script lacks a name that is needed.
    """
    missing = [name for name in _REQUIRED if not hasattr(script, name)]
    if not hasattr(script, "ClassificationTask"):
        train = inspect.signature(script.train_one_epoch) if not missing else None
        if train is not None and "loss_fn" not in train.parameters:
            missing.append("ClassificationTask or a parameter loss_fn of train_one_epoch")
    if missing:
        raise LaunchError(
            f"--tied-augment does not work with {script.__file__}: it lacks "
            f"{', '.join(missing)}; use a train.py of timm 0.9.16 or later"
        )
    logger = getattr(script, "_logger", logging.getLogger(__name__))
    run = TiedRun(args, logger)
    for name, method in (_REQUIRED | _OPTIONAL).items():
        *module, function = name.split(".")
        owner = getattr(script, module[0], None) if module else script
        if not hasattr(owner, function):
            continue
        substitute = partial(method, run, getattr(owner, function))
        if module:
            owner = _StandIn(owner)
            setattr(script, module[0], owner)
        setattr(owner, function, substitute)
