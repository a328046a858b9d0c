"""Poly-1 cross entropy, the one criterion of the reference that torch and timm lack."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Poly1CrossEntropy(nn.Module):
    """``mean(CE + epsilon * (1 - p_t))``, p_t the probability that is given to the target.

    For soft targets, and with label smoothing, ``p_t`` is the sum of probability times target.

    Args:
        epsilon: of the second term; the reference's default is 1.
        label_smoothing: in [0, 1].

    Source: Leng et al., "PolyLoss", ICLR 2022, eq. 4; the reference's ``--poly_loss``.
    """

    def __init__(self, epsilon: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
        self.epsilon = epsilon
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of ``(N, C)`` logits and ``(N,)`` indices or ``(N, C)`` soft targets."""
        classes = logits.shape[1]
        soft = target if target.is_floating_point() else F.one_hot(target.long(), classes)
        soft = soft.to(logits.dtype)
        soft = soft * (1 - self.label_smoothing) + self.label_smoothing / classes
        logs = logits.log_softmax(dim=1)
        cross_entropy = -(soft * logs).sum(dim=1)
        chance = (soft * logs.exp()).sum(dim=1)
        return (cross_entropy + self.epsilon * (1 - chance)).mean()

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return f"epsilon={self.epsilon:g}, label_smoothing={self.label_smoothing:g}"
