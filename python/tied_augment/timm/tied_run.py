"""One run of a train.py with tied views: what stands in for the names that `seam` lists.

Every method gets the script's own object first and calls it: nothing of timm is rewritten here.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from tied_augment.loss import SIMILARITIES, Schedule, TiedLoss
from tied_augment.timm.criterion import TiedCriterion
from tied_augment.timm.errors import LaunchError
from tied_augment.timm.loader import refuse_no_batches
from tied_augment.timm.mixup import TwoViewFastCollateMixup, TwoViewMixup
from tied_augment.timm.native import native_loader, tied_loader, why_not
from tied_augment.timm.pairs import NormalizedPairs, collate_pairs
from tied_augment.timm.report import averages, in_log_lines
from tied_augment.timm.seeds import EpochSeeds
from tied_augment.timm.tap import FeatureTap, forward_separately
from tied_augment.timm.views import refused, two_view
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
        self._mixes = False
        self._split_bn = getattr(args, "split_bn", False)
        # train.py allows it for its own kinds of views only; create_model does it instead.
        args.split_bn = False

    @cached_property
    def _seeds(self) -> EpochSeeds:
        return EpochSeeds(self._args.seed, self._rank)

    @property
    def _rank(self) -> int:
        return getattr(self._args, "rank", 0)  # known once the script has made its process group

    def _say(self, message: str, *values: Any) -> None:
        """Log, from one process."""
        if self._rank == 0:
            self._logger.info(f"Tied-Augment: {message}", *values)

    def create_model(self, original: Callable[..., nn.Module], *args: Any, **kw: Any) -> nn.Module:
        """Create the model and listen to its features."""
        model = original(*args, **kw)
        if self._tap is not None:  # another model of a script that has been changed
            return model
        if self._split_bn:
            from timm.layers.split_batchnorm import convert_splitbn_model

            model = convert_splitbn_model(model, 2)
        separate = self._args.tied_forward == "separate"
        _check_modules(model, self._args)
        try:
            self._tap = FeatureTap(model, _modules(self._args), forwards=2 if separate else 1)
        except ValueError as error:
            remedy = str(error).replace(
                "TiedModel(model, feature_module='the.name')", "--tied-feature-module the.name"
            )
            raise LaunchError(f"--model {self._args.model}: {remedy}") from error
        if separate:
            forward_separately(model)
        return model

    def mixup(self, _original: object, *args: Any, **kw: Any) -> TwoViewMixup:
        """Mix on the device."""
        self._mixes = True
        return TwoViewMixup(*args, seeds=self._seeds, **kw)

    def fast_collate_mixup(
        self, _original: object, *args: Any, **kw: Any
    ) -> TwoViewFastCollateMixup:
        """Mix while collating."""
        self._mixes = True
        return TwoViewFastCollateMixup(*args, seeds=self._seeds, **kw)

    def create_loader(self, original: Callable[..., Any], dataset: Any, **kw: Any) -> Any:
        """Create a loader, for training one of view pairs."""
        if not kw.get("is_training", False):
            return original(dataset, **kw)
        # The checks that it was hidden from are over; checkpoints keep what was typed.
        self._args.split_bn = self._split_bn
        collate = kw.get("collate_fn")
        if collate is not None and not isinstance(collate, TwoViewFastCollateMixup):
            raise LaunchError(
                "the script gives create_loader a collate function of its own, which would not "
                "know pairs of views: leave it out"
            )
        reason = why_not(self._args, dataset, kw)
        if reason is None:
            loader = native_loader(self._args, dataset, kw)
            inner = tied_loader(loader)
            assert inner is not None
            self._say("native loader, %d threads", inner.threads)
        else:
            loader = self._timms_loader(original, dataset, kw)
            self._say("timm's loader, since %s", reason)
        self._batches = len(loader)
        self._check_batches(loader, kw)
        return loader

    def _timms_loader(
        self, create_loader: Callable[..., Any], dataset: Any, kw: dict[str, Any]
    ) -> Any:
        if kw.get("collate_fn") is None:
            prefetcher = kw.get("use_prefetcher", True)
            kw["collate_fn"] = collate_pairs if prefetcher else _normalized(kw)
        stream = isinstance(dataset, IterableDataset)  # some take long to start
        if not stream and not kw.get("use_multi_epochs_loader", False):
            # So that workers, too, begin each epoch in a state that follows from its number.
            kw["persistent_workers"] = False
        with self._pairs_from(create_loader):
            return create_loader(dataset, **kw)

    def _check_batches(self, loader: Any, options: dict[str, Any]) -> None:
        """Refuse batches that can't be trained on, before training."""
        size = self._args.batch_size
        try:
            refuse_no_batches(loader, size)
        except ValueError as error:
            raise refused(error) from error
        sizes = options.get("batch_size_choices") or [size]
        odd = [size for size in sizes if size % 2]
        if self._mixes and odd:
            raise LaunchError(
                f"-b {odd[0]}: samples are mixed two by two, so batches must be even; change -b"
            )
        pairs = min(sizes)
        if getattr(self._args, "distributed", False):
            pairs *= self._args.world_size  # their features are gathered
        name = self._args.tied_similarity
        least = SIMILARITIES[name].min_pairs
        if pairs < least:
            raise LaunchError(
                f"--tied-similarity {name} compares samples, so it needs batches of {least} or "
                f"more: got -b {size}; use a larger -b or another similarity"
            )

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

    def reduce_tensor(
        self, original: Callable[[Tensor, int], Tensor], tensor: Tensor, n: int
    ) -> Tensor:
        """Average a tensor over `n` processes, and before it the parts of the latest step."""
        if self._criterion is not None:
            self._criterion.average_last(lambda parts: original(parts, n))
        return original(tensor, n)

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
        """Set what counts epochs or steps or draws, also in a run that is resumed."""
        self._seeds.begin(arguments["epoch"])
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
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                loss = _loss(self._args, criterion, self._args.epochs * self._batches)
            self._criterion = TiedCriterion(loss.to(self._args.device), self._tap)
            self._say("%r, features: input of %s", loss, ", ".join(self._tap.names))
            for warning in caught:
                if self._rank == 0:
                    self._logger.warning("Tied-Augment: %s", warning.message)
        return self._criterion


def _loss(args: Namespace, criterion: Any, steps: int) -> TiedLoss:
    per_sample = SIMILARITIES[args.tied_similarity].per_sample
    try:
        return TiedLoss(
            criterion,
            tied_weight=args.tied_weight,
            similarity=args.tied_similarity,
            supervise=args.tied_supervise,
            layer_weights=args.tied_layer_weights,
            schedule=Schedule(args.tied_schedule, max(steps, 1), seed=args.seed % 2**31),
            # So that several processes compute what one would with the whole batch.
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
    """One module's features are a tensor, several modules' a list, as weights need it."""
    modules: list[str] | None = args.tied_feature_module
    single = modules is not None and len(modules) == 1 and not args.tied_layer_weights
    return modules[0] if modules is not None and single else modules


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
