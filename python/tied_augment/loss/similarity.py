"""Distances between the features of two views, the similarity term of the tied loss.

Each takes two ``(B, D)`` floating tensors, row i of both from one image, and returns a scalar that
is 0 for equal views (but `vicreg`) and grows as they part: a positive weight ties the views. Two of
them are similarities in the reference, which there need a negative weight; docs/loss.md has the
table. Plain torch, differentiable in both arguments, and without a read of a value in Python: no
device sync, one graph under torch.compile. NaN and Inf pass through to the result. Other types and
shapes are refused by a TypeError or ValueError, never broadcast.

Source: Kurtulus et al., "Tied-Augment", ICML 2023, and the formulas of its code; each function
names its own source.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tied_augment.arguments import check_number, described

Similarity = Callable[[Tensor, Tensor], Tensor]


def mse(first: Tensor, second: Tensor) -> Tensor:
    """``mean((f1 - f2)**2)`` over all B*D elements: the paper's choice."""
    _check(first, second)
    return F.mse_loss(first, second)


def l1(first: Tensor, second: Tensor) -> Tensor:
    """``mean(|f1 - f2|)`` over all B*D elements."""
    _check(first, second)
    return F.l1_loss(first, second)


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """``1 - mean(cos(f1, f2))`` over the B rows, in [0, 2].

    A zero row has cosine 0 to everything (as `torch.nn.functional.cosine_similarity`).
    """
    _check(first, second)
    return 1 - F.cosine_similarity(first, second, dim=1).mean()


def l2_norm(first: Tensor, second: Tensor) -> Tensor:
    """`mse` of ``f / ||f||``, where the norm is that of the whole ``(B, D)`` matrix (Frobenius).

    Falls with 1/(B*D), as in the reference: it wants weights of the order of B*D.
    """
    _check(first, second)
    return F.mse_loss(_unit(first), _unit(second))


def cosine_l2_norm(first: Tensor, second: Tensor) -> Tensor:
    """``cosine + l2_norm``."""
    return cosine(first, second) + l2_norm(first, second)


def linear_cka(first: Tensor, second: Tensor) -> Tensor:
    """``1 - CKA`` with the linear kernel, in [0, 1]. B >= 2.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019.

    Raises:
        ValueError: fewer than two rows.
    """
    _check(first, second, widths_differ=True)
    _need_two_rows("linear_cka", first)
    first, second = first - first.mean(0), second - second.mean(0)
    return _one_minus_cka(first @ first.T, second @ second.T)


def cka(first: Tensor, second: Tensor, sigma: float | None = None) -> Tensor:
    """``1 - CKA`` with a Gaussian kernel, in [0, 1]. B >= 2.

    Args:
        first: ``(B, D)``.
        second: ``(B, D')``; the widths may differ.
        sigma: of the kernel ``exp(-d**2 / (2 sigma**2))``. None is, for each view, the square root
            of the median of the squared distances that are not 0, a constant to the gradient.

    Raises:
        ValueError: fewer than two rows, or a sigma that is not above 0.

    Source: Kornblith et al., 2019; sigma as in the reference.
    """
    _check(first, second, widths_differ=True)
    _need_two_rows("cka", first)
    if sigma is not None:
        check_number("sigma", sigma)
        if sigma <= 0:
            raise ValueError(f"sigma must be above 0, got {sigma}")
    return _one_minus_cka(_centred(_gaussian(first, sigma)), _centred(_gaussian(second, sigma)))


def vicreg(
    first: Tensor,
    second: Tensor,
    invariance: float = 1.0,
    variance: float = 1.0,
    covariance: float = 1 / 25,
) -> Tensor:
    """VICReg: invariance (`mse`), a hinge on each column's spread, and covariances. B >= 2.

    Not 0 for equal views: the last two terms keep features from collapsing. Take other weights by
    ``functools.partial(vicreg, covariance=0.1)``.

    Raises:
        ValueError: fewer than two rows.

    Source: Bardes et al., "VICReg", ICLR 2022, eqs. 1-4 (epsilon 1e-4, target 1); the default
    weights are the reference's.
    """
    _check(first, second)
    _need_two_rows("vicreg", first)
    loss = invariance * F.mse_loss(first, second)
    for features in (first, second):
        spread = (features.var(dim=0) + 1e-4).sqrt()
        loss = loss + variance * F.relu(1 - spread).mean()
        centred = features - features.mean(0)
        squares = (centred.T @ centred / (len(features) - 1)).square()
        off_diagonal = squares.sum() - squares.diagonal().sum()
        loss = loss + covariance * off_diagonal / features.shape[1]
    return loss


