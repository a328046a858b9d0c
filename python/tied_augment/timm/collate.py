"""timm's own loader with several views: the transform and the collate functions.

It is used where the native loader can't read a data set. `Views` are then the transform of each
sample. They are called without an index, so they draw from torch's random state, which DataLoader
seeds in each worker. Batches are view-major: view 1 of all samples, then view 2 and so on.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torch.utils.data import IterableDataset, default_collate

from tied_augment.timm.errors import LaunchError
from tied_augment.timm.loader import erasing_splits
from tied_augment.timm.views import declared_views
from tied_augment.views import Views

__all__ = ["NormalizedViews", "collate_views", "view_loader"]

_View = NDArray[np.uint8] | Tensor
_Batch = Sequence[tuple[tuple[_View, ...], Any]]


def view_loader(
    args: Namespace, create_loader: Callable[..., Any], dataset: Any, options: dict[str, Any]
) -> Any:
    """Make timm's loader for training, with several views as samples.

    Args:
        args: train.py's, with the tied options.
        create_loader: train.py's.
        dataset: the train set.
        options: keyword arguments of `create_loader`.

    Raises:
        LaunchError: `create_loader` does not make a transform as timm's does.
    """
    if options.get("collate_fn") is None:
        prefetcher = options.get("use_prefetcher", True)
        collate = collate_views if prefetcher else _normalized_views(options, args.tied_views)
        options = options | {"collate_fn": collate}
    # New workers in each epoch start from seeds that follow from its number. Streams keep their
    # workers, since some take long to start.
    stream = isinstance(dataset, IterableDataset)
    if not stream and not options.get("use_multi_epochs_loader", False):
        options = options | {"persistent_workers": False}
    with _views_from(create_loader, args):
        return create_loader(dataset, **options)


def collate_views(batch: _Batch) -> tuple[Tensor, Tensor]:
    """Collate for the prefetcher: B samples of V views to ``(V * B, 3, H, W)`` uint8.

    The targets are V * B. As in timm's ``fast_collate``, scalar targets become int64.
    """
    images, targets = _stacked(batch)
    return images, targets.long() if targets.ndim == 1 else targets


class NormalizedViews:
    """Collate for ``--no-prefetcher``: B samples of V views to ``(V * B, 3, H, W)`` float32.

    The targets are V * B.

    Images are normalised as by torchvision's ``ToTensor`` and ``Normalize``, bit for bit, then
    erased by timm's ``RandomErasing``. Targets keep their dtype.

    Args:
        mean: per channel, from 0 to 1.
        std: per channel, above 0.
        erasing: keyword arguments of timm's ``RandomErasing``; None for no erasing.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], erasing: dict[str, Any] | None
    ) -> None:
        self._mean = torch.tensor(mean).view(1, -1, 1, 1)
        self._std = torch.tensor(std).view(1, -1, 1, 1)
        self._erase = RandomErasing(device="cpu", **erasing) if erasing else None

    def __call__(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Collate a batch."""
        images, targets = _stacked(batch)
        images = images.float().div_(255).sub_(self._mean).div_(self._std)
        if self._erase is not None:
            images = self._erase(images)
        return images, targets


def _stacked(batch: _Batch) -> tuple[Tensor, Tensor]:
    count = len(batch[0][0])
    images = np.stack([np.asarray(sample[0][view]) for view in range(count) for sample in batch])
    targets = default_collate([sample[1] for sample in batch])
    return torch.from_numpy(images), torch.cat([targets] * count)


def _normalized_views(options: dict[str, Any], num_views: int) -> NormalizedViews:
    erasing = None
    if options.get("re_prob", 0.0) > 0 and not options.get("no_aug", False):
        erasing = {
            "probability": options["re_prob"],
            "mode": options.get("re_mode", "const"),
            "max_count": options.get("re_count", 1),
            "num_splits": erasing_splits(options, num_views),
        }
    return NormalizedViews(options["mean"], options["std"], erasing)


@contextmanager
def _views_from(create_loader: Callable[..., Any], args: Namespace) -> Iterator[None]:
    """Let `create_loader` call our ``create_transform``, which makes `Views`, in the block."""
    names = getattr(create_loader, "__globals__", {})
    if "create_transform" not in names:
        raise LaunchError(
            "the script's create_loader does not call create_transform as timm's does"
        )
    made: list[Views] = []

    def create_transform(input_size: Any, **options: Any) -> Views:
        made.append(declared_views(args, {"input_size": input_size} | options))
        return made[-1]

    original = names["create_transform"]
    names["create_transform"] = create_transform
    try:
        yield
    finally:
        names["create_transform"] = original
    if not made:
        raise LaunchError("the script's create_loader made no transform for the train set")
