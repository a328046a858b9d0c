"""Similarities: distances between the two views of a batch, and what is known of each.

Each similarity is one function with the decorator `similarity`, which checks the two inputs and
enters the function and its attributes in `SIMILARITIES`. Everything else reads that registry:
`TiedLoss`, the error messages, the fused loss, timm's command line. To add a similarity, add one
function here.

A similarity takes two ``(B, D)`` floating tensors, whose rows i are the two views of sample i, and
returns a scalar tensor. All are distances: 0 for equal views (except `vicreg`) and larger the
further apart the views are, so that a positive weight ties the views. Two of them are similarities
in the reference, where they need a negative weight; docs/loss.md compares the signs.

The formulas are plain torch operations, differentiable in both arguments. None reads a tensor's
value in Python, so that none waits for a GPU or breaks a graph of torch.compile. NaN and Inf in the
inputs reach the result.

This module may import torch and the checks of arguments.

Source: Kurtulus et al., "Tied-Augment", ICML 2023, and its code. Each function names its own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from tied_augment.arguments import check_number, described

Distance = Callable[[Tensor, Tensor], Tensor]
Formula = TypeVar("Formula", bound=Callable[..., Tensor])


@dataclass(frozen=True)
class Similarity:
    """An entry of `SIMILARITIES`; call it as the function that it holds.

    Attributes:
        name: the name of the function.
        function: ``(first, second) -> scalar``.
        of_logits: whether it compares the views' logits instead of their features.
        per_sample: whether the result is the mean of one distance per sample. The mean over equal
            batches of several processes is then that of the whole batch. The others need
            ``TiedLoss(gather=True)`` for that.
        min_pairs: the fewest pairs of views, B, that it can compare.
        fused: whether `tied_augment.fused` computes it on the CPU.
        shrinks: whether it is at most ``4 / (B * D)``, so that it needs a large weight.
        resists_collapse: whether it grows when all features become one point.
        aliases: what other code calls it, for error messages.
    """

    name: str
    function: Distance
    of_logits: bool = False
    per_sample: bool = False
    min_pairs: int = 1
    fused: bool = False
    shrinks: bool = False
    resists_collapse: bool = False
    aliases: tuple[str, ...] = ()

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute the distance of two ``(B, D)`` floating tensors."""
        return self.function(first, second)


SIMILARITIES: dict[str, Similarity] = {}
"""All similarities by name, in the order of this file."""


