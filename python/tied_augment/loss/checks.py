"""Checks of what TiedLoss is given, and the casts to what it computes in.

Only types, dtypes and shapes are looked at, never values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


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
            f"features must be {layers or 'at least 1'} tensors, one for each layer, "
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
    """B or V * B rows."""
    if not isinstance(target, Tensor):
        raise TypeError(f"target must be a tensor, got {type(target).__name__}")
    if target.ndim == 0 or target.shape[0] not in (pairs, num_views * pairs):
        raise ValueError(
            f"target must have B={pairs} or {num_views}B={num_views * pairs} rows for logits of "
            f"shape {tuple(logits.shape)}, got shape {tuple(target.shape)}"
        )


def target_for_cross_entropy(target: Tensor, logits: Tensor, num_views: int) -> Tensor:
    """Class indices as int64, soft targets in the dtype of the logits; of any number of rows."""
    if target.is_floating_point():
        if target.ndim != 2 or target.shape[1] != logits.shape[1]:
            raise ValueError(
                f"a floating target holds soft labels (B, {logits.shape[1]}) or "
                f"({num_views}B, {logits.shape[1]}), got shape {tuple(target.shape)}"
            )
        return target.to(logits.dtype)
    if target.ndim != 1:
        raise ValueError(
            f"an integer target holds class indices (B,) or ({num_views}B,), got shape "
            f"{tuple(target.shape)}"
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
