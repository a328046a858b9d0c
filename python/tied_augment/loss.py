"""The tied loss: supervision of the logits plus a similarity between the two views' features.

Lives here: `TiedLoss` and the checks of what it is given. It may import torch only. It must never
read a tensor's values in Python (a device sync, and a graph break under `torch.compile`), and it
must never know where the features come from: that is `model.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["TiedLoss"]

Criterion = Callable[[Tensor, Tensor], Tensor]
Similarity = Callable[[Tensor, Tensor], Tensor]

# Distances: 0 for equal views and growing as they part, so that a positive weight ties them.
_SIMILARITIES: dict[str, Similarity] = {"mse": F.mse_loss}
_SUPERVISE = ("both", "first")


class TiedLoss(nn.Module):
    """Supervised loss of two views plus a weighted distance between their features.

    ``loss = criterion(logits, target) + tied_weight * similarity(features1, features2)``

    Rows are view-major: row ``i`` and row ``B + i`` are the two views of sample ``i``. Gradients
    flow into both views' features.

    Source: Kurtulus et al., "Tied-Augment: Controlling Representation Similarity Improves Data
    Augmentation", ICML 2023, and its code: ``supervise='both'`` is its ImageNet recipe (mean cross
    entropy over 2B), ``supervise='first'`` its CIFAR default.

    Args:
        criterion: ``(logits, target) -> scalar``, any timm or torch criterion that reduces to a
            scalar. None is the mean cross entropy (`torch.nn.functional.cross_entropy`), which
            takes class indices and soft targets.
        tied_weight: finite factor of the similarity. Positive pulls the views' features together,
            negative pushes them apart, 0 leaves the similarity to `last` only. Kept as the
            attribute of the same name, which may be set between steps.
        similarity: ``'mse'``, the mean over all B*D elements of ``(features1 - features2)**2``,
            or a callable ``(features1, features2) -> scalar`` that gets two ``(B, D)`` tensors
            of at least 32-bit floats, with autocast off.
        supervise: ``'both'`` gives the criterion all 2B rows, ``'first'`` view 1 only.
        label_smoothing: in [0, 1], for the default criterion only.

    Attributes:
        last: the parts of the latest call, as detached scalar tensors on its device: ``'loss'``,
            ``'ce'`` (what the criterion returned), ``'similarity'`` (not weighted) and
            ``'tied_weight'``. Empty before the first call. Reading a value syncs; storing doesn't.

    Raises:
        ValueError: unknown `similarity` or `supervise`, `label_smoothing` out of range or given
            with a criterion, `tied_weight` not finite.
        TypeError: a criterion or similarity that can't be called, or a `tied_weight` that is no
            number.
    """

    # Said here too: a name that torch.nn.Module.__setattr__ may take is of no type to a checker.
    criterion: Criterion | None
    tied_weight: float
    similarity: str | Similarity
    supervise: str
    label_smoothing: float
    last: dict[str, Tensor]

    def __init__(
        self,
        criterion: Criterion | None = None,
        tied_weight: float = 1.0,
        similarity: str | Similarity = "mse",
        *,
        supervise: str = "both",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if criterion is not None and not callable(criterion):
            raise TypeError(f"criterion must be callable or None, got {type(criterion).__name__}")
        if criterion is not None and label_smoothing != 0:
            raise ValueError(
                f"label_smoothing={label_smoothing} belongs to the default criterion; "
                "give it to your own criterion instead"
            )
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
        if not isinstance(tied_weight, Real):
            raise TypeError(f"tied_weight must be a number, got {type(tied_weight).__name__}")
        if not math.isfinite(tied_weight):
            raise ValueError(f"tied_weight must be finite, got {tied_weight}")
        if supervise not in _SUPERVISE:
            raise ValueError(f"supervise must be one of {_SUPERVISE}, got {supervise!r}")
        _check_similarity(similarity)
        self.criterion = criterion
        self.tied_weight = float(tied_weight)
        self.similarity = similarity
        self.supervise = supervise
        self.label_smoothing = float(label_smoothing)
        self.last = {}

    def forward(self, logits: Tensor, features: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of one batch of pairs.

        float16 and bfloat16 inputs are computed, and returned, in float32; float64 stays float64.

        Args:
            logits: ``(2B, C)``, floating, view-major.
            features: ``(2B, D)``, floating, view-major, the rows of `logits`.
            target: class indices ``(B,)`` or ``(2B,)`` (any integer dtype), or soft targets
                ``(B, C)`` or ``(2B, C)`` (floating). B rows serve both views. With a criterion of
                your own only the number of rows is checked.

        Returns:
            The loss, a scalar tensor.

        Raises:
            TypeError: not tensors, not floating, or a target dtype that the default criterion
                can't take.
            ValueError: shapes that don't fit, or a criterion or similarity that returns no scalar.
        """
        _check_matrix("logits", logits, "C")
        _check_matrix("features", features, "D")
        pairs = _count_pairs(logits, features)
        logits, features = _widen(logits), _widen(features)

        target = self._target_of_both(target, logits, pairs)
        rows = pairs if self.supervise == "first" else 2 * pairs
        ce = self._supervised(logits[:rows], target[:rows])
        _check_scalar("criterion", ce)

        with torch.autocast(features.device.type, enabled=False):
            similarity = self._distance(features[:pairs], features[pairs:])
        _check_scalar("similarity", similarity)

        loss = ce + self.tied_weight * similarity
        self.last = {
            # A copy: `loss /= accumulation_steps` in the training loop must not change it.
            "loss": loss.detach().clone(),
            "ce": ce.detach(),
            "similarity": similarity.detach(),
            # A product, because torch.compile makes an input of a number that is only multiplied;
            # new_full would burn each value of the weight into a graph of its own.
            "tied_weight": torch.ones_like(loss) * self.tied_weight,
        }
        return loss

    def extra_repr(self) -> str:
        """Describe the arguments; modules among them are printed by torch."""
        parts = [f"tied_weight={self.tied_weight:g}", f"supervise={self.supervise!r}"]
        if not isinstance(self.similarity, nn.Module):
            parts.append(f"similarity={self.similarity!r}")
        if self.criterion is None:
            parts.append(f"label_smoothing={self.label_smoothing:g}")
        elif not isinstance(self.criterion, nn.Module):
            parts.append(f"criterion={self.criterion!r}")
        return ", ".join(parts)

    def _supervised(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.criterion is not None:
            return self.criterion(logits, target)
        return F.cross_entropy(logits, target, label_smoothing=self.label_smoothing)

    def _distance(self, first: Tensor, second: Tensor) -> Tensor:
        if isinstance(self.similarity, str):
            return _SIMILARITIES[self.similarity](first, second)
        return self.similarity(first, second)

    def _target_of_both(self, target: Tensor, logits: Tensor, pairs: int) -> Tensor:
        """Check `target` and give it 2B rows: class indices int64, soft ones at least float32."""
        if not isinstance(target, Tensor):
            raise TypeError(f"target must be a tensor, got {type(target).__name__}")
        if target.ndim == 0 or target.shape[0] not in (pairs, 2 * pairs):
            raise ValueError(
                f"target must have B={pairs} or 2B={2 * pairs} rows for logits of shape "
                f"{tuple(logits.shape)}, got shape {tuple(target.shape)}"
            )
        if self.criterion is None:
            target = _target_for_cross_entropy(target, logits)
        elif target.is_floating_point():
            target = _widen(target)
        # The number of rows decides: B rows are one target per sample, for both of its views.
        return torch.cat((target, target)) if target.shape[0] == pairs else target


def _check_similarity(similarity: object) -> None:
    if isinstance(similarity, str):
        if similarity not in _SIMILARITIES:
            raise ValueError(
                f"similarity must be one of {tuple(_SIMILARITIES)} or a callable "
                f"(features1, features2) -> scalar, got {similarity!r}"
            )
    elif not callable(similarity):
        raise TypeError(f"similarity must be a name or callable, got {type(similarity).__name__}")


def _check_matrix(name: str, value: Tensor, columns: str) -> None:
    if not isinstance(value, Tensor):
        hint = (
            "use TiedModel in train mode, which returns (logits, features)"
            if name == "features"
            else "a model that returns several outputs needs one of them chosen"
        )
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}: {hint}")
    if value.ndim != 2:
        raise ValueError(f"{name} must be (2B, {columns}), got shape {tuple(value.shape)}")
    if not value.is_floating_point():
        raise TypeError(f"{name} must be floating, got {value.dtype}")


