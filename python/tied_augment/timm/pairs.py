"""Pairs of views in timm's own loader: the collate functions.

Used where the native loader can't serve a data set. There a `TwoView` is the transform, called
without an index: it draws from torch's random state, which DataLoader seeds in each worker.
Batches are view-major: all of view 1, then all of view 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torch.utils.data import default_collate

__all__ = ["NormalizedPairs", "Pixels", "collate_pairs"]

Pixels = NDArray[np.uint8]
Pair = tuple["Pixels | Tensor", "Pixels | Tensor"]


def collate_pairs(batch: Sequence[tuple[Pair, Any]]) -> tuple[Tensor, Tensor]:
    """Put B pairs into ``(2B, 3, H, W)`` uint8 and 2B targets, as timm's ``fast_collate``."""
    images = np.stack([np.asarray(sample[0][view]) for view in (0, 1) for sample in batch])
    targets = default_collate([sample[1] for sample in batch])
    if targets.ndim == 1:
        targets = targets.long()
    return torch.from_numpy(images), torch.cat((targets, targets))


class NormalizedPairs:
    """Collate for ``--no-prefetcher``: `collate_pairs`, then what timm's transform would do.

    Normalisation as by torchvision's ``ToTensor`` and ``Normalize``, bit for bit; then timm's
    random erasing of each image.

    Args:
        mean: per channel, in 0 to 1.
        std: per channel.
        erasing: keyword arguments of timm's ``RandomErasing``; None for none.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], erasing: dict[str, Any] | None
    ) -> None:
        self._mean = torch.tensor(mean).view(1, -1, 1, 1)
        self._std = torch.tensor(std).view(1, -1, 1, 1)
        self._erase = RandomErasing(device="cpu", **erasing) if erasing else None

    def __call__(self, batch: Sequence[tuple[Pair, Any]]) -> tuple[Tensor, Tensor]:
        """Put B pairs into ``(2B, 3, H, W)`` float32 and 2B targets."""
        images, targets = collate_pairs(batch)
        images = images.float().div_(255).sub_(self._mean).div_(self._std)
        if self._erase is not None:
            images = self._erase(images)
        return images, targets
