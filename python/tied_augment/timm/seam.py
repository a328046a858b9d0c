"""What is substituted in a train.py, and why: this file is the whole list.

Each name is replaced in the loaded script only by a method of `TiedRun` that gets the original as
its first argument. Where the name has a dot, the script's module gets a stand-in that differs in
that function only. In timm nothing is replaced, but for the time of one call: `create_transform`,
while timm's own ``create_loader`` makes the train loader. `install` finds out by the names, not by
version numbers, how a script computes its loss. Besides, `launcher` wraps the script's
``_parse_args``: so it learns of ``--tied-augment``.
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
from tied_augment.timm.tied_run import TiedRun

__all__ = ["install"]

# Name in train.py, method of TiedRun.
_REQUIRED: dict[str, Callable[..., Any]] = {
    # The model stays the plain one, with hooks that record what goes into its classifier.
    "create_model": TiedRun.create_model,
    # The train set's transform makes two views, the collate function puts them view by view.
    "create_loader": TiedRun.create_loader,
    # Mixing must pair images of one view, leave view 2 clean, and say how much it mixed.
    "Mixup": TiedRun.mixup,
    "FastCollateMixup": TiedRun.fast_collate_mixup,
    # Where the epoch is known, the parts of the loss are reported, and, without tasks, the
    # criterion is exchanged.
    "train_one_epoch": TiedRun.train_one_epoch,
}
_OPTIONAL: dict[str, Callable[..., Any]] = {
    # Tasks compute the loss (timm 1.0.23 and later): they get the tied criterion.
    "ClassificationTask": TiedRun.task,
    "LogitDistillationTask": TiedRun.task,
    "FeatureDistillationTask": TiedRun.task,
    "TokenDistillationTask": TiedRun.task,
    # train.py gives device_ids for a CPU, too, which DistributedDataParallel refuses.
    "NativeDDP": TiedRun.data_parallel,
    # All processes come here when a step is to be logged, though only one logs it: the only place
    # where the parts of the loss can be averaged as the loss is, without a collective at each step.
    "utils.reduce_tensor": TiedRun.reduce_tensor,
}


class _StandIn:
    """A module, but for what is set here."""

    def __init__(self, module: object) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def install(script: ModuleType, args: Namespace) -> None:
    """Put the substitutes into a loaded train.py that was called with ``--tied-augment``.

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
            f"--tied-augment can't find its way in {script.__file__}: it lacks "
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
