"""`TiedLoss` as a criterion that is called with logits and target only.

Lives here: `TiedCriterion`. Every kind of train.py has a criterion: timm's tasks call it, and so do
loops without tasks. The features reach it through a `FeatureTap`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tied_augment.loss import TiedLoss
from tied_augment.loss.mixup import mix_clean_views
from tied_augment.similarity import widen
from tied_augment.tap import warn_of_constants
from tied_augment.timm.mixup import unpack
from tied_augment.timm.tap import FeatureTap

__all__ = ["PARTS", "TiedCriterion"]

# The parts that are reported for each step: their names here and in `TiedLoss.last`.
_REPORTED = {
    "ce": "ce",
    "similarity": "similarity",
    "tied_weight": "tied_weight",
    "feature_cosine": "cosine",
}
PARTS = tuple(_REPORTED)


class TiedCriterion(nn.Module):
    """``criterion(logits, target)`` that adds the similarity of the features of the latest forward.

    Args:
        loss: the loss of logits, features and target.
        tap: where the features come from.

    Attributes:
        last: `PARTS` of the latest call, as in `TiedLoss.last`; after `average_last` their means
            over all processes. ``'feature_cosine'`` is the mean cosine between the views' features:
            at 1 they are tied completely, or have collapsed.
        steps: the calls since the previous `take_means`.
    """

    last: dict[str, Tensor]
    steps: int

    def __init__(self, loss: TiedLoss, tap: FeatureTap) -> None:
        super().__init__()
        self.loss = loss
        self._tap = tap
        self._targets_are_checked = False
        self._warned = False
        self.last = {}
        self._is_own = False  # whether `last` is of this process alone
        self._sums: Tensor | None = None
        self.steps = 0

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of one batch of V views, `num_views` of the loss.

        Args:
            logits: ``(V * B, C)``, view-major.
            target: as `TiedLoss` takes it, or packed by tied mixup, ``(V * B, C + 1)``.

        Returns:
            The loss, a scalar tensor.

        Raises:
            RuntimeError: the tap did not record exactly one forward, or the targets of the views
                differ.
            TypeError, ValueError: as `TiedLoss`.
        """
        features = self._tap.take()
        target, share = unpack(target, logits.shape[1], self.loss.num_views)
        if len(target) == len(logits):  # B targets serve all views
            self._check_targets(target)
        layers = features if isinstance(features, list) else [features]
        if not self._warned:
            names = self._tap.names if len(layers) > 1 else [", ".join(self._tap.names)]
            self._warned = warn_of_constants(logits, layers, names)
        if share is not None:
            features = [mix_clean_views(widen(layer), share) for layer in layers]
        loss: Tensor = self.loss(logits, features, target)
        self._record()
        return loss

    # timm 1.0.23 to 1.0.26 compile the whole task, and this with it.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _record(self) -> None:
        """Add up the parts in one tensor on their device, so that nothing waits for it."""
        last = self.loss.last
        self.last = {name: last[source] for name, source in _REPORTED.items()}
        self._is_own = True
        parts = self._stacked()
        self._sums = parts if self._sums is None else self._sums + parts
        self.steps += 1

    def _stacked(self) -> Tensor:
        return torch.stack([value.detach().float() for value in self.last.values()])

    def average_last(self, mean: Callable[[Tensor], Tensor]) -> None:
        """Average `last` over all processes, once per call of the criterion.

        Args:
            mean: averages a tensor over all processes; all of them must call this method.
        """
        if self._is_own:
            self._is_own = False
            self.last = dict(zip(PARTS, mean(self._stacked()), strict=True))

    def take_means(self) -> Tensor | None:
        """The means of `PARTS` over the calls since the previous `take_means`; None without any."""
        means = None if self._sums is None else self._sums / self.steps
        self._sums, self.steps = None, 0
        return means

    def _check_targets(self, target: Tensor) -> None:
        """Refuse targets that differ between the views; once, since it waits for the device."""
        if self._targets_are_checked or target.is_floating_point() or torch.compiler.is_compiling():
            return
        count = self.loss.num_views
        first, *others = target.chunk(count)
        whole = len(target) % count == 0
        if whole and not all(torch.equal(first, other) for other in others):
            parts = "two halves" if count == 2 else f"{count} parts"
            raise RuntimeError(
                f"the {parts} of the targets differ, so the batch does not hold {count} views of "
                "each image: does the script change batches between the loader and the loss?"
            )
        self._targets_are_checked = True
