"""One run of a train.py with tied views: what stands in for the names that `seam` lists.

Every method gets the script's own object first and calls it: nothing of timm is rewritten here.
"""

from __future__ import annotations

import inspect
import logging
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tied_augment.loss import Schedule, TiedLoss
from tied_augment.timm.criterion import TiedCriterion
from tied_augment.timm.errors import LaunchError
from tied_augment.timm.mixup import TiedFastCollateMixup, TiedMixup
from tied_augment.timm.native import native_loader, tied_loader, why_not
from tied_augment.timm.pairs import NormalizedPairs, collate_pairs
from tied_augment.timm.report import averages, in_log_lines
from tied_augment.timm.tap import FeatureTap, forward_separately
from tied_augment.timm.views import two_view
from tied_augment.transforms import TwoView

__all__ = ["TiedRun"]


class TiedRun:
    """What the pieces of one run have in common.

    Args:
        args: train.py's, as its own code uses them.
        logger: train.py's.
    """

    def __init__(self, args: Namespace, logger: logging.Logger) -> None:
        self._args = args
        self._logger = logger
        self._tap: FeatureTap | None = None
        self._criterion: TiedCriterion | None = None
        self._batches = 0  # of an epoch
        self._split_bn = getattr(args, "split_bn", False)
        # train.py allows it for its own kinds of views only; create_model does it instead.
        args.split_bn = False

    def create_model(self, original: Callable[..., nn.Module], *args: Any, **kw: Any) -> nn.Module:
        """Create the model and listen to its features."""
        model = original(*args, **kw)
        if self._tap is not None:  # another model of a script that has been changed
            return model
        if self._split_bn:
            from timm.layers.split_batchnorm import convert_splitbn_model

            model = convert_splitbn_model(model, 2)
        separate = self._args.tied_forward == "separate"
        modules = self._args.tied_feature_module
        try:
            self._tap = FeatureTap(model, _one_or_list(modules), forwards=2 if separate else 1)
        except ValueError as error:
            raise LaunchError(f"--model {self._args.model}: {error}") from error
        if separate:
            forward_separately(model)
        return model

    def mixup(self, _original: object, *args: Any, **kw: Any) -> TiedMixup:
        """Mix on the device."""
        return TiedMixup(*args, **kw)

    def fast_collate_mixup(self, _original: object, *args: Any, **kw: Any) -> TiedFastCollateMixup:
        """Mix while collating."""
        return TiedFastCollateMixup(*args, **kw)

    def create_loader(self, original: Callable[..., Any], dataset: Any, **kw: Any) -> Any:
        """Create a loader, for training one of view pairs."""
        if not kw.get("is_training", False):
            return original(dataset, **kw)
        # The checks that it was hidden from are over; checkpoints keep what was typed.
        self._args.split_bn = self._split_bn
        collate = kw.get("collate_fn")
        if collate is not None and not isinstance(collate, TiedFastCollateMixup):
            raise LaunchError(
                "the script gives create_loader a collate function of its own, which would not "
                "know pairs of views: leave it out"
            )
        reason = why_not(self._args, dataset, kw)
        if reason is None:
            loader = native_loader(self._args, dataset, kw)
            inner = tied_loader(loader)
            assert inner is not None
            self._logger.info("Tied-Augment: native loader, %d threads", inner.threads)
        else:
            if collate is None:
                prefetcher = kw.get("use_prefetcher", True)
                kw["collate_fn"] = collate_pairs if prefetcher else _normalized(kw)
            with self._pairs_from(original):
                loader = original(dataset, **kw)
            self._logger.info("Tied-Augment: timm's loader, since %s", reason)
        self._batches = len(loader)
        return loader

    @contextmanager
    def _pairs_from(self, create_loader: Callable[..., Any]) -> Iterator[None]:
        """Let `create_loader` find a maker of views under the name of timm's."""
        names = getattr(create_loader, "__globals__", {})
        if "create_transform" not in names:
            raise LaunchError("the script's create_loader uses no create_transform, as timm's does")
        made: list[TwoView] = []

        def create_transform(input_size: Any, **options: Any) -> TwoView:
            made.append(two_view(self._args, {"input_size": input_size} | options))
            return made[-1]

        original = names["create_transform"]
        names["create_transform"] = create_transform
        try:
            yield
        finally:
            names["create_transform"] = original
        if not made:
            raise LaunchError("the script's create_loader made no transform for the train set")

    def task(self, original: type[Any], **kw: Any) -> Any:
        """Create a task, of the kind that was asked for, with the tied criterion."""
        from tied_augment.timm.task import tied

        return tied(original)(**kw | {"criterion": self._tied(kw["criterion"])})

    def data_parallel(self, original: Callable[..., nn.Module], model: nn.Module, **kw: Any) -> Any:
        """Distribute the model of a script without tasks."""
        if next(model.parameters()).device.type == "cpu":
            kw["device_ids"] = None
        return original(model, **kw)

    def train_one_epoch(self, original: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Train an epoch and add the parts of the loss to what is logged of it."""
        signature = inspect.signature(original)
        bound = signature.bind(*args, **kw)
        if "device" in signature.parameters and "device" not in bound.arguments:
            # Up to timm 1.0.15 main forgets it, and without prefetcher CUDA is used on a CPU.
            bound.arguments["device"] = torch.device(self._args.device)
        if "loss_fn" in bound.arguments:
            bound.arguments["loss_fn"] = self._tied(bound.arguments["loss_fn"])
        if self._criterion is None:
            raise LaunchError("the script made neither a task nor a criterion")
        self._begin_epoch(bound.arguments)
        with in_log_lines(self._logger, self._criterion):
            metrics = original(*bound.args, **bound.kwargs)
        metrics.update(averages(self._criterion))
        return metrics

    def _begin_epoch(self, arguments: dict[str, Any]) -> None:
        """Set what counts epochs or steps, also in a run that is resumed."""
        epoch, loader = arguments["epoch"], tied_loader(arguments["loader"])
        if loader is not None:
            loader.set_epoch(epoch)
        schedule = self._criterion.loss.schedule if self._criterion is not None else None
        if schedule is not None:
            schedule.step.fill_(epoch * self._batches)

    def _tied(self, criterion: Any) -> TiedCriterion:
        """The one criterion of this run, made of the one that the script has chosen."""
        if self._criterion is None:
            if self._tap is None:
                raise LaunchError("the script made its model without create_model")
            loss = _loss(self._args, criterion, self._args.epochs * self._batches)
            self._criterion = TiedCriterion(loss.to(self._args.device), self._tap)
            self._logger.info(
                "Tied-Augment: %r, features: input of %s",
                self._criterion.loss,
                ", ".join(self._tap.names),
            )
        return self._criterion


def _loss(args: Namespace, criterion: Any, steps: int) -> TiedLoss:
    between_samples = args.tied_similarity not in ("mse", "l1", "cosine", "js")
    try:
        return TiedLoss(
            criterion,
            tied_weight=args.tied_weight,
            similarity=args.tied_similarity,
            supervise=args.tied_supervise,
            layer_weights=args.tied_layer_weights,
            schedule=Schedule(args.tied_schedule, steps, seed=args.seed),
            # So that several processes compute what one would with the whole batch.
            gather=between_samples and getattr(args, "distributed", False),
        )
    except ValueError as error:
        raise LaunchError(str(error)) from error


def _one_or_list(modules: list[str] | None) -> str | list[str] | None:
    return modules[0] if modules is not None and len(modules) == 1 else modules


def _normalized(options: dict[str, Any]) -> NormalizedPairs:
    """The collate for batches that no PrefetchLoader normalises, from create_loader's options."""
    erasing = None
    if options.get("re_prob", 0.0) > 0 and not options.get("no_aug", False):
        erasing = {
            "probability": options["re_prob"],
            "mode": options.get("re_mode", "const"),
            "max_count": options.get("re_count", 1),
            "num_splits": 2 if options.get("re_split", False) else 0,
        }
    return NormalizedPairs(options["mean"], options["std"], erasing)
