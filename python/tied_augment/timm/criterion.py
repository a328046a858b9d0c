"""`TiedLoss` in the place of a criterion that is called with logits and target only."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tied_augment.loss import TiedLoss
from tied_augment.timm.mixup import unpack
from tied_augment.timm.tap import FeatureTap

__all__ = ["PARTS", "TiedCriterion"]

# What is reported of a step: its name here, and in `TiedLoss.last`.
_REPORTED = {
    "ce": "ce",
    "similarity": "similarity",
    "tied_weight": "tied_weight",
    "feature_cosine": "cosine",
}
PARTS = tuple(_REPORTED)


class TiedCriterion(nn.Module):
    """``criterion(logits, target)`` that adds the similarity of the features of that forward.

    What every kind of train.py has is a criterion: tasks call it, and so do loops without tasks.

    Args:
        loss: the loss of logits, features and target.
        tap: where the features come from.

    Attributes:
        last: `PARTS` of the latest call, as `TiedLoss.last` has them, or after `average_last` their
            means over all processes. ``'feature_cosine'`` is the mean cosine between the views'
            features: 1 says that they are tied, or have collapsed.
    """

    last: dict[str, Tensor]

    def __init__(self, loss: TiedLoss, tap: FeatureTap) -> None:
        super().__init__()
        self.loss = loss
        self._tap = tap
        self._pairs_are_checked = False
        self.last = {}
        self._is_own = False  # whether `last` is of this process alone
        self._sums: Tensor | None = None
        self._steps = 0

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of one batch of pairs.

        Args:
            logits: ``(2B, C)``, view-major.
            target: as `TiedLoss` takes it, or packed by tied mixup, ``(2B, C + 1)``.

        Raises:
            RuntimeError: the tap did not record exactly one forward, or the targets are no pairs.
            TypeError, ValueError: as `TiedLoss`.
        """
        features = self._tap.take()
        target, share = unpack(target, logits.shape[1])
        if len(target) == len(logits):  # not B targets, which serve both views
            self._check_pairs(target)
        if share is not None:
            layers = features if isinstance(features, list) else [features]
            features = [_mix_like_view_1(layer, share) for layer in layers]
        loss: Tensor = self.loss(logits, features, target)
        self._record()
        return loss

    # timm 1.0.23 to 1.0.26 compile the whole task, and this with it.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _record(self) -> None:
        """Add up the parts on their device, in one tensor, so that nothing waits for them."""
        last = self.loss.last
        self.last = {name: last[source] for name, source in _REPORTED.items()}
        self._is_own = True
        parts = self._stacked()
        self._sums = parts if self._sums is None else self._sums + parts
        self._steps += 1

    def _stacked(self) -> Tensor:
        return torch.stack([value.detach().float() for value in self.last.values()])

    def average_last(self, mean: Callable[[Tensor], Tensor]) -> None:
        """Average `last` over all processes, unless that has been done since the latest call.

        Args:
            mean: of a tensor over all processes, each of which must call this.
        """
        if self._is_own:
            self._is_own = False
            self.last = dict(zip(PARTS, mean(self._stacked()), strict=True))

    def take_means(self) -> Tensor | None:
        """The means of `PARTS` over the calls since the last call of this; None if none was."""
        means = None if self._sums is None else self._sums / self._steps
        self._sums, self._steps = None, 0
        return means

    def _check_pairs(self, target: Tensor) -> None:
        """Once, since it waits for the device: are both halves of the batch of the same images?"""
        if self._pairs_are_checked or target.is_floating_point() or torch.compiler.is_compiling():
            return
        first, second = target.chunk(2)
        if len(first) == len(second) and not torch.equal(first, second):
            raise RuntimeError(
                "the two halves of the targets differ, so the batch is not made of pairs of views: "
                "does the script change batches between the loader and the loss?"
            )
        self._pairs_are_checked = True


def _mix_like_view_1(features: Tensor, share: Tensor) -> Tensor:
    """View 2's features, mixed as view 1's images were: by lambda, with the mirrored sample's."""
    first, second = features.float().chunk(2)
    share = share.to(second.dtype)
    return torch.cat((first, share * second + (1 - share) * second.flip(0)))