def similarity(
    *, widths_may_differ: bool = False, min_pairs: int = 1, **attributes: Any
) -> Callable[[Formula], Formula]:
    """Check what a formula is given, and enter it in `SIMILARITIES` under its name.

    Args:
        widths_may_differ: whether the inputs may be ``(B, D)`` and ``(B, D')``.
        min_pairs: see `Similarity`.
        **attributes: the other attributes of `Similarity`.

    The decorated function raises:
        TypeError: an input is not a floating tensor.
        ValueError: the shapes do not fit each other (nothing is broadcast), or there are fewer
            than `min_pairs` rows.
    """

    def register(formula: Formula) -> Formula:
        name = formula.__name__

        @functools.wraps(formula)
        def checked(first: Tensor, second: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            _check(first, second, widths_may_differ=widths_may_differ)
            if first.shape[0] < min_pairs:
                raise ValueError(
                    f"similarity {name!r} compares samples with one another and needs at least "
                    f"{min_pairs} pairs, got {first.shape[0]}: use a larger batch, drop the last, "
                    "smaller one, or, with several processes, use TiedLoss(gather=True)"
                )
            return formula(first, second, *args, **kwargs)

        SIMILARITIES[name] = Similarity(name, checked, min_pairs=min_pairs, **attributes)
        return cast("Formula", checked)

    return register


@similarity(per_sample=True, fused=True, aliases=("l2",))
def mse(first: Tensor, second: Tensor) -> Tensor:
    """``mean((f1 - f2)**2)`` over all B*D elements: the paper's choice."""
    return F.mse_loss(first, second)


@similarity(per_sample=True, fused=True, aliases=("mae",))
def l1(first: Tensor, second: Tensor) -> Tensor:
    """``mean(|f1 - f2|)`` over all B*D elements."""
    return F.l1_loss(first, second)


@similarity(per_sample=True, fused=True, aliases=("cos", "cosine_similarity"))
def cosine(first: Tensor, second: Tensor) -> Tensor:
    """``1 - mean(cos(f1, f2))`` over the B rows, in [0, 2].

    A row of zeros has cosine 0 to every row, as in `torch.nn.functional.cosine_similarity`.
    """
    return 1 - F.cosine_similarity(first, second, dim=1).mean()


@similarity(shrinks=True, aliases=("l2_normalized",))
def l2_norm(first: Tensor, second: Tensor) -> Tensor:
    """`mse` of ``f / ||f||``, with the Frobenius norm of the whole ``(B, D)`` matrix.

    It is at most ``4 / (B * D)``, as in the reference, and needs weights of the order of B*D.
    """
    return F.mse_loss(_unit(first), _unit(second))


@similarity()
def cosine_l2_norm(first: Tensor, second: Tensor) -> Tensor:
    """``cosine + l2_norm``."""
    return cosine(first, second) + l2_norm(first, second)


@similarity(widths_may_differ=True, min_pairs=2)
def cka(first: Tensor, second: Tensor, sigma: float | None = None) -> Tensor:
    """``1 - CKA`` with a Gaussian kernel, in [0, 1].

    Args:
        first: ``(B, D)``, with B of at least 2.
        second: ``(B, D')``; the widths may differ.
        sigma: of the kernel ``exp(-d**2 / (2 sigma**2))``, above 0. None takes, for each view, the
            square root of the median of the squared distances that are not 0. The gradient treats
            that as a constant.

    Raises:
        TypeError: `sigma` is not a number.
        ValueError: `sigma` is not above 0.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019;
    the default sigma is the reference's.
    """
    if sigma is not None:
        check_number("sigma", sigma)
        if sigma <= 0:
            raise ValueError(f"sigma must be above 0, got {sigma}")
    return _one_minus_cka(_centred(_gaussian(first, sigma)), _centred(_gaussian(second, sigma)))


@similarity(widths_may_differ=True, min_pairs=2, aliases=("cka_linear",))
def linear_cka(first: Tensor, second: Tensor) -> Tensor:
    """``1 - CKA`` with the linear kernel, in [0, 1], of ``(B, D)`` and ``(B, D')``.

    Source: Kornblith et al., 2019.
    """
    first, second = first - first.mean(0), second - second.mean(0)
    return _one_minus_cka(first @ first.T, second @ second.T)


@similarity(min_pairs=2, resists_collapse=True)
def vicreg(
    first: Tensor,
    second: Tensor,
    invariance: float = 1.0,
    variance: float = 1.0,
    covariance: float = 1 / 25,
) -> Tensor:
    """VICReg: invariance (`mse`), a hinge on each column's spread, and covariances.

    Not 0 for equal views: the last two terms keep features from collapsing. Choose other weights
    with ``functools.partial(vicreg, covariance=0.1)``: finite numbers, or scalar tensors.

    Source: Bardes et al., "VICReg", ICLR 2022, eqs. 1-4 (epsilon 1e-4, target 1); the default
    weights are the reference's.
    """
    weights = {"invariance": invariance, "variance": variance, "covariance": covariance}
    for name, weight in weights.items():
        if not isinstance(weight, Tensor):
            check_number(name, weight)
    loss = invariance * F.mse_loss(first, second)
    for features in (first, second):
        spread = (features.var(dim=0) + 1e-4).sqrt()
        loss = loss + variance * F.relu(1 - spread).mean()
        centred = features - features.mean(0)
        squares = (centred.T @ centred / (len(features) - 1)).square()
        off_diagonal = squares.sum() - squares.diagonal().sum()
        loss = loss + covariance * off_diagonal / features.shape[1]
    return loss


@similarity(of_logits=True, per_sample=True, aliases=("jsd", "jensen_shannon"))
def js(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two predictions, the mean over B, in [0, log 2].

    Args:
        first: ``(B, C)`` logits of view 1.
        second: ``(B, C)`` logits of view 2.
    """
    first, second = first.log_softmax(dim=1), second.log_softmax(dim=1)
    middle = torch.logaddexp(first, second) - torch.log(torch.full_like(first[:1, :1], 2.0))
    divergence = first.exp() * (first - middle) + second.exp() * (second - middle)
    return divergence.sum(dim=1).mean() / 2


def entry_of(similarity: str | Distance) -> Similarity | None:
    """The entry of a name in `SIMILARITIES`; None for a callable."""
    return SIMILARITIES[similarity] if isinstance(similarity, str) else None


def name_of(similarity: Distance) -> str | None:
    """The name of a function in `SIMILARITIES`, or of an entry; None for any other callable."""
    entries = SIMILARITIES.values()
    return next((e.name for e in entries if similarity in (e, e.function)), None)


def known_aliases() -> dict[str, str]:
    """What other code calls the similarities: alias to name."""
    return {alias: name for name, entry in SIMILARITIES.items() for alias in entry.aliases}


def widen(value: Tensor) -> Tensor:
    """float16 and bfloat16 to float32, in which squares of features do not overflow."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def _check(first: object, second: object, *, widths_may_differ: bool) -> None:
    """Refuse all but two floating matrices with equal numbers of rows and, mostly, columns."""
    shapes = []
    for name, value in (("first", first), ("second", second)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {described(value)}")
        if value.ndim != 2:
            raise ValueError(f"{name} must be (B, D), got shape {tuple(value.shape)}")
        if not value.is_floating_point():
            raise TypeError(f"{name} must be floating, got {value.dtype}")
        shapes.append(tuple(value.shape[:1] if widths_may_differ else value.shape))
    if shapes[0] != shapes[1]:
        of = "as many rows" if widths_may_differ else "one shape"
        raise ValueError(f"first and second must have {of}, got {shapes[0]} and {shapes[1]}")


def _least_divisor(value: Tensor) -> float:
    """A number far below any divisor in use, whose square is not yet 0."""
    return math.sqrt(torch.finfo(value.dtype).tiny)


def _unit(features: Tensor) -> Tensor:
    # Clamped before the root, which has no gradient at 0. Features of 0 stay 0.
    return features * features.square().sum().clamp_min(_least_divisor(features)).rsqrt()


def _gaussian(features: Tensor, sigma: float | None) -> Tensor:
    """The ``(B, B)`` Gaussian kernel of the rows of ``(B, D)``."""
    # The distances do not depend on the origin. Around the mean, cancellation loses the least.
    features = features - features.mean(0)
    gram = features @ features.T
    squares = gram.diagonal()
    distances = (squares[:, None] + squares[None, :] - 2 * gram).clamp_min(0)
    if sigma is not None:
        return torch.exp(distances * (-0.5 / sigma**2))
    # The median by sorting: on CUDA torch.nanmedian reads how many elements are not NaN.
    known = distances.detach()
    ascending = known.where(known != 0, torch.full_like(known, torch.inf)).flatten().sort().values
    middle = ((known != 0).sum() - 1).clamp_min(0) // 2
    # If all rows are equal, the median is infinite and the distances stay 0.
    return torch.exp(-0.5 * distances / ascending.gather(0, middle[None]))


def _centred(kernel: Tensor) -> Tensor:
    rows, columns = kernel.mean(dim=0, keepdim=True), kernel.mean(dim=1, keepdim=True)
    return kernel - rows - columns + kernel.mean()


def _one_minus_cka(first: Tensor, second: Tensor) -> Tensor:
    """``1 - CKA`` of two centred kernels. If all rows of a view are equal, CKA is 0."""
    least = _least_divisor(first)
    scale = first.square().sum().clamp_min(least).rsqrt()
    scale = scale * second.square().sum().clamp_min(least).rsqrt()
    return 1 - (first * second).sum() * scale
