"""Features of all processes, for similarities that are not a mean over samples.

Lives here: `gather`, an all-gather whose backward pass needs no communication. May import torch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather(features: Tensor) -> Tensor:
    """Stack the features of all processes: ``(N, D)`` on each becomes ``(processes, N, D)``.

    Every process must compute the same loss from the result. The sum of these equal losses then has
    a gradient that each process knows without communication: the number of processes times the
    gradient of its own loss. DistributedDataParallel averages over the processes, which gives the
    gradient of the one loss.

    Args:
        features: ``(N, D)`` with the same N on all processes (use ``drop_last``).

    Returns:
        ``(processes, N, D)``; ``(1, N, D)`` without a process group.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return features[None]
    return _Gather.apply(features)  # type: ignore[no-any-return]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, features: Tensor) -> Tensor:
        features = features.contiguous()
        parts = [torch.empty_like(features) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, features)
        return torch.stack(parts)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return gradient[dist.get_rank()] * dist.get_world_size()
