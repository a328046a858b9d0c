"""Checks of what TiedLoss is given, and the casts to what it computes in.

Lives here: the words for what doesn't fit. Of tensors only types, dtypes, shapes and devices are
looked at, never values.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from tied_augment.arguments import check_name, check_number, described, nearest
from tied_augment.loss.similarity import SIMILARITIES

# What other code calls the same: the reference's torch and Flax code, and torch.
_ELSEWHERE = {
    "l2": "mse",
    "mae": "l1",
    "cos": "cosine",
    "cosine_similarity": "cosine",
    "l2_normalized": "l2_norm",
    "cka_linear": "linear_cka",
    "jsd": "js",
    "jensen_shannon": "js",
}
# Below it the weighted similarity is at most 0.025 for 32 pairs of 512 features.
_LEAST_WEIGHT_OF_L2_NORM = 100.0


def check_criterion(criterion: object) -> None:
    """A callable or None."""
    if isinstance(criterion, type):
        name = criterion.__name__
        raise TypeError(f"criterion must be an instance, got the class {name}: {name}()?")
    if criterion is None or callable(criterion):
        return
    meant = ""
    if isinstance(criterion, str):
        near = nearest(criterion, tuple(SIMILARITIES), _ELSEWHERE)
        meant = f": did you mean similarity={near!r}?" if near else ""
    elif isinstance(criterion, Real):
        meant = f": did you mean tied_weight={criterion}?"
    raise TypeError(f"criterion must be callable or None, got {described(criterion)}{meant}")


def check_similarity(similarity: object) -> None:
    """A name or a callable."""
    if isinstance(similarity, type):
        name = similarity.__name__
        raise TypeError(f"similarity must be an instance, got the class {name}: {name}()?")
    if isinstance(similarity, str):
        otherwise = " or a callable (features1, features2) -> scalar"
        names = tuple(SIMILARITIES)
        check_name("similarity", similarity, names, elsewhere=_ELSEWHERE, otherwise=otherwise)
    elif not callable(similarity):
        raise TypeError(f"similarity must be a name or callable, got {described(similarity)}")


def check_layer_weights(weights: object) -> tuple[float, ...] | None:
    """One finite number for each layer, or None."""
    if weights is None:
        return None
    if not isinstance(weights, Iterable) or isinstance(weights, str):
        raise TypeError(
            f"layer_weights must be a list of numbers, one for each layer, got {described(weights)}"
        )
    values = tuple(check_number("each of layer_weights", weight) for weight in weights)
    if not values:
        raise ValueError("layer_weights must have a number for each layer, got none")
    return values


def warn_of_a_small_weight(similarity: object, tied_weight: float) -> None:
    """Say so where ``'l2_norm'``, which falls with the batch and the width, would tie nothing."""
    if similarity == "l2_norm" and 0 < abs(tied_weight) < _LEAST_WEIGHT_OF_L2_NORM:
        warnings.warn(
            f"similarity='l2_norm' with tied_weight={tied_weight:g} ties next to nothing: for B "
            "pairs of D features it is at most 4 / (B * D), for 256 pairs of 512 features 0.00003. "
            "Take a weight of the order of B * D, or similarity='mse' or 'cosine'",
            UserWarning,
            stacklevel=3,
        )


def check_logits(logits: Tensor, num_views: int) -> int:
    """Check ``(V * B, C)`` logits; return B."""
    check_matrix("logits", logits, num_views, "C")
    rows = logits.shape[0]
    if rows == 0 or rows % num_views:
        views = "all of view 1, then all of view 2"
        raise ValueError(
            f"logits must have {num_views}B rows ({views}{', ...' if num_views > 2 else ''}), "
            f"got {rows} rows"
        )
    return rows // num_views


def check_features(
    features: Tensor | Sequence[Tensor], rows: int, num_views: int, layers: int | None
) -> list[Tensor]:
    """Check ``(V * B, D)`` features, or a list of them of that length; return a list."""
    if layers is not None and not isinstance(features, list | tuple):
        raise TypeError(
            f"features must be a list of {layers} tensors, one for each of layer_weights, got "
            f"{type(features).__name__}"
        )
    several = isinstance(features, list | tuple)
    parts: list[Any] = list(features) if several else [features]  # checked below
    if not parts or (layers is not None and len(parts) != layers):
        raise ValueError(
            f"features must be a list of {layers or 'one or more'} tensors, one for each layer, "
            f"got {len(parts)}"
        )
    for index, part in enumerate(parts):
        name = f"features[{index}]" if several else "features"
        check_matrix(name, part, num_views, "D")
        if part.shape[0] != rows:
            raise ValueError(
                f"{name} have {part.shape[0]} rows, logits {rows}: both need {num_views}B"
            )
        if part.shape[1] == 0:
            raise ValueError(f"{name} must have at least 1 column, got shape {tuple(part.shape)}")
    return parts


def check_matrix(name: str, value: Tensor, num_views: int, columns: str) -> None:
    """A floating matrix."""
    if not isinstance(value, Tensor):
        hint = (
            "use TiedModel in train mode, which returns (logits, features)"
            if name.startswith("features")
            else "a model that returns several outputs needs one of them chosen"
        )
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}: {hint}")
    if value.ndim != 2:
        raise ValueError(
            f"{name} must be ({num_views}B, {columns}), got shape {tuple(value.shape)}"
        )
    if not value.is_floating_point():
        raise TypeError(f"{name} must be floating, got {value.dtype}")


def check_target(target: Tensor, logits: Tensor, pairs: int, num_views: int) -> None:
    """B or V * B rows, where the logits are."""
    if not isinstance(target, Tensor):
        raise TypeError(
            f"target must be a tensor, got {described(target)}: pass torch.as_tensor(target)"
        )
    rows = num_views * pairs
    if target.ndim == 0 or target.shape[0] not in (pairs, rows):
        samples = target.shape[0] if target.ndim else 0
        several = samples > 1 and rows % samples == 0
        raise ValueError(
            f"target must have B={pairs} or {num_views}B={rows} rows for logits of "
            f"shape {tuple(logits.shape)}, got shape {tuple(target.shape)}"
            + (f": are these {rows // samples} views (num_views)?" if several else "")
        )
    if target.device != logits.device:
        raise ValueError(
            f"target is on {target.device}, logits are on {logits.device}: "
            "move it there with target.to(logits.device)"
        )


def target_for_cross_entropy(target: Tensor, logits: Tensor, num_views: int) -> Tensor:
    """Class indices as int64, soft targets in the dtype of the logits; of any number of rows."""
    if target.is_floating_point():
        if target.ndim != 2 or target.shape[1] != logits.shape[1]:
            meant = (
                ": class indices are integers, target.long()"
                if target.ndim == 1
                else f": logits, the first argument, have {logits.shape[1]} columns"
            )
            raise ValueError(
                f"a floating target holds soft labels (B, {logits.shape[1]}) or "
                f"({num_views}B, {logits.shape[1]}), got shape {tuple(target.shape)}{meant}"
            )
        return target.to(logits.dtype)
    if target.ndim != 1:
        soft = target.shape[1:] == logits.shape[1:]
        raise ValueError(
            f"an integer target holds class indices (B,) or ({num_views}B,), got shape "
            f"{tuple(target.shape)}{': soft labels are floating, target.float()' if soft else ''}"
        )
    if target.dtype == torch.bool or target.is_complex():
        raise TypeError(f"target must be class indices or soft labels, got {target.dtype}")
    return target.long()


def check_scalar(name: str, value: Tensor) -> None:
    """What a criterion or similarity returned."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must return a scalar tensor, got {type(value).__name__}")
    if value.ndim != 0:
        raise ValueError(
            f"{name} must return a scalar, got shape {tuple(value.shape)} (reduction='mean'?)"
        )


def widen(value: Tensor) -> Tensor:
    """float16 and bfloat16 to float32; squares of features overflow in the former."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
