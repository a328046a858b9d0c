"""Poly-1 cross entropy, the only criterion of the reference that torch and timm lack.

May import torch and the checks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tied_augment.arguments import check_number, described
from tied_augment.loss.checks import one_hot

_IGNORED = -100  # as in torch.nn.functional.cross_entropy


class Poly1CrossEntropy(nn.Module):
    """``mean(CE + epsilon * (1 - p_t))``, where p_t is the predicted probability of the target.

    For soft targets, and with label smoothing, ``p_t`` is the sum of probability times target. Rows
    with the class index -100 are left out, also of the mean, which is 0 if no row is left.

    Args:
        epsilon: finite weight of the second term; the reference's default is 1.
        label_smoothing: in [0, 1].

    Raises:
        TypeError: an argument is not a number.
        ValueError: an argument is out of range.

    Source: Leng et al., "PolyLoss", ICLR 2022, eq. 4; the reference's ``--poly_loss``.
    """

    def __init__(self, epsilon: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.epsilon = check_number("epsilon", epsilon)
        self.label_smoothing = check_number("label_smoothing", label_smoothing, 0, 1)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of ``(N, C)`` logits and ``(N,)`` indices or ``(N, C)`` soft targets.

        Returns:
            A scalar tensor.

        Raises:
            TypeError: an input is not a tensor.
            ValueError: an input has another shape, the target is of bools, or a class index is out
                of range.
        """
        for name, value in (("logits", logits), ("target", target)):
            if not isinstance(value, Tensor):
                raise TypeError(f"{name} must be a tensor, got {described(value)}")
        if logits.ndim != 2:
            raise ValueError(f"logits must be (N, C), got shape {tuple(logits.shape)}")
        rows, classes = logits.shape
        shape = (rows, classes) if target.is_floating_point() else (rows,)
        if target.shape != shape or target.dtype == torch.bool or target.is_complex():
            raise ValueError(
                f"target must be class indices ({rows},) or soft labels ({rows}, {classes}), as "
                f"many as logits, got {target.dtype} of shape {tuple(target.shape)}"
            )
        if target.is_floating_point():
            return self._of_rows(logits, target).mean()
        ignored = target == _IGNORED
        losses = self._of_rows(logits, one_hot(target.masked_fill(ignored, 0), classes))
        return losses.masked_fill(ignored, 0).sum() / (~ignored).sum().clamp_min(1)

    def _of_rows(self, logits: Tensor, soft: Tensor) -> Tensor:
        """The loss of each row: ``(N,)`` of ``(N, C)`` logits and soft targets."""
        classes = logits.shape[1]
        soft = soft.to(logits.dtype)
        soft = soft * (1 - self.label_smoothing) + self.label_smoothing / classes
        logs = logits.log_softmax(dim=1)
        cross_entropy = -(soft * logs).sum(dim=1)
        chance = (soft * logs.exp()).sum(dim=1)
        return cross_entropy + self.epsilon * (1 - chance)

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return f"epsilon={self.epsilon:g}, label_smoothing={self.label_smoothing:g}"
