"""Mixup and CutMix of view 1 only, in timm's classes.

The other views stay clean. The loss must mix their features by the same share, lambda, so it must
know it. train.py passes only images and targets from the loader to the loss: lambda therefore
travels as one more column of the soft targets (`pack` and `unpack`). As in timm, sample i is mixed
with sample B - 1 - i of the batch. timm draws from numpy's global state, which `EpochSeeds` sets
for each batch.

Lives here: `FirstViewMixup` and `FirstViewFastCollateMixup`, which stand in for timm's `Mixup` and
`FastCollateMixup`. For custom training loops there is `tied_augment.TiedMixup`, which needs no
timm.

Source: Kurtulus et al., "Tied-Augment", ICML 2023, Flax code; the mixing itself is timm's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from timm.data.mixup import FastCollateMixup, Mixup, mixup_target
from torch import Tensor

from tied_augment.timm.collate import collate_views
from tied_augment.timm.seeds import EpochSeeds

__all__ = ["FirstViewFastCollateMixup", "FirstViewMixup", "pack", "unpack"]


def pack(mixed: Tensor, clean: Tensor, share: Tensor) -> Tensor:
    """The views' soft targets and lambda in ``(V * B, C + 1)``.

    Args:
        mixed: of view 1, ``(B, C)``.
        clean: of the others, ``((V - 1) * B, C)``.
        share: lambda, ``(B, 1)``.
    """
    ones = torch.ones_like(clean[:, :1])
    return torch.cat((torch.cat((mixed, share), 1), torch.cat((clean, ones), 1)))


def unpack(target: Tensor, classes: int, num_views: int) -> tuple[Tensor, Tensor | None]:
    """The inverse of `pack`: ``(V * B, C)``, and lambda ``(B, 1)``; None for other targets.

    Args:
        target: what came from the loader.
        classes: C, the columns of the logits.
        num_views: V.
    """
    if target.ndim != 2 or target.shape[1] != classes + 1:
        return target, None
    return target[:, :-1], target[: target.shape[0] // num_views, -1:]


class _KeepsLambda:
    """The part that both classes share; the other base class is a mixer of timm's.

    timm's methods return lambda (after clipped boxes are accounted for) and its `__call__` drops
    it. This class keeps it.

    Args:
        *args: timm's.
        seeds: what each batch is mixed from; None leaves numpy's global state alone.
        **kwargs: timm's.
    """

    _share: float | Tensor = 1.0

    def __init__(self, *args: Any, seeds: EpochSeeds | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._numbers = nullcontext if seeds is None else seeds.mixing

    def _keep(self, share: float | Tensor) -> float | Tensor:
        self._share = share
        return share

    def _share_of(self, count: int, like: Tensor) -> Tensor:
        """Lambda of each of `count` samples, ``(count, 1)``, in the dtype and place of `like`."""
        share = torch.as_tensor(self._share, dtype=like.dtype, device=like.device)
        return share.reshape(-1, 1).expand(count, 1)


class FirstViewMixup(_KeepsLambda, Mixup):
    """timm's ``Mixup`` for batches of V views: images ``(V * B, ...)``, targets ``(V * B,)``.

    Args:
        *args: as `_KeepsLambda`.
        num_views: V.
        **kwargs: as `_KeepsLambda`.
    """

    def __init__(self, *args: Any, num_views: int = 2, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._num_views = num_views

    def __call__(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mix view 1. The targets are returned packed, ``(V * B, C + 1)``."""
        count = len(x) // self._num_views
        with self._numbers():
            first, mixed = super().__call__(x[:count], target[:count])
        clean = mixup_target(target[count:], self.num_classes, 1.0, self.label_smoothing)
        return torch.cat((first, x[count:])), pack(mixed, clean, self._share_of(count, mixed))

    def _mix_batch(self, *args: Any, **kwargs: Any) -> float | Tensor:
        return self._keep(super()._mix_batch(*args, **kwargs))

    def _mix_pair(self, *args: Any, **kwargs: Any) -> float | Tensor:
        return self._keep(super()._mix_pair(*args, **kwargs))

    def _mix_elem(self, *args: Any, **kwargs: Any) -> float | Tensor:
        return self._keep(super()._mix_elem(*args, **kwargs))


class FirstViewFastCollateMixup(_KeepsLambda, FastCollateMixup):
    """timm's ``FastCollateMixup`` for samples ``((view1, view2, ...), target)``.

    `mixup_enabled` lies in shared memory, so that workers that live for several epochs see it
    change. timm's own does not: there ``--mixup-off-epoch`` has no effect with ``--workers`` above
    0.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._enabled = torch.ones((), dtype=torch.bool).share_memory_()
        super().__init__(*args, **kwargs)

    @property
    def mixup_enabled(self) -> bool:
        """Whether images are mixed. Targets are soft and packed in any case."""
        return bool(self._enabled)

    @mixup_enabled.setter
    def mixup_enabled(self, value: bool) -> None:
        self._enabled.fill_(value)

    def __call__(self, batch: Sequence[Any], _: object = None) -> tuple[Tensor, Tensor]:
        """Collate B samples to ``(V * B, 3, H, W)`` uint8, view 1 mixed, and packed targets."""
        count = len(batch)
        images, target = collate_views(batch)
        # timm before 1.0.9 mixes arrays only. A copy, because mode 'pair' mixes in place.
        first = [
            (image.copy(), y) for image, y in zip(images[:count].numpy(), target, strict=False)
        ]
        with self._numbers():
            images[:count], mixed = super().__call__(first)
        clean = mixup_target(target[count:], self.num_classes, 1.0, self.label_smoothing)
        return images, pack(mixed, clean, self._share_of(count, mixed))

    def _mix_batch_collate(self, *args: Any, **kwargs: Any) -> float | Tensor:
        return self._keep(super()._mix_batch_collate(*args, **kwargs))

    def _mix_pair_collate(self, *args: Any, **kwargs: Any) -> float | Tensor:
        return self._keep(super()._mix_pair_collate(*args, **kwargs))

    def _mix_elem_collate(self, *args: Any, **kwargs: Any) -> float | Tensor:
        return self._keep(super()._mix_elem_collate(*args, **kwargs))
