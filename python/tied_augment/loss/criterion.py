"""Poly-1 cross entropy, the only criterion of the reference that torch and timm lack.

May import torch and the checks of arguments.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tied_augment.arguments import check_number, described


class Poly1CrossEntropy(nn.Module):
    """``mean(CE + epsilon * (1 - p_t))``, where p_t is the predicted probability of the target.

    For soft targets, and with label smoothing, ``p_t`` is the sum of probability times target.

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
            ValueError: an input has another shape.
        """
        for name, value in (("logits", logits), ("target", target)):
            if not isinstance(value, Tensor):
                raise TypeError(f"{name} must be a tensor, got {described(value)}")
        if logits.ndim != 2:
            raise ValueError(f"logits must be (N, C), got shape {tuple(logits.shape)}")
        rows, classes = logits.shape
        shape = (rows, classes) if target.is_floating_point() else (rows,)
        if target.shape != shape:
            raise ValueError(
                f"target must be class indices ({rows},) or soft labels ({rows}, {classes}), as "
                f"many as logits, got {target.dtype} of shape {tuple(target.shape)}"
            )
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
