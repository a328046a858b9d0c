"""A map-style data set of views, for torch's DataLoader and for timm's loaders.

DataLoader asks for a whole batch at once (``__getitems__``), which becomes one call of the core.
The views of an image follow from (seed, epoch, index). The epoch lies in shared memory, since
DataLoader's workers have copies of the data set, and must see it change.

Lives here: `TiedDataset`. It draws nothing but an epoch, where none has been set.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset

from tied_augment.arguments import check_bool, check_unsigned, described
from tied_augment.items import data_set, item_of
from tied_augment.skips import OnError, Skips
from tied_augment.sources import ArrayDataset, reader_of
from tied_augment.view import View
from tied_augment.views import Views

__all__ = ["TiedDataset"]

_logger = logging.getLogger(__name__)


class TiedDataset(Dataset[tuple[Any, ...]]):
    """Views of every image of another data set.

    An item is ``((view1, view2, ...), target)``, followed by what else an item of `dataset` holds.
    The views are uint8 tensors ``(3, height, width)``, of their own sizes. torch's default collate
    makes ``[view1s, view2s, ...]`` of them, ``(B, 3, height, width)`` each. timm's ``fast_collate``
    makes one ``(V * B, 3, height, width)`` tensor of views of one size, view 1 of all samples
    first. With a `View` an item is ``(view, target)``.

    After `set_epoch` the views depend on (`seed`, epoch, index) alone: not on the number of
    workers, the batch size or the order. Before it, each batch draws an epoch from torch's random
    state, as torchvision's transforms do: views are new every time, and ``torch.manual_seed``
    repeats them if the workers are the same.

    Args:
        dataset: any map-style data set that gives ``(image, target, ...)``, with an image as
            `Views` takes it: a path, bytes, a PIL image or a uint8 array ``(H, W, 3)``. It must
            not make tensors. torchvision's ``ImageFolder``, timm's ``ImageDataset``,
            `PackedDataset`, and a ``Subset`` or ``ConcatDataset`` of these are read without Pillow.
            The path of an image folder is read as an ``ImageFolder``, that of a packed one as a
            `PackedDataset`.
        views: what to make of every image: `TwoView`, `Views` or a `View`.
        seed: the run's seed, 0 to 2**64 - 1.
        threads: threads for one batch. 1 is right with as many DataLoader workers as cores, since
            these are processes. With ``num_workers=0`` use None for all cores.
        on_error: ``'raise'``, or ``'skip'``: log a warning with path and cause to the logger
            `tied_augment.loader`, and take the next index, up to 20 times in a row.
        return_index: add the index in `dataset` as the last part of an item. For a sample that was
            skipped it is the index of the one in its place.
        columns: of a data set whose items are dicts, the names of the image, the target, and what
            else to give. None for the only ``Image`` and ``ClassLabel`` of a data set of Hugging
            Face's; the bytes of their files are read, undecoded. None for the only image and
            ``cls`` of a ``webdataset`` pipeline in `TiedLoader`.

    Raises:
        TypeError: `dataset` is not map-style, or `views` is none of these.
        ValueError: `dataset` has a transform of its own, or an argument is out of its range.
        FileNotFoundError: `dataset` is a path that doesn't exist.
    """

    def __init__(
        self,
        dataset: Any,
        views: Views | View,
        seed: int = 0,
        threads: int | None = 1,
        on_error: OnError = "raise",
        return_index: bool = False,
        columns: Sequence[str] | None = None,
    ) -> None:
        if isinstance(dataset, IterableDataset):
            raise TypeError(
                f"{type(dataset).__name__} is iterable-style and has no indices to key the views "
                "by: give it to TiedLoader, or apply the views to its samples as they come"
            )
        if isinstance(dataset, TiedDataset):
            raise TypeError("dataset is a TiedDataset, which makes its own views: use it as it is")
        self.dataset = data_set(dataset, columns)
        reader_of(self.dataset)  # refuses what can't be read
        self.views: Views | View = _checked(views)
        # Checked here, since an error in a worker is harder to read.
        self.seed = check_unsigned("seed", seed, 64)
        self.threads = None if threads is None else check_unsigned("threads", threads, 16, 1)
        self.on_error = Skips(on_error).on_error
        self.return_index = check_bool("return_index", return_index)
        # Shared memory: set_epoch must reach workers that live on from epoch to epoch.
        self._epoch = torch.tensor(-1, device="cpu")
        self._epoch.share_memory_()

    @classmethod
    def from_arrays(
        cls,
        images: NDArray[np.uint8],
        targets: Sequence[Any],
        views: Views | View,
        **options: Any,
    ) -> TiedDataset:
        """Make a data set of images in memory, all of one size, such as CIFAR. Nothing is copied.

        Args:
            images: ``(N, height, width, 3)`` uint8, C-contiguous.
            targets: N targets.
            views: as for the class.
            options: the other arguments of the class.

        Raises:
            TypeError, ValueError: as `ArrayDataset` and this class do.
        """
        return cls(ArrayDataset(images, targets), views, **options)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, ...]]:
        """Make the items of a whole batch, as DataLoader asks for them.

        Raises:
            IndexError: an index out of range.
            OSError, DecodeError, TypeError, ValueError: as `Views.batch`, unless skipped.
            RuntimeError: 20 images in a row could not be read.
        """
        wanted = [self._index(index) for index in indices]
        read = reader_of(self.dataset)
        epoch = int(self._epoch)
        if epoch < 0:
            epoch = int(torch.randint(1 << 32, (), device="cpu"))
        try:
            return self._items([read(index) for index in wanted], wanted, epoch)
        except OSError:
            if self.on_error == "raise":
                raise
        return [self._first_good(index, epoch) for index in wanted]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, 0 to 2**32 - 1. Call this before its iteration begins.

        Reaches DataLoader workers that are alive already (``persistent_workers``), too.
        """
        self._epoch.fill_(check_unsigned("epoch", epoch, 32))

    @property
    def epoch(self) -> int | None:
        """The epoch that `set_epoch` was given; None before that."""
        epoch = int(self._epoch)
        return epoch if epoch >= 0 else None

    @property
    def transform(self) -> Views | View:
        """The views. Others may be assigned to replace them.

        Anything else is logged and not used: timm's ``create_loader`` assigns the transform of a
        single view, which it makes from its own arguments.
        """
        return self.views

    @transform.setter
    def transform(self, value: object) -> None:
        if isinstance(value, (Views, View)):
            self.views = value
        else:
            _logger.info("TiedDataset makes its own views and does not use the transform %s", value)

    def __repr__(self) -> str:
        epoch = "drawn for each batch" if self.epoch is None else self.epoch
        index = ", return_index=True" if self.return_index else ""
        return (
            f"TiedDataset({self.dataset!r}, {self.views!r}, seed={self.seed}, "
            f"on_error={self.on_error!r}{index}; epoch {epoch})"
        )

    def _index(self, index: int) -> int:
        try:
            number = operator.index(index)
        except TypeError:
            raise TypeError(f"index must be an integer, got {index!r}") from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"index {number} of a data set of {len(self)} samples")
        return number % len(self)

    def _items(
        self, read: Sequence[tuple[Any, ...]], indices: Sequence[int], epoch: int
    ) -> list[tuple[Any, ...]]:
        items = [item_of(index, given) for index, given in zip(indices, read, strict=True)]
        images = [item.image for item in items]
        pixels = self.views.batch(images, indices, epoch, self.seed, threads=self.threads)
        views = [torch.from_numpy(view) for view in pixels]
        # Of a `View` these are its images, of `Views` the images of each.
        made = views if isinstance(self.views, View) else zip(*views, strict=True)
        tails = [item.rest + ((item.index,) if self.return_index else ()) for item in items]
        return [(image, *tail) for image, tail in zip(made, tails, strict=True)]

    def _first_good(self, index: int, epoch: int) -> tuple[Any, ...]:
        read, skips = reader_of(self.dataset), Skips(self.on_error)
        while True:
            try:
                return self._items([read(index)], [index], epoch)[0]
            except OSError as error:
                skips.pass_by(index, error, skips.count + 1)
            index = (index + 1) % len(self)


def _checked(views: object) -> Views | View:
    if isinstance(views, (Views, View)):
        return views
    kind = described(views)
    remedy = "give TwoView(View(224)), say"
    if isinstance(views, (list, tuple)):
        remedy = "give Views(*views)"
    raise TypeError(f"views must be a TwoView, Views or a View, got {kind}: {remedy}")
