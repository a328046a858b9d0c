"""``--tied-log``: the curves and views of a run in TensorBoard, or in timm's wandb run."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from tied_augment.loader.data import is_stream
from tied_augment.logging import TiedLogger
from tied_augment.timm.criterion import TiedCriterion
from tied_augment.timm.errors import LaunchError
from tied_augment.timm.native import tied_loader

__all__ = ["RunLog"]


class RunLog:
    """What is logged in the first process of a run, besides timm's own.

    Args:
        args: train.py's, with the tied options.

    Attributes:
        folder: the folder of the run, once the script has made it.
    """

    folder: str | None = None

    def __init__(self, args: Namespace) -> None:
        self._kind = args.tied_log
        self._to: Any = None
        self._logger: TiedLogger | None = None
        self._criterion: TiedCriterion | None = None
        self._first = 0

    def begin(self, criterion: TiedCriterion, loader: Any, epoch: int, first: int) -> None:
        """Begin an epoch, with a sheet of its views if the loader is native.

        Args:
            criterion: that of the run.
            loader: that of the epoch.
            epoch: its number.
            first: the number of its first step in the run.

        Raises:
            LaunchError: there is nothing to log to.
        """
        if self._kind is None:
            return
        if self._logger is None:
            self._to = _wandb_run() if self._kind == "wandb" else _writer(self.folder)
            source = tied_loader(loader)
            if source is not None and is_stream(source.dataset):
                source = None  # its images can't be asked for by index
            self._logger = TiedLogger(criterion.loss, self._to, source)
        self._criterion, self._first = criterion, first
        self._logger.sheet(first, epoch)

    def line(self) -> None:
        """Log the latest step, as train.py has just logged it."""
        if self._logger is None or self._criterion is None:
            return
        parts, means = self._criterion.loss.last, self._criterion.last
        # These are averaged over the processes, as in the line.
        ce, similarity, weight = (means[name] for name in ("ce", "similarity", "tied_weight"))
        averaged = {"ce": ce, "similarity": similarity, "tied_weight": weight}
        averaged |= {"loss": ce + weight * similarity, "cosine": means["feature_cosine"]}
        self._logger.curves(self._first + self._criterion.steps - 1, parts | averaged)

    def end(self) -> None:
        """End an epoch: what was logged is in the file."""
        if self._logger is not None and self._kind == "tensorboard":
            self._to.flush()


def _writer(folder: str | None) -> Any:
    if folder is None:
        raise LaunchError(
            "--tied-log tensorboard: the script makes no folder by utils.get_outdir, as timm's "
            "does; leave it out"
        )
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder)


def _wandb_run() -> Any:
    """The run that the script has begun."""
    run = getattr(sys.modules.get("wandb"), "run", None)
    if run is None:
        raise LaunchError("--tied-log wandb: the script has begun no run of wandb; leave it out")
    return run
