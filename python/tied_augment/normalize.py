"""`Normalize`: uint8 views to the floats that a model takes, as a module of the model's graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tied_augment.arguments import check_normalization, described
from tied_augment.view_from_timm import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["Normalize"]

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class Normalize(nn.Module):
    """Normalises uint8 images: torchvision's ``ToTensor`` and ``Normalize`` in one module.

    It computes ``(images / 255 - mean) / std`` in float32, each step rounded, and rounds the result
    to `dtype`. On a CPU the float32 result equals torchvision's, bit for bit, eager and compiled.
    Other devices may divide by other means, which differs in the last bit.

    ``torch.compile`` fuses it with what follows: compile ``nn.Sequential(Normalize(mean, std),
    model)`` or a `TiedModel` with ``normalize=``. The module has no parameters and adds nothing to
    a state_dict. ``half()``, ``bfloat16()`` and ``double()`` do not change it.

    Args:
        mean: 3 numbers from 0 to 1, one per channel; None for ImageNet's.
        std: 3 numbers above 0 and up to 1, likewise.
        dtype: of the result: float32, float16 or bfloat16. Under autocast leave it float32: the
            model's layers choose their own.

    Raises:
        ValueError: a number out of its range, or another dtype.
        TypeError: a value of the wrong type.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if dtype not in _DTYPES:
            names = ", ".join(map(str, _DTYPES))
            raise ValueError(f"dtype must be one of {names}, got {dtype!r}")
        self._values = check_normalization(
            IMAGENET_MEAN if mean is None else mean, IMAGENET_STD if std is None else std
        )
        self.dtype = dtype
        self._fill(None)

    @classmethod
    def from_model(cls, model: nn.Module, dtype: torch.dtype = torch.float32) -> Normalize:
        """The normalisation that a model of timm was trained with.

        Args:
            model: it has a ``pretrained_cfg`` with `mean` and `std`.
            dtype: as in `Normalize`.

        Raises:
            ValueError: the model says nothing of it.
        """
        config: Any = getattr(model, "pretrained_cfg", None)
        if not isinstance(config, Mapping) or not config.get("mean") or not config.get("std"):
            raise ValueError(
                f"this {type(model).__name__} has no pretrained_cfg with mean and std, as timm's "
                "models have: give Normalize(mean, std)"
            )
        return cls(config["mean"], config["std"], dtype)

    def _fill(self, device: torch.device | None) -> None:
        for name, values in zip(("mean", "std"), self._values, strict=True):
            column = torch.tensor(values, dtype=torch.float32, device=device).view(3, 1, 1)
            self.register_buffer(name, column, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Normalize:
        # What half() and the like have rounded is made anew.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.mean.dtype != torch.float32:
            self._fill(self.mean.device)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images.

        Args:
            images: uint8 ``(..., 3, H, W)``, on any device.

        Returns:
            The same shape and memory format, of `dtype`.

        Raises:
            TypeError: not a uint8 tensor.
            ValueError: another number of channels.
        """
        if not isinstance(images, Tensor) or images.dtype != torch.uint8:
            given: Any = images.dtype if isinstance(images, Tensor) else described(images)
            raise TypeError(
                f"Normalize takes uint8 images, got {given}: give it the views as they are, or "
                "leave it out for images that are normalised already"
            )
        if images.ndim < 3 or images.shape[-3] != 3:
            raise ValueError(f"images must be (..., 3, H, W), got {tuple(images.shape)}")
        mean, std = self.mean.to(images.device), self.std.to(images.device)
        return images.to(torch.float32).div_(255).sub_(mean).div_(std).to(self.dtype)

    def extra_repr(self) -> str:
        """The numbers."""
        mean, std = self._values
        dtype = "" if self.dtype == torch.float32 else f", dtype={self.dtype}"
        return f"mean={mean}, std={std}{dtype}"
