"""Collate functions for pairs of views in timm's own loader.

timm's loader is used where the native loader can't read a data set. A `TwoView` is then the
transform of each sample. It is called without an index, so it draws from torch's random state,
which DataLoader seeds in each worker. Batches are view-major: view 1 of all samples, then view 2.
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

__all__ = ["NormalizedPairs", "collate_pairs"]

_View = NDArray[np.uint8] | Tensor
_Batch = Sequence[tuple[tuple[_View, _View], Any]]


def collate_pairs(batch: _Batch) -> tuple[Tensor, Tensor]:
    """Collate for the prefetcher: B pairs to ``(2B, 3, H, W)`` uint8 and 2B targets.

    As in timm's ``fast_collate``, scalar targets become int64.
    """
    images, targets = _stacked(batch)
    return images, targets.long() if targets.ndim == 1 else targets


class NormalizedPairs:
    """Collate for ``--no-prefetcher``: B pairs to ``(2B, 3, H, W)`` float32 and 2B targets.

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
    images = np.stack([np.asarray(sample[0][view]) for view in (0, 1) for sample in batch])
    targets = default_collate([sample[1] for sample in batch])
    return torch.from_numpy(images), torch.cat((targets, targets))
