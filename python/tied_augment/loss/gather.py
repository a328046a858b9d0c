"""Features of all processes, for similarities that compare samples with one another."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather(features: Tensor) -> Tensor:
    """Stack the features of all processes: ``(N, D)`` on each becomes ``(processes, N, D)``.

    Without a process group it is ``(1, N, D)``, the features themselves. N must be the same on all
    processes (``drop_last``). Every process must then compute the same loss of what it gets: that
    is what makes the backward cheap, since the gradient of the sum over the processes' equal losses
    is known without communication. DistributedDataParallel, which averages over the processes, then
    gives the gradient of the one loss.
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