def js(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two predictions, mean over B, in [0, log 2].

    Args:
        first: ``(B, C)`` logits of view 1.
        second: ``(B, C)`` logits of view 2.
    """
    _check(first, second)
    first, second = first.log_softmax(dim=1), second.log_softmax(dim=1)
    middle = torch.logaddexp(first, second) - torch.log(torch.full_like(first[:1, :1], 2.0))
    divergence = first.exp() * (first - middle) + second.exp() * (second - middle)
    return divergence.sum(dim=1).mean() / 2


SIMILARITIES: dict[str, Similarity] = {
    "mse": mse,
    "l1": l1,
    "cosine": cosine,
    "l2_norm": l2_norm,
    "cosine_l2_norm": cosine_l2_norm,
    "cka": cka,
    "linear_cka": linear_cka,
    "vicreg": vicreg,
    "js": js,
}
"""By name; all but ``'js'``, which compares the logits, compare the features."""


def _check(first: object, second: object, *, widths_differ: bool = False) -> None:
    """Two floating matrices of as many rows and, unless `widths_differ`, columns."""
    shapes = []
    for name, value in (("first", first), ("second", second)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {described(value)}")
        if value.ndim != 2:
            raise ValueError(f"{name} must be (B, D), got shape {tuple(value.shape)}")
        if not value.is_floating_point():
            raise TypeError(f"{name} must be floating, got {value.dtype}")
        shapes.append(tuple(value.shape[:1] if widths_differ else value.shape))
    if shapes[0] != shapes[1]:
        of = "as many rows" if widths_differ else "one shape"
        raise ValueError(f"first and second must have {of}, got {shapes[0]} and {shapes[1]}")


def _need_two_rows(name: str, features: Tensor) -> None:
    if features.shape[0] < 2:
        raise ValueError(
            f"similarity {name!r} compares samples with one another and needs at least 2 pairs, "
            f"got {features.shape[0]}: use a larger batch, drop the last, smaller one, or, with "
            "several processes, use TiedLoss(gather=True)"
        )


def _tiny(value: Tensor) -> float:
    """A divisor's least size: far below any used value, and its square is not yet 0."""
    return math.sqrt(torch.finfo(value.dtype).tiny)


def _unit(features: Tensor) -> Tensor:
    # Clamped after the square: the root has no gradient at 0, and 0 features stay 0.
    return features * features.square().sum().clamp_min(_tiny(features)).rsqrt()


def _gaussian(features: Tensor, sigma: float | None) -> Tensor:
    # Distances don't change with the origin; from the mean less is lost to cancellation.
    features = features - features.mean(0)
    gram = features @ features.T
    squares = gram.diagonal()
    distances = (squares[:, None] + squares[None, :] - 2 * gram).clamp_min(0)
    if sigma is not None:
        return torch.exp(distances * (-0.5 / sigma**2))
    # Sorted by hand: on CUDA torch.nanmedian reads the number of elements that are not NaN.
    known = distances.detach()
    ascending = known.where(known != 0, torch.full_like(known, torch.inf)).flatten().sort().values
    middle = ((known != 0).sum() - 1).clamp_min(0) // 2
    # All 0, one point: divided by infinity they stay so.
    return torch.exp(-0.5 * distances / ascending.gather(0, middle[None]))


def _centred(kernel: Tensor) -> Tensor:
    rows, columns = kernel.mean(dim=0, keepdim=True), kernel.mean(dim=1, keepdim=True)
    return kernel - rows - columns + kernel.mean()


def _one_minus_cka(first: Tensor, second: Tensor) -> Tensor:
    """Of two centred kernels. A view whose rows are all equal has CKA 0 to everything."""
    least = _tiny(first)
    scale = first.square().sum().clamp_min(least).rsqrt()
    scale = scale * second.square().sum().clamp_min(least).rsqrt()
    return 1 - (first * second).sum() * scale
