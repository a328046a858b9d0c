"""Checks of the arguments and inputs of `TiedLoss`, and the casts to what it computes in.

Lives here: every refusal of `TiedLoss` with its message. Checks look at types, dtypes, shapes and
devices of tensors. They never look at values, except to name one that torch has refused. May import
torch, the checks of arguments, the schedules and the similarities.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tied_augment.arguments import check_name, check_number, described, listed, nearest
from tied_augment.loss.schedule import SCHEDULES, Schedule
from tied_augment.similarity import SIMILARITIES, Distance, Similarity, known_aliases, name_of

# With this weight, a similarity of at most 4 / (B * D) adds at most 0.025 to the loss for 32 pairs
# of 512 features.
_LEAST_WEIGHT = 100.0


def check_criterion(criterion: object) -> None:
    """Refuse what is not a callable or None."""
    if isinstance(criterion, type):
        name = criterion.__name__
        raise TypeError(f"criterion must be an instance, got the class {name}: {name}()?")
    if criterion is None or callable(criterion):
        return
    meant = ""
    if isinstance(criterion, str):
        near = nearest(criterion, tuple(SIMILARITIES), known_aliases())
        meant = f": did you mean similarity={near!r}?" if near else ""
    elif isinstance(criterion, Real):
        meant = f": did you mean tied_weight={criterion}?"
    raise TypeError(f"criterion must be callable or None, got {described(criterion)}{meant}")


def check_similarity(similarity: object) -> str | Distance:
    """`similarity` as a known name, also if it is a known function, or as another callable."""
    if isinstance(similarity, type):
        name = similarity.__name__
        raise TypeError(f"similarity must be an instance, got the class {name}: {name}()?")
    if isinstance(similarity, str):
        otherwise = " or a callable (features1, features2) -> scalar"
        names, aliases = tuple(SIMILARITIES), known_aliases()
        check_name("similarity", similarity, names, aliases=aliases, otherwise=otherwise)
        return similarity
    if not callable(similarity):
        raise TypeError(f"similarity must be a name or callable, got {described(similarity)}")
    return name_of(similarity) or similarity


def check_schedule(schedule: object) -> Schedule:
    """`schedule`, or the schedule of that name."""
    if isinstance(schedule, Schedule):
        return schedule
    if not isinstance(schedule, str):
        raise TypeError(
            f"schedule must be one of {SCHEDULES} or a Schedule, such as Schedule('cosine', "
            f"steps=epochs * steps_per_epoch), got {described(schedule)}"
        )
    return Schedule(schedule)


def check_layer_weights(weights: object) -> tuple[float, ...] | None:
    """`weights` as a tuple of finite numbers, one for each layer; None stays None."""
    if weights is None:
        return None
    given = listed(weights)
    if given is None:
        raise TypeError(
            f"layer_weights must be a list of numbers, one for each layer, got {described(weights)}"
        )
    values = tuple(check_number("each of layer_weights", weight) for weight in given)
    if not values:
        raise ValueError("layer_weights must have a number for each layer, got none")
    return values


def warn_of_small_weight(similarity: Similarity | None, tied_weight: float) -> None:
    """Warn if a similarity that shrinks with the batch and the width would tie nothing."""
    if similarity is None or not similarity.shrinks or not 0 < abs(tied_weight) < _LEAST_WEIGHT:
        return
    warnings.warn(
        f"similarity={similarity.name!r} with tied_weight={tied_weight:g} ties next to nothing: "
        "for B pairs of D features it is at most 4 / (B * D), for 256 pairs of 512 features "
        "0.00003. Take a weight of the order of B * D, or another similarity",
        UserWarning,
        stacklevel=3,
    )


def check_logits(logits: Tensor, num_views: int) -> int:
    """B of ``(V * B, C)`` logits, which are checked."""
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
    """A list of the ``(V * B, D)`` features of each layer, which are checked.

    Args:
        features: one matrix, or a list of one per layer.
        rows: V * B.
        num_views: V.
        layers: how many layers there must be; None for any number.
    """
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
    """Refuse what is not a floating matrix."""
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
    """Refuse a target without B or V * B rows, or on another device than the logits."""
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


def check_views_agree(target: Tensor, pairs: int, num_views: int) -> None:
    """Refuse class indices per view that differ between the views of an image.

    Rows that are left out of the cross entropy, -100, may stand beside any class.
    """
    if target.is_floating_point() or target.shape != (num_views * pairs,):
        return
    # int64, since -100 does not fit every integer type.
    views = target.long().view(num_views, pairs)
    differ = (views != views[0]) & (views != -100) & (views[0] != -100)
    if differ.any():
        view, sample = differ.nonzero()[0].tolist()
        raise ValueError(
            f"target has an index per view, but views 1 and {view + 1} of sample {sample} have "
            f"{int(views[0, sample])} and {int(views[view, sample])}: row i and row B + i must be "
            "views of one image. If each row is another image, the batch has one view per image: "
            "make two, with TwoView(View(224)) in place of View(224)"
        )


def target_for_cross_entropy(target: Tensor, logits: Tensor, num_views: int) -> Tensor:
    """`target` as int64 class indices ``(N,)``, or as soft targets ``(N, C)`` like the logits."""
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


def one_hot(target: Tensor, classes: int) -> Tensor:
    """int64 ``(N, C)`` of class indices ``(N,)``.

    Raises:
        ValueError: an index is out of range. On CUDA, where no value is read, PyTorch asserts it.
    """
    target = target.long()
    try:
        return F.one_hot(target, classes)
    except RuntimeError:
        outside = target[(target < 0) | (target >= classes)]
        if not len(outside):
            raise
        raise ValueError(
            f"target must be class indices in [0, {classes}), got {outside[0].item()}"
        ) from None


def check_scalar(name: str, value: Tensor) -> None:
    """Refuse what is not a scalar tensor; a criterion or similarity returned it."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must return a scalar tensor, got {type(value).__name__}")
    if value.ndim != 0:
        raise ValueError(
            f"{name} must return a scalar, such as the mean over the batch, got shape "
            f"{tuple(value.shape)}"
        )
