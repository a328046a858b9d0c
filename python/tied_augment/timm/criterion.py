"""`TiedLoss` in the place of a criterion that is called with logits and target only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tied_augment.loss import TiedLoss
from tied_augment.timm.mixup import unpack
from tied_augment.timm.tap import FeatureTap

__all__ = ["TiedCriterion"]

PARTS = ("ce", "similarity", "tied_weight", "feature_cosine")


class TiedCriterion(nn.Module):
    """``criterion(logits, target)`` that adds the similarity of the features of that forward.

    What every kind of train.py has is a criterion: tasks call it, and so do loops without tasks.

    Args:
        loss: the loss of logits, features and target.
        tap: where the features come from.

    Attributes:
        last: the parts of the latest call, as in `TiedLoss`, and ``'feature_cosine'``, the mean
            cosine between the views' features: 1 says that they are tied, or have collapsed.
    """

    last: dict[str, Tensor]

    def __init__(self, loss: TiedLoss, tap: FeatureTap) -> None:
        super().__init__()
        self.loss = loss
        self._tap = tap
        self._pairs_are_checked = False
        self.last = {}
        self._sums: Tensor | None = None

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of one batch of pairs.

        Args:
            logits: ``(2B, C)``, view-major.
            target: as `TiedLoss` takes it, or packed by tied mixup, ``(2B, C + 1)``.

        Raises:
            RuntimeError: the tap did not hear exactly one forward, or the targets are no pairs.
            TypeError, ValueError: as `TiedLoss`.
        """
        features = self._tap.take()
        target, share = unpack(target, logits.shape[1])
        self._check_pairs(target)
        if share is not None:
            features = _mix_like_view_1(features, share)
        loss = self.loss(logits, features, target)
        with torch.no_grad():
            cosine = F.cosine_similarity(*features.detach().float().chunk(2)).mean()
            self.last = self.loss.last | {"feature_cosine": cosine}
            # On the device, and all in one tensor, so that nothing waits for the numbers. The last
            # one counts: a Python number would be compiled anew at every step.
            parts = torch.stack([*(self.last[name].float() for name in PARTS), cosine.new_ones(())])
            self._sums = parts if self._sums is None else self._sums + parts
        return loss

    def take_sums(self) -> Tensor | None:
        """The sums of `PARTS` since the last call of this, and the number of steps; None for 0."""
        sums, self._sums = self._sums, None
        return sums

    def _check_pairs(self, target: Tensor) -> None:
        """Once, since it waits for the device: are both halves of the batch of the same images?"""
        if self._pairs_are_checked or target.is_floating_point() or torch.compiler.is_compiling():
            return
        first, second = target.chunk(2)
        if len(target) % 2 or not torch.equal(first, second):
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