def _count_pairs(logits: Tensor, features: Tensor) -> int:
    rows = logits.shape[0]
    if rows == 0 or rows % 2:
        raise ValueError(
            f"logits must have 2B rows (all of view 1, then all of view 2), got {rows} rows"
        )
    if features.shape[0] != rows:
        raise ValueError(f"features have {features.shape[0]} rows, logits {rows}: both need 2B")
    return rows // 2


def _target_for_cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    if target.is_floating_point():
        if target.ndim != 2 or target.shape[1] != logits.shape[1]:
            raise ValueError(
                f"a floating target holds soft labels (B, {logits.shape[1]}) or "
                f"(2B, {logits.shape[1]}), got shape {tuple(target.shape)}"
            )
        return target.to(logits.dtype)
    if target.ndim != 1:
        raise ValueError(
            f"an integer target holds class indices (B,) or (2B,), got shape {tuple(target.shape)}"
        )
    if target.dtype == torch.bool or target.is_complex():
        raise TypeError(f"target must be class indices or soft labels, got {target.dtype}")
    return target.long()


def _check_scalar(name: str, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must return a scalar tensor, got {type(value).__name__}")
    if value.ndim != 0:
        raise ValueError(
            f"{name} must return a scalar, got shape {tuple(value.shape)} (reduction='mean'?)"
        )


def _widen(value: Tensor) -> Tensor:
    """float16 and bfloat16 to float32; squares of features overflow in the former."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
