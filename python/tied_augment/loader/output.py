"""The form in which batches are delivered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from tied_augment.loader.pending import Pending
from tied_augment.pipeline import Size
from tied_augment.view import View
from tied_augment.views import Views

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
    """What is made of one sample.

    Attributes:
        sizes: (height, width) of each view.
        single: whether it is a `View`, whose images have no axis for views.
    """

    sizes: tuple[Size, ...]
    single: bool

    @classmethod
    def of(cls, views: Views | View) -> Shape:
        """The shape that `views` makes."""
        if isinstance(views, Views):
            return cls(views.sizes, single=False)
        return cls((cast("Size", views.size),), single=True)

    @property
    def views(self) -> int:
        """How many views."""
        return len(self.sizes)

    @property
    def has_one_size(self) -> bool:
        """Whether all views have the same size, and so fit one tensor."""
        return len(set(self.sizes)) == 1

    def runs(self) -> list[tuple[int, Size]]:
        """Each run of consecutive views of one size: how many, and the size."""
        return [(len(list(run)), size) for size, run in groupby(self.sizes)]


@dataclass(frozen=True)
class Output:
    """What the elements of a batch are and how they are laid out.

    Attributes:
        dtype: of the images.
        mean: of each channel, 0 to 1; not used for uint8.
        std: of each channel; not used for uint8.
        channels_last: torch's memory format of that name.
        layout: ``'flat'``, (views * B, 3, H, W), or ``'views'``, (views, B, 3, H, W), if the views
            have one size. A single view is (B, 3, H, W) in both.
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
        pixels = sum(height * width for height, width in shape.sizes)
        return 3 * pixels * samples * self.dtype.itemsize

    def images(self, memory: Tensor, shape: Shape, samples: int) -> Tensor | list[Tensor]:
        """The images of a batch, over its memory; see `TiedLoader` for their form."""
        flat = self.layout == "flat"
        runs = shape.runs() if flat or shape.has_one_size else [(1, size) for size in shape.sizes]
        lengths = [3 * height * width * count * samples for count, (height, width) in runs]
        parts = memory.view(self.dtype).split(lengths)
        tensors = [self._tensor(part, size) for part, (_, size) in zip(parts, runs, strict=True)]
        if not shape.has_one_size:
            return tensors
        (images,) = tensors
        return images if flat or shape.single else images.unflatten(0, (shape.views, samples))

    def form(self, shape: Shape) -> str:
        """The images of a batch in words, such as ``uint8 (2, B, 3, 224, 224)``."""
        flat = self.layout == "flat"
        runs = [(n, f"3, {height}, {width}") for n, (height, width) in shape.runs()]
        if shape.single:
            tensors = [f"(B, {runs[0][1]})"]
        elif flat:
            tensors = [f"({n}B, {image})" for n, image in runs]
        elif shape.has_one_size:
            tensors = [f"({n}, B, {image})" for n, image in runs]
        else:
            tensors = [f"{n} x (B, {image})" for n, image in runs]
        order = ", channels_last" if self.channels_last else ""
        return f"{str(self.dtype).removeprefix('torch.')} {', '.join(tensors)}{order}"

    def _tensor(self, elements: Tensor, size: Size) -> Tensor:
        """Images of one size, (N, 3, height, width)."""
        if self.channels_last:
            return elements.view(-1, *size, 3).movedim(-1, -3)
        return elements.view(-1, 3, *size)


@dataclass(frozen=True)
class Delivery:
    """Makes what the consumer gets of a finished batch.

    Attributes:
        output: the form of the images.
        shapes: for each choice, what is made of a sample.
        repeat_targets: give the targets once per view.
        index_targets: make repeated targets int64, whatever the data set has.
        collate_fn: makes the batch of a list of samples instead; or None.
        return_index: give the samples' indices, too.
    """

    output: Output
    shapes: Sequence[Shape]
    repeat_targets: bool
    index_targets: bool
    collate_fn: Callable[[list[Any]], Any] | None
    return_index: bool

    def __call__(self, batch: Pending, rest: Sequence[tuple[Any, ...]]) -> Any:
        """Make the images, targets, ... of a batch from its memory and the rest of its items."""
        shape = self.shapes[batch.choice]
        if self.collate_fn is not None:
            return self.collate_fn(self._items(batch, shape, rest))
        images = self.output.images(batch.memory, shape, len(batch.indices))
        columns = [default_collate(list(column)) for column in zip(*rest, strict=True)]
        if self.repeat_targets and columns:
            if not isinstance(columns[0], Tensor):
                raise TypeError(f"repeat_targets needs targets of numbers, got {rest[0][0]!r}")
            columns[0] = self._repeated(columns[0], shape.views)
        if self.return_index:
            columns.append(torch.from_numpy(batch.indices.astype(np.int64)))
        return (images, *columns)

    def _items(
        self, batch: Pending, shape: Shape, rest: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        """``((view1, view2, ...), target, ...)`` of each sample, as of a `TiedDataset`."""
        by_view = replace(self.output, layout="views")
        views = by_view.images(batch.memory, shape, len(batch.indices))
        images = views if shape.single else zip(*views, strict=True)
        items = [(image, *others) for image, others in zip(images, rest, strict=True)]
        if self.return_index:
            pairs = zip(items, batch.indices.tolist(), strict=True)
            items = [(*item, index) for item, index in pairs]
        return items

    def _repeated(self, targets: Tensor, views: int) -> Tensor:
        if self.index_targets and targets.ndim == 1:
            targets = targets.long()
        return targets.repeat((views,) + (1,) * (targets.ndim - 1))
