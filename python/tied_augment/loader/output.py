"""The form in which batches are delivered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from tied_augment.loader.pending import Pending
from tied_augment.two_view import TwoView, View

__all__ = ["DTYPES", "Delivery", "Layout", "Output", "Shape"]

Layout = Literal["flat", "views"]

DTYPES = {
    "uint8": torch.uint8,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True)
class Shape:
    """What is made of one sample: how many views, of which size."""

    views: int
    height: int
    width: int

    @classmethod
    def of(cls, views: TwoView | View) -> Shape:
        """The shape that `views` makes."""
        size = views.size
        assert isinstance(size, tuple)
        return cls(2 if isinstance(views, TwoView) else 1, *size)


@dataclass(frozen=True)
class Output:
    """What the elements of a batch are and how they are laid out.

    Attributes:
        dtype: of the images.
        mean: of each channel, 0 to 1; not used for uint8.
        std: of each channel; not used for uint8.
        channels_last: torch's memory format of that name.
        layout: ``'flat'``, (views * B, 3, H, W), or ``'views'``, (views, B, 3, H, W). A single view
            is (B, 3, H, W) in both.
    """

    dtype: torch.dtype
    mean: Sequence[float]
    std: Sequence[float]
    channels_last: bool
    layout: Layout

    def table(self) -> bytes | None:
        """The normalised values of 0 to 255 per channel, (3, 256), by torch; None for uint8.

        In float32, ``(v / 255 - mean) / std``, each step rounded, then rounded to the dtype: what
        ToTensor and Normalize compute, and timm's loaders without prefetcher.
        """
        if self.dtype == torch.uint8:
            return None
        values = torch.arange(256, device="cpu").to(torch.float32).div(255).repeat(3, 1)
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float32, device="cpu")
        values.sub_(mean[:, None]).div_(std[:, None])
        bits: NDArray[np.uint8] = values.to(self.dtype).view(torch.uint8).numpy()
        return bits.tobytes()

    def size(self, shape: Shape, samples: int) -> int:
        """The number of bytes of a batch."""
        return shape.views * samples * 3 * shape.height * shape.width * self.dtype.itemsize

    def tensor(self, memory: Tensor, shape: Shape, samples: int) -> Tensor:
        """The images of a batch, over its memory."""
        flat = self.layout == "flat" or shape.views == 1
        batch = (shape.views * samples,) if flat else (shape.views, samples)
        elements = memory.view(self.dtype)
        if self.channels_last:
            return elements.view(*batch, shape.height, shape.width, 3).movedim(-1, -3)
        return elements.view(*batch, 3, shape.height, shape.width)


@dataclass(frozen=True)
class Delivery:
    """Makes what the consumer gets of a finished batch.

    Attributes:
        output: the form of the images.
        shapes: for each choice, what is made of a sample.
        repeat_targets: give the targets once per view.
        index_targets: make repeated targets int64, whatever the data set has.
        collate_fn: makes the batch of a list of samples instead; or None.
    """

    output: Output
    shapes: Sequence[Shape]
    repeat_targets: bool
    index_targets: bool
    collate_fn: Callable[[list[Any]], Any] | None

    def __call__(self, batch: Pending, rest: Sequence[tuple[Any, ...]]) -> Any:
        """Make the images, targets, ... of a batch from its memory and the rest of its items."""
        shape = self.shapes[batch.choice]
        if self.collate_fn is not None:
            return self.collate_fn(self._items(batch, shape, rest))
        images = self.output.tensor(batch.memory, shape, len(batch.indices))
        columns = [default_collate(list(column)) for column in zip(*rest, strict=True)]
        if self.repeat_targets and columns:
            if not isinstance(columns[0], Tensor):
                raise TypeError(f"repeat_targets needs targets of numbers, got {rest[0][0]!r}")
            columns[0] = self._repeated(columns[0], shape.views)
        return (images, *columns)

    def _items(
        self, batch: Pending, shape: Shape, rest: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        """``((view1, view2), target, ...)`` of each sample."""
        by_view = replace(self.output, layout="views")
        images = by_view.tensor(batch.memory, shape, len(batch.indices))
        views = images.unbind() if shape.views > 1 else (images,)
        samples = zip(zip(*views, strict=True), rest, strict=True)
        return [(pair, *others) for pair, others in samples]

    def _repeated(self, targets: Tensor, views: int) -> Tensor:
        if self.index_targets and targets.ndim == 1:
            targets = targets.long()
        return targets.repeat((views,) + (1,) * (targets.ndim - 1))
