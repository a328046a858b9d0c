"""The memory of batches, and the form in which they are delivered."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

if TYPE_CHECKING:
    from tied_augment.loader.fetch import Pending

__all__ = ["DTYPES", "Buffers", "Delivery", "Layout", "Output"]

Layout = Literal["flat", "views"]

DTYPES = {
    "uint8": torch.uint8,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class Buffers:
    """Memory for batches, used again once the consumer has let go of a batch.

    The first touch of fresh memory costs as much as a third of the work on a batch: the system
    must find and clear its pages. There are never more buffers than batches at one time.

    Args:
        keep: how many unused buffers to keep at most.
        pin: allocate page-locked memory. torch itself keeps and reuses that, and knows when a
            transfer from it has ended: as long as batches are views of the tensor that it gave. Of
            a part of an array's tensor it would not know.
    """

    def __init__(self, keep: int, pin: bool) -> None:
        self._keep = keep
        self._pin = pin
        self._unused: list[Tensor] = []
        self._lent: dict[int, _Lent] = {}
        self._back: list[_Lent] = []
        # Iterations of one loader may overlap, each with a thread that fetches.
        self._lock = threading.Lock()

    def lend(self, size: int) -> Tensor:
        """Lend `size` bytes, taken back when neither the tensor nor a view of it is in use."""
        if self._pin:
            return torch.empty(size, dtype=torch.uint8, device="cpu", pin_memory=True)
        with self._lock:
            buffer = self._take(size)
            # Every lending has an array of its own, which lives as long as any tensor made of it.
            array = cast("NDArray[np.uint8]", buffer.numpy())
            # No code of Python's runs when it dies: a Ctrl-C that arrived in it would be lost.
            lent = _Lent(array, self._back.append)
            lent.buffer = buffer
            self._lent[id(lent)] = lent
        return torch.from_numpy(array)

    def _take(self, size: int) -> Tensor:
        while self._back:
            returned = self._back.pop()
            del self._lent[id(returned)]
            self._unused.append(returned.buffer)
        fitting = [n for n, unused in enumerate(self._unused) if unused.numel() == size]
        if fitting:
            buffer = self._unused.pop(fitting[0])
        else:
            buffer = torch.empty(size, dtype=torch.uint8, device="cpu")
        del self._unused[: -self._keep]
        return buffer


class _Lent(weakref.ref[Any]):
    """A reference to a lent array, and the memory that comes back when it dies."""

    __slots__ = ("buffer",)
    buffer: Tensor


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
        """What becomes of 0 to 255 in each channel, (3, 256), computed by torch.

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

    def size(self, views: int, samples: int, height: int, width: int) -> int:
        """The number of bytes of a batch."""
        return views * samples * 3 * height * width * self.dtype.itemsize

    def tensor(self, memory: Tensor, views: int, samples: int, size: tuple[int, int]) -> Tensor:
        """The images of a batch over its memory."""
        batch = (views * samples,) if self.layout == "flat" or views == 1 else (views, samples)
        elements = memory.view(self.dtype)
        if self.channels_last:
            return elements.view(*batch, *size, 3).movedim(-1, -3)
        return elements.view(*batch, 3, *size)


class Delivery:
    """Makes what the consumer gets of a finished batch."""

    def __init__(
        self,
        output: Output,
        shapes: Sequence[tuple[int, tuple[int, int]]],
        repeat_targets: bool,
        index_targets: bool,
        collate_fn: Callable[[list[Any]], Any] | None,
    ) -> None:
        self._output = output
        self._shapes = shapes
        self._repeat = repeat_targets
        self._index = index_targets
        self._collate_fn = collate_fn

    def __call__(self, batch: Pending, rest: list[tuple[Any, ...]]) -> Any:
        """Make the images, targets, ... of a batch from its memory and the rest of its items."""
        views, size = self._shapes[batch.choice]
        count = len(batch.indices)
        if self._collate_fn is not None:
            split = replace(self._output, layout="views")
            images = split.tensor(batch.memory, views, count, size)
            by_view = images.unbind() if views > 1 else (images,)
            pairs = zip(zip(*by_view, strict=True), rest, strict=True)
            return self._collate_fn([(pair, *others) for pair, others in pairs])
        images = self._output.tensor(batch.memory, views, count, size)
        columns = [default_collate(list(column)) for column in zip(*rest, strict=True)]
        if self._repeat and columns:
            if not isinstance(columns[0], Tensor):
                raise TypeError(f"repeat_targets needs targets of numbers, got {rest[0][0]!r}")
            if self._index and columns[0].ndim == 1:
                columns[0] = columns[0].long()
            columns[0] = columns[0].repeat((views,) + (1,) * (columns[0].ndim - 1))
        return (images, *columns)
