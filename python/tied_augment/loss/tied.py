"""The tied loss: supervision of the logits plus a distance between the views' features.

Lives here: `TiedLoss`. Except for the collapse watch at its intervals, it must never read the value
of a tensor in Python, which would wait for the device and break the graph of `torch.compile`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, cast

import torch
from torch import Tensor, nn

from tied_augment.arguments import check_int, check_name, check_number, described
from tied_augment.fused.arrays import SUPERVISE
from tied_augment.fused.function import TiedLossFunction, applies, cross_entropy
from tied_augment.loss import checks
from tied_augment.loss.collapse import CollapseWatch, readable
from tied_augment.loss.gather import gather
from tied_augment.loss.schedule import Schedule
from tied_augment.similarity import Distance, cosine, entry_of, widen
from tied_augment.tracing import in_transform, runs_plainly

__all__ = ["TiedLoss"]

Criterion = Callable[[Tensor, Tensor], Tensor]

_SUPERVISE_ALIASES = {"all": "both", "view1": "first", "view_1": "first", "1": "first"}


class TiedLoss(nn.Module):
    """Supervised loss of two views plus a weighted distance between their features.

    ``loss = criterion(logits, target) + tied_weight * similarity(features1, features2)``

    Rows are view-major: row ``i`` and row ``B + i`` are the two views of sample ``i``. Gradients
    flow into the features of both views. NaN and Inf in the inputs give a NaN or Inf loss, as a
    GradScaler expects. An empty batch is an error.

    Under DistributedDataParallel with equal batches the gradients are those of one process with the
    whole batch, if the similarity is a mean over samples. For the others that needs
    ``gather=True``. docs/loss.md lists both kinds.

    Args:
        criterion: ``(logits, target) -> scalar``, any timm or torch criterion that reduces to a
            scalar. None is the mean cross entropy (`torch.nn.functional.cross_entropy`), for class
            indices and soft targets.
        tied_weight: finite factor of the similarity. A positive weight pulls the views' features
            together, a negative one pushes them apart. With 0 the similarity is only computed, for
            `last`. The attribute of the same name may be set between steps.
        similarity: a name or function in `tied_augment.loss.SIMILARITIES`, which docs/loss.md
            describes, or a callable ``(features1, features2) -> scalar``. It gets two ``(B, D)``
            tensors of at least 32-bit floats, with autocast off.
        supervise: ``'both'`` gives the criterion all 2B rows, ``'first'`` only view 1.
        label_smoothing: in [0, 1], for the default criterion only.
        num_views: V, views of each sample, at least 2. With more than two the similarity is the
            mean over all pairs of views, and ``2B`` below means ``V * B``.
        layer_weights: finite weights of the layers if `features` is a list: a list, or a 1-D array
            or tensor. The similarity is the weighted sum over the layers. None weights each with 1.
        schedule: of `tied_weight`: a `Schedule`, or the name of one that needs no number of steps.
            Its step counts the calls in train mode and is in the state_dict.
        gather: whether to compare the features of all processes, for similarities that are not a
            mean over samples. All processes must have equal batches.
        watch_collapse: whether to warn, once, when the features' spread falls to near zero. The
            check runs at every 100th call in train mode and waits for the device; under
            torch.compile it runs when `last` is read.

    Raises:
        ValueError: `similarity`, `supervise` or `schedule` is unknown, or a number is out of range;
            `label_smoothing` is given with a criterion, or `layer_weights` with a similarity of
            logits; the schedule needs a number of steps.
        TypeError: an argument has a wrong type.

    Source: Kurtulus et al., "Tied-Augment: Controlling Representation Similarity Improves Data
    Augmentation", ICML 2023, and its code. ``supervise='both'`` is its ImageNet recipe (mean cross
    entropy over 2B), ``supervise='first'`` its CIFAR default.
    """

    # For type checkers, which cannot infer what goes through nn.Module.__setattr__.
    criterion: Criterion | None
    tied_weight: float
    similarity: str | Distance
    schedule: Schedule | None

    def __init__(
        self,
        criterion: Criterion | None = None,
        tied_weight: float = 1.0,
        similarity: str | Distance = "mse",
        *,
        supervise: str = "both",
        label_smoothing: float = 0.0,
        num_views: int = 2,
        layer_weights: Sequence[float] | None = None,
        schedule: str | Schedule = "constant",
        gather: bool = False,
        watch_collapse: bool = True,
    ) -> None:
        super().__init__()
        checks.check_criterion(criterion)
        label_smoothing = check_number("label_smoothing", label_smoothing, 0, 1)
        if criterion is not None and label_smoothing != 0:
            raise ValueError(
                f"label_smoothing={label_smoothing} belongs to the default criterion; "
                "give it to your own criterion instead"
            )
        check_name("supervise", supervise, SUPERVISE, aliases=_SUPERVISE_ALIASES)
        check_int("num_views", num_views, 2)
        similarity = checks.check_similarity(similarity)
        entry = entry_of(similarity)
        if entry is not None and entry.of_logits and layer_weights is not None:
            raise ValueError(
                f"layer_weights are of features, and similarity={entry.name!r} compares logits"
            )
        for name, flag in (("gather", gather), ("watch_collapse", watch_collapse)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name} must be True or False, got {described(flag)}")
        self.criterion = criterion
        self.tied_weight = check_number("tied_weight", tied_weight)
        self.similarity = similarity
        self.supervise = supervise
        self.label_smoothing = label_smoothing
        self.num_views = num_views
        self.layer_weights = checks.check_layer_weights(layer_weights)
        checks.warn_of_small_weight(entry, self.tied_weight)
        schedule = checks.check_schedule(schedule)
        # A constant weight needs no step, and so adds no key to a checkpoint.
        self.schedule = None if schedule.name == "constant" else schedule
        self.gather = gather
        self._watch = CollapseWatch(warns=watch_collapse)
        self._was_compiled = False  # the latest call, which the watch has not seen
        # Of the latest call, for `last`: its parts, and its features until they are asked for. One
        # attribute, since calls in other threads must not mix theirs with these.
        self._latest: tuple[dict[str, Tensor], list[Tensor]] = ({}, [])

    def forward(
        self,
        logits: Tensor,
        features: Tensor | Sequence[Tensor],
        target: Tensor,
        *,
        step: int | Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of one batch of pairs.

        float16 and bfloat16 inputs are computed in float32, and the loss is float32. float64 stays
        float64. On the CPU the common case runs as one fused pass, with the same result up to
        rounding (docs/fused.md).

        Args:
            logits: ``(2B, C)``, floating, view-major.
            features: ``(2B, D)``, floating, with the rows of `logits`; or a list of such matrices,
                one per layer.
            target: class indices ``(B,)`` or ``(2B,)`` of any integer dtype, or soft targets ``(B,
                C)`` or ``(2B, C)``, floating. B rows serve both views. Of 2B indices, numbers i and
                B + i belong to one image, and must be equal. The default criterion leaves
                out rows with the index -100, so that unlabelled images are only tied, and is 0 for
                a batch without labels. With your own criterion only the number of rows is checked.
            step: which step of the schedule this is; None for the one after the previous call's.

        Returns:
            The loss, a scalar tensor.

        Raises:
            TypeError: an input is not a tensor or not floating, or the default criterion cannot use
                the dtype of the target.
            ValueError: shapes do not fit, the views of an image have different classes (on other
                devices than the CPU only the first call looks), a criterion or similarity does not
                return a scalar, or there is a step but no schedule. For a class index out of range
                the fused pass raises a ValueError, and PyTorch on the CPU an IndexError.
            RuntimeError: activation checkpointing runs the loss again, which has a schedule, and
                no step was given (see `Schedule.forward`).
        """
        pairs = checks.check_logits(logits, self.num_views)
        layers = None if self.layer_weights is None else len(self.layer_weights)
        parts = checks.check_features(features, logits.shape[0], self.num_views, layers)
        if self._may_read(target):
            checks.check_views_agree(target, pairs, self.num_views)
        if self._can_fuse(logits, parts, target):
            return self._fused(logits, parts, target, step)
        logits, parts = widen(logits), [widen(part) for part in parts]
        target = self._target_of_all(target, logits, pairs)

        ce, similarity = self._terms(logits, parts, target)
        weight = self._weight(step)
        loss = ce + weight * similarity
        self._record(loss, ce, similarity, weight, parts)
        return loss

    @property
    def last(self) -> dict[str, Tensor]:
        """The parts of the latest call: detached scalar tensors, by name.

        - ``'loss'``: what `forward` returned.
        - ``'ce'``: what the criterion returned.
        - ``'similarity'``: not weighted.
        - ``'tied_weight'``: after the schedule.
        - ``'cosine'``: mean cosine between the views' features, of the last layer.
        - ``'feature_norm'``: mean Euclidean norm of a row of the features, of the last layer.
        - ``'spread'``: root mean square distance of the features' rows from their mean, relative to
          that of the first call; of the layer where it is least.

        The last three are computed when `last` is read. The features are kept until then, or until
        the next call. Empty before the first call, and after a call within a transform of
        `torch.func`, whose values end with it.
        """
        parts, recorded = self._latest
        features = [widen(part) for part in recorded.copy()]
        if features:
            with torch.no_grad(), torch.autocast(features[0].device.type, enabled=False):
                # Without `gather`, so that one process may read `last` alone.
                views = features[-1].chunk(self.num_views)
                computed = {
                    "cosine": 1 - _mean_over_pairs(cosine, views),
                    "feature_norm": features[-1].norm(dim=1).mean(),
                    "spread": self._watch.relative(features),
                }
            parts.update(computed)
            recorded.clear()  # last: until then another thread computes the same
            if self._was_compiled:
                self._watch.look(computed["spread"])
        return parts

    def extra_repr(self) -> str:
        """Describe the arguments, except modules, which torch prints."""
        parts = [f"tied_weight={self.tied_weight:g}", f"supervise={self.supervise!r}"]
        if not isinstance(self.similarity, nn.Module):
            parts.append(f"similarity={self.similarity!r}")
        if self.criterion is None:
            parts.append(f"label_smoothing={self.label_smoothing:g}")
        elif not isinstance(self.criterion, nn.Module):
            parts.append(f"criterion={self.criterion!r}")
        if self.num_views != 2:
            parts.append(f"num_views={self.num_views}")
        if self.layer_weights is not None:
            parts.append(f"layer_weights={self.layer_weights}")
        if self.gather:
            parts.append("gather=True")
        return ", ".join(parts)

    def _may_read(self, target: object) -> bool:
        """Whether reading the values of `target` costs next to nothing.

        On other devices than the CPU it would wait for them, which is done in the first call only.
        """
        if torch.compiler.is_compiling() or not runs_plainly():
            return False
        return isinstance(target, Tensor) and (target.device.type == "cpu" or not self._latest[0])

    def _can_fuse(self, logits: Tensor, features: list[Tensor], target: Tensor) -> bool:
        """Whether the fused loss can compute this, and is faster than plain operations."""
        if torch.compiler.is_compiling():
            return False
        entry = entry_of(self.similarity)
        return (
            entry is not None
            and entry.fused
            and self.criterion is None
            and self.num_views == 2
            and self.layer_weights is None
            and len(features) == 1
            # A scheduled weight is a tensor, and gathered features come from other processes.
            and self.schedule is None
            and not self.gather
            and isinstance(self.tied_weight, int | float)  # may have been set to a tensor
            and type(self) is TiedLoss  # a subclass may compute something else
            and isinstance(target, Tensor)
            and target.ndim > 0
            and applies(logits, features[0], target)
        )

    def _fused(
        self, logits: Tensor, features: list[Tensor], target: Tensor, step: int | Tensor | None
    ) -> Tensor:
        """Compute the loss and its gradients in one pass on the CPU."""
        weight = self._weight(step)
        loss, ce, similarity = TiedLossFunction.apply(
            logits,
            features[0],
            target,
            weight,
            self.similarity,
            self.label_smoothing,
            self.supervise,
            None,
        )
        self._record(loss, ce, similarity, weight, features)
        return cast("Tensor", loss)

    def _terms(
        self, logits: Tensor, features: list[Tensor], target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the supervised loss and the similarity, which is not weighted.

        All inputs have been checked, have ``num_views * B`` rows and are at least float32.
        """
        rows = logits.shape[0] // (self.num_views if self.supervise == "first" else 1)
        ce = self._supervised(logits[:rows], target[:rows])
        checks.check_scalar("criterion", ce)
        with torch.autocast(logits.device.type, enabled=False):
            similarity = self._similarity(logits, features)
        return ce, similarity

    def _supervised(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.criterion is not None:
            return self.criterion(logits, target)
        return cross_entropy(logits, target, self.label_smoothing)

    def _similarity(self, logits: Tensor, features: list[Tensor]) -> Tensor:
        entry = entry_of(self.similarity)
        if entry is not None and entry.of_logits:
            return self._over_pairs(entry, logits)
        distance = cast("Distance", self.similarity if entry is None else entry)
        weights = self.layer_weights or (1.0,) * len(features)
        total = None
        for weight, layer in zip(weights, features, strict=True):
            value = self._over_pairs(distance, layer)
            value = value if weight == 1 else weight * value
            total = value if total is None else total + value
        assert total is not None  # there is at least one layer
        return total

    def _over_pairs(self, distance: Distance, values: Tensor) -> Tensor:
        """Mean of `distance` over all pairs of views of ``(num_views * B, ...)``."""
        views: Sequence[Tensor] = values.chunk(self.num_views)
        if self.gather:
            views = [gather(view).flatten(0, 1) for view in views]
        return _mean_over_pairs(distance, views)

    def _target_of_all(self, target: Tensor, logits: Tensor, pairs: int) -> Tensor:
        """Check `target`; return it with ``num_views * B`` rows, and soft ones at least float32."""
        checks.check_target(target, logits, pairs, self.num_views)
        if self.criterion is None:
            target = checks.target_for_cross_entropy(target, logits, self.num_views)
        elif target.is_floating_point():
            target = widen(target)
        # B rows are one target per sample, for all of its views.
        return torch.cat([target] * self.num_views) if target.shape[0] == pairs else target

    def _weight(self, step: int | Tensor | None) -> float | Tensor:
        if not isinstance(self.tied_weight, int | float | Tensor):  # set since __init__
            self.tied_weight = check_number("tied_weight", self.tied_weight)
        if self.schedule is not None:
            factor: Tensor = self.schedule(step)
            return self.tied_weight * factor
        if step is not None:
            raise ValueError("step is that of a schedule, and this loss has none: leave it out")
        return self.tied_weight

    def _record(
        self,
        loss: Tensor,
        ce: Tensor,
        similarity: Tensor,
        weight: float | Tensor,
        features: list[Tensor],
    ) -> None:
        """Keep the parts for `last`, and check for a collapse if it is time."""
        if not torch.compiler.is_compiling() and in_transform():
            self._latest = ({}, [])  # the values cannot be read outside of the transform
            return
        parts = {
            # A copy: `loss /= accumulation_steps` in the training loop must not change it.
            "loss": loss.detach().clone(),
            "ce": ce.detach(),
            "similarity": similarity.detach(),
            # A product, because torch.compile turns a number that is only multiplied into an input.
            # With new_full it would compile a graph for each value of the weight.
            "tied_weight": torch.ones_like(loss) * weight,
        }
        recorded = [part.detach() for part in features]
        self._latest = (parts, recorded)
        self._was_compiled = torch.compiler.is_compiling()
        # Not while compiling: counting in Python recompiles, and reading a value breaks the graph.
        if self.training and readable(loss) and self._watch.due():
            features = [widen(part) for part in recorded]
            self._watch.look(self._watch.relative(features))

    def __getstate__(self) -> dict[str, Any]:
        """The state for copies, without the features of the latest call."""
        return self.__dict__ | {"_latest": (self._latest[0], [])}


def _mean_over_pairs(distance: Distance, views: Sequence[Tensor]) -> Tensor:
    results = []
    for first, second in combinations(views, 2):
        results.append(distance(first, second))
        checks.check_scalar("similarity", results[-1])
    return results[0] if len(results) == 1 else torch.stack(results).mean()
