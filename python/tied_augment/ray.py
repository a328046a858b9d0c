"""Views in Ray Data: `Augment` makes them on a cluster, `TorchBatches` gives them to a loop.

The views of a row follow from (seed, epoch, index) alone, and the index is a column of the data.
So neither the nodes, nor the blocks, nor a task that Ray runs again can change a pixel.

Needs Ray (``pip install 'tied-augment[ray]'``), so nothing else in the package imports it.
`Augment` does not need torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import ray
except ModuleNotFoundError as error:
    raise ImportError(
        "tied_augment.ray needs Ray: pip install 'ray[data]', or pip install 'tied-augment[ray]'"
    ) from error
from ray.data import DataContext
from ray.data.collate_fn import NumpyBatchCollateFn

from tied_augment._core import DecodeError
from tied_augment.arguments import check_unsigned, described
from tied_augment.view import View
from tied_augment.views import Views

__all__ = ["Augment", "TorchBatches"]

Batch = dict[str, NDArray[Any]]


class Augment:
    """Makes the views of a batch of rows, for ``Dataset.map_batches``.

    An object runs in tasks, the class in a pool of actors::

        ds.map_batches(Augment(views, seed=42), batch_size=64, num_cpus=4)
        ds.map_batches(Augment, fn_constructor_args=[views], batch_size=64, num_cpus=4,
                       compute=ray.data.ActorPoolStrategy(size=8))

    The column of images makes way for one column per view, uint8 ``(3, height, width)`` a row. All
    other columns stay as they are. Give ``batch_size``: without it, a batch is a whole block.

    Args:
        views: what to make of every image: `TwoView`, `Views` or a `View`.
        seed: the run's seed, 0 to 2**64 - 1.
        epoch: 0 to 2**32 - 1. None for Ray's count of the executions of the data set: its first
            iteration is epoch 0, each further one the next, as with Ray's own seeds of shuffles.
            A look at the data (``take``) counts too, and a program that starts again begins
            with 0: to go on with another epoch, give it, in a data set for each epoch.
        image: the column of images: bytes of files, paths that all nodes can read, or uint8 arrays
            ``(H, W, 3)``.
        index: the column of the rows' numbers, integers from 0 to 2**64 - 1, such as
            ``read_parquet(include_row_hash=True)`` makes. They must be those of the data, not of
            the batch: rows with the same number get the same crop.
        names: the columns of the views; None for ``'view1'``, ``'view2'``, ..., and for ``'view'``
            if `views` is a `View`.
        threads: threads for one batch; None for as many as Ray gives the task CPUs (`num_cpus`, 1
            by default), and outside of Ray's workers for all cores.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of its range, or not one of `names` for each view.
    """

    def __init__(
        self,
        views: Views | View,
        seed: int = 0,
        epoch: int | None = None,
        image: str = "bytes",
        index: str = "index",
        names: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> None:
        if not isinstance(views, (Views, View)):
            raise TypeError(f"views must be a TwoView, Views or a View, got {described(views)}")
        self.views = views
        self.seed = check_unsigned("seed", seed, 64)
        self.epoch = None if epoch is None else check_unsigned("epoch", epoch, 32)
        self.image, self.index = _name("image", image), _name("index", index)
        self.names = _view_names(views) if names is None else _names("names", names)
        count = 1 if isinstance(views, View) else len(views.views)
        if not len(self.names) == len(set(self.names)) == count:
            raise ValueError(f"names must be {count} different names, one per view, got {names!r}")
        self.threads = None if threads is None else check_unsigned("threads", threads, 16, 1)

    def __call__(self, batch: Batch) -> Batch:
        """Make the views of a batch in Ray's format ``"numpy"``, which is its default.

        Raises:
            TypeError: `batch` is of another format, or a value is not an image or not a number.
            ValueError: a column is missing, or one of a view's name is there already.
            OSError, DecodeError: an image can't be read; with its row, index and column.
        """
        images, indices = self._columns(batch)
        epoch = _execution() if self.epoch is None else self.epoch
        threads = _threads() if self.threads is None else self.threads
        try:
            pixels = self.views.batch(images, indices, epoch, self.seed, threads)
        except (OSError, TypeError, ValueError):
            self._raise_for_row(images, indices, epoch)
            raise  # an error of no single row
        made = [pixels] if isinstance(self.views, View) else pixels
        rest = {name: column for name, column in batch.items() if name != self.image}
        return rest | dict(zip(self.names, made, strict=True))

    def __repr__(self) -> str:
        epoch = "counted by Ray" if self.epoch is None else self.epoch
        return (
            f"Augment({self.views!r}, seed={self.seed}, epoch={epoch}; columns {self.image!r}, "
            f"{self.index!r} -> {', '.join(map(repr, self.names))})"
        )

    def _columns(self, batch: Batch) -> tuple[list[Any], NDArray[np.uint64]]:
        """The images and their indices."""
        if not isinstance(batch, Mapping):
            raise TypeError(
                f"a batch must be a dict of numpy arrays, got {described(batch)}: leave out "
                "batch_format= of map_batches"
            )
        for name in (self.image, self.index):
            if name not in batch:
                argument = "image" if name == self.image else "index"
                known = ", ".join(map(repr, batch))
                raise ValueError(f"no column {name!r} among {known}: give Augment({argument}=...)")
        taken = [name for name in self.names if name in batch and name != self.image]
        if taken:
            raise ValueError(f"there is a column {taken[0]!r} already: give Augment(names=...)")
        numbers, images = np.asarray(batch[self.index]), np.asarray(batch[self.image])
        if len(numbers) and (numbers.dtype.kind not in "ui" or numbers.min() < 0):
            got = f"{numbers.dtype}, {described(numbers[0])}, ..."
            raise TypeError(f"column {self.index!r} must be of integers from 0 up, got {got}")
        if images.dtype.kind == "S":
            raise TypeError(
                f"column {self.image!r} is of numpy's {images.dtype}, which drops zeros at the end "
                "of files: give an array of dtype object"
            )
        return list(images), numbers.astype(np.uint64)

    def _raise_for_row(
        self, images: Sequence[Any], indices: NDArray[np.uint64], epoch: int
    ) -> None:
        """Raise the error of the first image that has one, with its row, index and column."""
        for row, (image, index) in enumerate(zip(images, indices.tolist(), strict=True)):
            error = self._error_of(image, index, epoch)
            if error is not None:
                kinds = (DecodeError, OSError, TypeError, ValueError)
                kind = next(kind for kind in kinds if isinstance(error, kind))
                place = f"row {row} of the batch, {self.index} {index}, column {self.image!r}"
                # The core calls it sample 0, since it was tried alone.
                cause = str(error).removeprefix(f"sample 0 of the batch (index {index}): ")
                raise kind(f"{place}: {cause}") from None

    def _error_of(self, image: Any, index: int, epoch: int) -> Exception | None:
        try:
            self.views(image, index, epoch, self.seed)
        except (OSError, TypeError, ValueError) as error:
            return error
        return None


class TorchBatches:
    """Batches ``(images, targets)`` of a Ray data set, as of a `TiedLoader`.

    Images of V views are ``(V, B, 3, height, width)`` uint8, of several sizes a list of V tensors
    ``(B, 3, height, width)``, of a `View` ``(B, 3, height, width)``. Each iteration goes through
    the data once::

        for (first, second), targets in TorchBatches(ds, batch_size=256): ...

    Args:
        data: a ``Dataset``, or a ``DataIterator`` such as Ray Train's ``get_dataset_shard``.
        batch_size: B, the number of rows.
        names: the columns of the views; None for ``'view1'``, ``'view2'``, ..., or ``'view'``, as
            `Augment` names them. A single string is the column of a `View`.
        targets: the columns of what follows the images, of numbers: one name, or several.
        augment: an `Augment` to make the views here, instead of one in ``map_batches``: of a row,
            its file crosses the network and not its pixels. It needs an `epoch`.
        options: the other arguments of ``iter_torch_batches``: ``prefetch_batches``, ``drop_last``,
            ``local_shuffle_buffer_size``, ``device``, ``pin_memory``, ...

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an `augment` without an epoch, or with other `names`.
    """

    def __init__(
        self,
        data: Any,
        batch_size: int = 256,
        names: Sequence[str] | str | None = None,
        targets: Sequence[str] | str = "label",
        augment: Augment | None = None,
        **options: Any,
    ) -> None:
        if not hasattr(data, "iter_torch_batches"):
            raise TypeError(f"data must be a Dataset or a DataIterator, got {described(data)}")
        self.data = data
        self.batch_size = check_unsigned("batch_size", batch_size, 32, 1)
        if "collate_fn" in options:
            raise TypeError("TorchBatches has a collate_fn of its own: use iter_torch_batches")
        self.options = options
        if augment is not None:
            if not isinstance(augment, Augment):
                raise TypeError(f"augment must be an Augment, got {described(augment)}")
            if augment.epoch is None:
                raise ValueError(
                    "augment has no epoch, and Ray counts none here: give Augment(epoch=...)"
                )
            if names is not None:
                raise ValueError("names= of the views are those of augment: leave it out")
            names = augment.names[0] if isinstance(augment.views, View) else augment.names
        columns = (targets,) if isinstance(targets, str) else tuple(targets)
        self._collate = _Collate(names, columns, augment)

    def __iter__(self) -> Iterator[Any]:
        """Go through the data once.

        Raises:
            ValueError: a column is missing, or one of `targets` is not of numbers.
            Exception: what Ray raises when a task fails.
        """
        batches = self.data.iter_torch_batches(
            batch_size=self.batch_size, collate_fn=self._collate, **self.options
        )
        others = len(self._collate.targets)
        for tensors in batches:
            images = tensors[: len(tensors) - others]
            yield (images[0] if len(images) == 1 else list(images), *tensors[len(images) :])


class _Collate(NumpyBatchCollateFn):
    """Makes tensors of columns: those of the images, then one for each of `targets`.

    A flat tuple, which Ray moves to the device. It would join tensors of a list within it.
    """

    def __init__(
        self, names: Sequence[str] | str | None, targets: Sequence[str], augment: Augment | None
    ) -> None:
        self.single = isinstance(names, str)
        self.names = (names,) if isinstance(names, str) else names and _names("names", names)
        self.targets = _names("targets", targets) if targets else ()
        self.augment = augment

    def __call__(self, batch: Batch) -> Any:
        """See `TorchBatches`."""
        import torch

        if self.augment is not None:
            batch = self.augment(batch)
        single = self.single or (self.names is None and "view" in batch)
        names = self.names or (("view",) if single else _numbered(batch))
        views = [_column(batch, name) for name in names]
        # All are copied once, since what Ray holds is read-only, which torch does not know.
        if single:
            copies = [views[0].copy()]
        elif len({view.shape for view in views}) == 1:
            copies = [np.stack(views)]
        else:
            copies = [view.copy() for view in views]
        others = [_column(batch, name) for name in self.targets]
        for name, column in zip(self.targets, others, strict=True):
            if column.dtype.kind not in "biuf":
                raise ValueError(f"column {name!r} of targets= is not of numbers: {column.dtype}")
        return tuple(map(torch.from_numpy, copies)) + tuple(map(torch.tensor, others))


def _numbered(batch: Batch) -> tuple[str, ...]:
    """The names ``view1``, ``view2``, ... that a batch has."""
    count = 0
    while f"view{count + 1}" in batch:
        count += 1
    if not count:
        raise ValueError(
            f"no column 'view1' or 'view' among {', '.join(map(repr, batch))}: make the views with "
            "map_batches(Augment(views)), or give names="
        )
    return tuple(f"view{number + 1}" for number in range(count))


def _column(batch: Batch, name: str) -> NDArray[Any]:
    if name not in batch:
        raise ValueError(f"no column {name!r} among {', '.join(map(repr, batch))}")
    return batch[name]


def _view_names(views: Views | View) -> tuple[str, ...]:
    if isinstance(views, View):
        return ("view",)
    return tuple(f"view{number + 1}" for number in range(len(views.views)))


def _name(argument: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be the name of a column, got {described(value)}")
    return value


def _names(argument: str, values: Any) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{argument} must be names of columns, got {values!r}")
    return tuple(values)


def _execution() -> int:
    """How many times the data set has been executed before.

    Ray gives each task the context of its execution, so a task that is run again has the same.
    """
    number = getattr(DataContext.get_current(), "_execution_idx", None)
    if number is None:
        raise RuntimeError("this version of Ray does not count executions: give Augment(epoch=...)")
    return int(number)


def _threads() -> int | None:
    """The CPUs that Ray has given this task or actor; None outside of Ray's workers."""
    if not ray.is_initialized():  # the next call would start Ray
        return None
    try:
        assigned = ray.get_runtime_context().get_assigned_resources()
    except (AssertionError, RuntimeError):  # the driver
        return None
    return max(1, int(assigned.get("CPU", 1)))
