"""One run of a train.py with tied views: the substitutes for the names that `seam` lists.

Each method gets the script's own function or class as its first argument and calls it: nothing of
timm is rewritten here. `TiedRun` holds what the substitutes share: the tap that `create_model` puts
on the model and from which the criterion takes the features, the number of batches that the
schedule of the weight needs, and the seeds of each epoch.
"""

from __future__ import annotations

import inspect
import logging
from argparse import Namespace
from collections.abc import Callable
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from tied_augment.loss import SIMILARITIES, Schedule, TiedLoss
from tied_augment.timm.collate import view_loader
from tied_augment.timm.criterion import TiedCriterion
from tied_augment.timm.errors import LaunchError, warnings_in_log
from tied_augment.timm.evaluation import chosen_loader
from tied_augment.timm.loader import refuse_no_batches
from tied_augment.timm.mixup import FirstViewFastCollateMixup, FirstViewMixup
from tied_augment.timm.native import native_loader, tied_loader, why_not
from tied_augment.timm.report import averages, in_log_lines
from tied_augment.timm.run_log import RunLog
from tied_augment.timm.seeds import EpochSeeds
from tied_augment.timm.tap import FeatureTap, forward_separately
from tied_augment.timm.views import in_options

__all__ = ["TiedRun"]


class TiedRun:
    """What the substitutes of one run share.

    Args:
        args: train.py's, the object that its own code uses.
        logger: train.py's.
    """

    def __init__(self, args: Namespace, logger: logging.Logger) -> None:
        self._args = args
        self._logger = logger
        self._tap: FeatureTap | None = None
        self._criterion: TiedCriterion | None = None
        self._batches = 0  # per epoch
        self._mixes = False
        self._log = RunLog(args)
        # train.py refuses --split-bn without --aug-splits: the flag is hidden from it until the
        # loader is made, and `create_model` converts the model.
        self._split_bn = getattr(args, "split_bn", False)
        args.split_bn = False

    @cached_property
    def _seeds(self) -> EpochSeeds:
        return EpochSeeds(self._args.seed, self._rank)

    @property
    def _rank(self) -> int:
        return getattr(self._args, "rank", 0)  # set once the script has made its process group

    def _say(self, message: str, *values: Any, level: int = logging.INFO) -> None:
        """Log from the first process only."""
        if self._rank == 0:
            self._logger.log(level, f"Tied-Augment: {message}", *values)

    def create_model(self, original: Callable[..., nn.Module], *args: Any, **kw: Any) -> nn.Module:
        """Create the model and put a tap on its features."""
        model = original(*args, **kw)
        if self._tap is not None:  # a second model, such as a teacher
            return model
        if self._split_bn:
            from timm.layers.split_batchnorm import convert_splitbn_model

            model = convert_splitbn_model(model, self._args.tied_views)
        separate = self._args.tied_forward == "separate"
        _check_modules(model, self._args)
        try:
            forwards = self._args.tied_views if separate else 1
            self._tap = FeatureTap(model, _modules(self._args), forwards)
        except ValueError as error:
            remedy = str(error).replace(
                "TiedModel(model, feature_module='the.name')", "--tied-feature-module the.name"
            )
            raise LaunchError(f"--model {self._args.model}: {remedy}") from error
        if separate:
            forward_separately(model, self._args.tied_views)
        return model

    def mixup(self, _original: object, *args: Any, **kw: Any) -> FirstViewMixup:
        """Mix on the device."""
        self._mixes = True
        return FirstViewMixup(*args, seeds=self._seeds, num_views=self._args.tied_views, **kw)

    def fast_collate_mixup(
        self, _original: object, *args: Any, **kw: Any
    ) -> FirstViewFastCollateMixup:
        """Mix while collating."""
        self._mixes = True
        return FirstViewFastCollateMixup(*args, seeds=self._seeds, **kw)

    def create_loader(self, original: Callable[..., Any], dataset: Any, **kw: Any) -> Any:
        """Create a loader; for training, one of several views."""
        if not kw.get("is_training", False):
            return chosen_loader(self._args, original, dataset, kw, self._say)
        # The script's checks are over, and its checkpoints must keep what the user typed.
        self._args.split_bn = self._split_bn
        collate = kw.get("collate_fn")
        if collate is not None and not isinstance(collate, FirstViewFastCollateMixup):
            raise LaunchError(
                "the script gives create_loader a collate function of its own, which does not "
                "take several views: leave it out"
            )
        if kw.get("input_size_choices") and isinstance(dataset, IterableDataset):
            # timm's loader refuses this, too.
            raise LaunchError(
                "--train-img-sizes needs a data set with indices, and this is a stream: leave it "
                "out"
            )
        reason = why_not(self._args, dataset, kw)
        if reason is None:
            loader = native_loader(self._args, dataset, kw)
            inner = tied_loader(loader)
            assert inner is not None
            self._say("native loader, %d threads", inner.threads)
        elif self._args.tied_threads is not None:
            raise LaunchError(
                f"--tied-threads has no effect with timm's loader, used since {reason}: "
                "give --workers instead"
            )
        else:
            loader = view_loader(self._args, original, dataset, kw)
            self._say("timm's loader, since %s", reason)
        if kw.get("no_aug", False) and not self._mixes:
            self._say(
                "with --no-aug the views of an image are equal: only dropout and drop path can "
                "make their features differ",
                level=logging.WARNING,
            )
        self._batches = len(loader)
        self._check_batches(loader, kw)
        return loader

    def _check_batches(self, loader: Any, options: dict[str, Any]) -> None:
        """Refuse batches that can't be trained on, before training begins."""
        size = self._args.batch_size
        with in_options(self._args):
            refuse_no_batches(loader, size)
        sizes = options.get("batch_size_choices") or [size]
        odd = [size for size in sizes if size % 2]
        if self._mixes and odd:
            raise LaunchError(
                f"-b {odd[0]}: samples are mixed two by two, so batches must be even; change -b"
            )
        pairs = min(sizes)
        if getattr(self._args, "distributed", False):
            pairs *= self._args.world_size  # the features of all processes are gathered
        name = self._args.tied_similarity
        least = SIMILARITIES[name].min_pairs
        if pairs < least:
            raise LaunchError(
                f"--tied-similarity {name} compares samples, so it needs batches of {least} or "
                f"more: got -b {size}; use a larger -b or another similarity"
            )

    def task(self, original: type[Any], **kw: Any) -> Any:
        """Create a task of the kind that the script asked for, with the tied criterion."""
        from tied_augment.timm.task import tied

        return tied(original)(**kw | {"criterion": self._tied(kw["criterion"])})

    def data_parallel(self, original: Callable[..., nn.Module], model: nn.Module, **kw: Any) -> Any:
        """Wrap the model of a script without tasks in DistributedDataParallel."""
        if next(model.parameters()).device.type == "cpu":
            kw["device_ids"] = None
        return original(model, **kw)

    def reduce_tensor(
        self, original: Callable[[Tensor, int], Tensor], tensor: Tensor, n: int
    ) -> Tensor:
        """Average a tensor over `n` processes, after the parts of the latest step."""
        if self._criterion is not None:
            self._criterion.average_last(lambda parts: original(parts, n))
        return original(tensor, n)

    def get_outdir(self, original: Callable[..., str], *args: Any, **kw: Any) -> str:
        """Make the folder of the run, in the first process, and note it."""
        self._log.folder = original(*args, **kw)
        return self._log.folder

    def train_one_epoch(self, original: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Train an epoch and add the parts of the loss to its metrics."""
        signature = inspect.signature(original)
        bound = signature.bind(*args, **kw)
        if "device" in signature.parameters and "device" not in bound.arguments:
            # Up to timm 1.0.15 main() does not pass it, and the default is CUDA.
            bound.arguments["device"] = torch.device(self._args.device)
        if "loss_fn" in bound.arguments:
            bound.arguments["loss_fn"] = self._tied(bound.arguments["loss_fn"])
        if self._criterion is None:
            raise LaunchError("the script made neither a task nor a criterion")
        self._begin_epoch(bound.arguments)
        if self._rank == 0:
            epoch, loader = bound.arguments["epoch"], bound.arguments["loader"]
            self._log.begin(self._criterion, loader, epoch, epoch * self._batches)
        with in_log_lines(self._logger, self._criterion, self._log.line):
            metrics = original(*bound.args, **bound.kwargs)
        self._log.end()
        metrics.update(averages(self._criterion))
        return metrics

    def _begin_epoch(self, arguments: dict[str, Any]) -> None:
        """Set all counters of epochs, steps and draws, so that a resumed run has the right ones."""
        epoch, loader = arguments["epoch"], tied_loader(arguments["loader"])
        self._seeds.begin(epoch)
        if loader is not None:
            loader.set_epoch(epoch)
        schedule = self._criterion.loss.schedule if self._criterion is not None else None
        if schedule is not None:
            schedule.step.fill_(epoch * self._batches)

    def _tied(self, criterion: Any) -> TiedCriterion:
        """The one criterion of this run, made from the script's on the first call."""
        if self._criterion is None:
            if self._tap is None:
                raise LaunchError("the script made its model without create_model")
            with warnings_in_log(self._args):
                loss = _loss(self._args, criterion, self._args.epochs * self._batches)
            self._criterion = TiedCriterion(loss.to(self._args.device), self._tap)
            self._say("%r, features: input of %s", loss, ", ".join(self._tap.names))
        return self._criterion


def _loss(args: Namespace, criterion: Any, steps: int) -> TiedLoss:
    per_sample = SIMILARITIES[args.tied_similarity].per_sample
    try:
        return TiedLoss(
            criterion,
            tied_weight=args.tied_weight,
            similarity=args.tied_similarity,
            supervise=args.tied_supervise,
            num_views=args.tied_views,
            layer_weights=args.tied_layer_weights,
            schedule=Schedule(args.tied_schedule, max(steps, 1), seed=args.seed % 2**31),
            # Several processes then compute what one process would with the whole batch.
            gather=not per_sample and getattr(args, "distributed", False),
        )
    except ValueError as error:
        raise LaunchError(str(error)) from error


def _check_modules(model: nn.Module, args: Namespace) -> None:
    names = dict(model.named_modules())
    for name in args.tied_feature_module or ():
        if name not in names:
            close = get_close_matches(name, names, n=5) or [n for n, _ in model.named_children()]
            raise LaunchError(
                f"--tied-feature-module {name}: --model {args.model} has no module {name!r}; "
                f"choose from its model.named_modules(), for example {', '.join(close)}"
            )


def _modules(args: Namespace) -> str | list[str] | None:
    """A single name gives a tensor of features; a list gives a list, which layer weights need."""
    modules: list[str] | None = args.tied_feature_module
    if modules is not None and len(modules) == 1 and not args.tied_layer_weights:
        return modules[0]
    return modules
