"""`TiedLoader`: its arguments, and what lasts from one epoch to the next."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeAlias

from numpy.typing import NDArray
from torch import Tensor

from tied_augment import _core
from tied_augment.arguments import check_bool, check_unsigned
from tied_augment.dataset import TiedDataset
from tied_augment.exits import INSIDE
from tied_augment.items import data_set
from tied_augment.loader import arguments, report
from tied_augment.loader.data import Data, is_stream, within
from tied_augment.loader.epochs import Epochs
from tied_augment.loader.feed import Submission
from tied_augment.loader.indexed import Indexed
from tied_augment.loader.iteration import Iteration
from tied_augment.loader.memory import BatchMemory
from tied_augment.loader.order import Order
from tied_augment.loader.output import Delivery, Layout, Shape
from tied_augment.loader.progress import Progress
from tied_augment.loader.state import State
from tied_augment.loader.streamed import Streamed
from tied_augment.ranks import Place
from tied_augment.skips import OnError, Skips
from tied_augment.view import View
from tied_augment.views import Views

__all__ = ["TiedLoader"]

Channels: TypeAlias = "Sequence[float] | NDArray[Any] | Tensor"


class TiedLoader(Iterable[Any]):
    """Batches of views, made ahead by threads that need no GIL.

    Iterating gives ``(images, targets)``, and what else an item of the data set holds. Images of V
    views are ``(V, B, 3, height, width)``, so that ``for (first, second), targets in loader`` works
    as with a DataLoader of a `TiedDataset`, and `TiedModel` takes them as they are. Views of
    several sizes are a list of V tensors ``(B, 3, height, width)``, parts of one block of memory.
    A `View`, which is not one of several, gives ``(B, 3, height, width)``. Batches come in the
    sampler's order, and each image follows from (`seed`, epoch, index) alone: nothing depends on
    `threads` or `prefetch`. A sample that comes again within an epoch gets new views. Threads begin
    with ``iter(loader)`` and end with the iteration. They use the memory of at most `prefetch` + 1
    batches, besides those that the consumer keeps.

    A loader can be pickled, for processes that are spawned. The copy begins with the epoch that
    this one would begin with; an iteration under way stays where it is.

    Changes of the data set take effect at the next ``iter(loader)``, such as other indices of a
    ``Subset`` or other views of a `TiedDataset`. The arguments can't be changed.

    Among several processes each gets its part of every epoch, and all make equally many steps. The
    process number `rank` takes entry number `rank` of each group of `world_size` entries of the
    sampler's order; entries are batches of a `batch_sampler`, or samples of a stream. An incomplete
    last group is filled from the first entries, or left out with `drop_last`. All processes must
    have the same order, so a sampler is iterated with torch's random state set from (`seed`,
    epoch). A sampler that draws from elsewhere must give the same order everywhere itself.
    Samplers and streams that split by rank themselves are not split again: those with
    `num_replicas` and `rank` (torch's and timm's distributed ones), Accelerate's
    ``BatchSamplerShard``, `TarShards`, timm's ``IterableImageDataset``, a ``WebDataset`` with
    ``split_by_node``, and any object whose attribute `splits_by_rank` is true.

    Args:
        dataset: a map-style or iterable data set of ``(image, target, ...)``, or the path of an
            image folder, which is read as torchvision's ``ImageFolder``, or of a packed one. Images
            of ``ImageFolder``, ``CIFAR10``, timm's ``ImageDataset``, Hugging Face's ``Dataset``,
            `ArrayDataset`, `PackedDataset`, a list of ``(path, target)``, and a ``Subset`` or
            ``ConcatDataset`` of these are read without Python. The items of all other data sets are
            fetched by one Python thread. Of a `TiedDataset` the views are used unless they are
            given here, and likewise the seed and `on_error` that it has now.
        views: what to make of every image: `TwoView`, `Views` or a `View`; or a list of these, from
            which a batch sampler such as timm's ``ScheduledBatchSampler`` chooses for each batch.
        batch_size: B, the number of samples.
        shuffle: a new order in each epoch, which follows from (`seed`, epoch).
        sampler: torch's sampler of indices, instead of `shuffle`.
        batch_sampler: torch's sampler of batches, instead of `batch_size`, `shuffle`, `sampler` and
            `drop_last`.
        drop_last: leave out a last batch that is smaller, and samples that do not suffice for all
            ranks.
        threads: None for one per core that this process may use; the cores are shared among the
            processes that torchrun has started on this machine. More threads help with slow disks.
        prefetch: batches that are made ahead.
        pin_memory: write into page-locked memory.
        seed: the run's seed, 0 to 2**64 - 1.
        on_error: ``'raise'``, or ``'skip'``: log a warning with path and cause, and take the sample
            with the next index, up to 20 times in a row. In a stream it is the next sample of the
            batch. A batch of a stream without a good sample is left out; among several processes it
            is made of the first batch's samples.
        output: ``'uint8'``, or ``'float32'``, ``'float16'``, ``'bfloat16'`` for images normalised
            as by torchvision's ToTensor and Normalize.
        mean: 3 numbers from 0 to 1, one per channel, for the normalised outputs; None for
            ImageNet's.
        std: 3 numbers above 0 and up to 1, likewise.
        channels_last: torch's memory format of that name.
        layout: ``'views'``, or ``'flat'`` for images of ``(V * B, 3, height, width)``, view 1 of
            all samples first. Views of several sizes are then a list with a tensor ``(n * B, 3,
            height, width)`` for each run of n consecutive views of one size: what DINO's
            ``MultiCropWrapper`` makes of its list of crops, so one forward pass each.
        repeat_targets: give the targets once per view, ``(V * B,)``, as timm's ``fast_collate``
            does.
        collate_fn: as in DataLoader, makes a batch from a list of ``((view1, view2), target, ...)``
            with views of ``(3, height, width)``, or of ``(view, target, ...)`` for a `View`. It
            runs in the consumer's thread.
        rank: this process's number; None to ask torch's process group at each iteration.
        world_size: how many processes share the data; None to ask torch's process group, 1 to give
            everything to each process.
        return_index: give the samples' indices in the data set, too, as the last part of a batch:
            ``(B,)`` int64, of a stream the samples' numbers. A sample that was skipped has the
            index of the one in its place. None for False, or what a `TiedDataset` says.
        columns: see `TiedDataset`.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of its range, or arguments that exclude each other.
        FileNotFoundError: `dataset` is a path that doesn't exist.
    """

    # Whether repeated targets become int64, as timm's fast_collate makes them.
    _index_targets = False

    def __init__(
        self,
        dataset: Any,
        views: Views | View | Sequence[Views | View] | None = None,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        drop_last: bool = False,
        threads: int | None = None,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
        on_error: OnError | None = None,
        output: str = "uint8",
        mean: Channels | None = None,
        std: Channels | None = None,
        channels_last: bool = False,
        layout: Layout = "views",
        repeat_targets: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        return_index: bool | None = None,
        columns: Sequence[str] | None = None,
        **unknown: NoReturn,
    ) -> None:
        arguments.refuse(unknown, _ARGUMENTS)
        self.dataset = data_set(dataset, columns)
        tied = self.dataset if isinstance(self.dataset, TiedDataset) else None
        self._views: list[Views | View] | None = None
        if views is not None or tied is None:
            self._views = arguments.views(views, batch_sampler is not None)
        default_seed = 0 if tied is None else tied.seed
        self.seed = check_unsigned("seed", default_seed if seed is None else seed, 64)
        default = "raise" if tied is None else tied.on_error
        self._skips = Skips(default if on_error is None else on_error)
        threads = arguments.threads() if threads is None else threads
        self.threads = check_unsigned("threads", threads, 16, 1)
        self.prefetch = check_unsigned("prefetch", prefetch, 16, 1)
        self.pin_memory = arguments.can_pin(check_bool("pin_memory", pin_memory))
        self.repeat_targets = check_bool("repeat_targets", repeat_targets)
        self.collate_fn = arguments.function("collate_fn", collate_fn)
        default_index = tied is not None and tied.return_index
        index = default_index if return_index is None else return_index
        self.return_index = check_bool("return_index", index)
        self._output = arguments.output(output, mean, std, channels_last, layout)
        self._memory = BatchMemory(self.prefetch + 1, self.pin_memory)
        stream = is_stream(within(self.dataset))
        self.drop_last = check_bool("drop_last", drop_last)
        shuffle = check_bool("shuffle", shuffle)
        size = check_unsigned("batch_size", batch_size, 32, 1)
        self.batch_size = size if batch_sampler is None else None
        order = Order(stream, size, shuffle, sampler, batch_sampler, self.drop_last, seed=self.seed)
        place = Place(rank, world_size)
        self._data: Data = (Streamed if stream else Indexed)(self.dataset, order, place)
        self.sampler, self.batch_sampler = self._data.sampler, self._data.batch_sampler
        iterable = self.dataset if stream else None
        self._epochs = Epochs(self.batch_sampler, self.sampler, self.dataset, iterable)
        self._announcement = report.Announcement()
        self._made = True

    def __setattr__(self, name: str, value: object) -> None:
        # As in torch's DataLoader. Most of the arguments would have no effect any more.
        if name in _ARGUMENTS and hasattr(self, "_made"):
            raise ValueError(f"{name} can't be changed once the TiedLoader is made: make another")
        super().__setattr__(name, value)

    @property
    def views(self) -> list[Views | View]:
        """What is made of every image, for each choice; of a `TiedDataset` what it has now."""
        return [self.dataset.views] if self._views is None else self._views

    def __repr__(self) -> str:
        views = self.views[0] if len(self.views) == 1 else self.views
        size = "" if self.batch_size is None else f", batch_size={self.batch_size}"
        order = "" if self._data.order.stream else f", {type(self._data.orderer).__name__}"
        forms = " or ".join(self._output.form(Shape.of(each)) for each in self.views)
        return (
            f"TiedLoader({type(self.dataset).__name__}, {views!r}{size}{order}, seed={self.seed}, "
            f"threads={self.threads}; {forms}; {self._data.summary()})"
        )

    def __len__(self) -> int:
        """The number of batches in an epoch, in this process.

        Raises:
            TypeError: the data set is a stream of unknown length.
        """
        return len(self._data)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration, 0 to 2**32 - 1, also in the sampler.

        Otherwise each iteration is the next epoch. An iteration that is dropped before it gives a
        batch does not count. A ``set_epoch`` of a sampler or of the data set is followed, too.
        """
        self._epochs.set(epoch)

    def __iter__(self) -> Iteration:
        """Begin an epoch, or go on with the one that `load_state_dict` named.

        Changes of the data set since the last epoch take effect.
        """
        with INSIDE:
            return self._iterate()

    def _iterate(self) -> Iteration:
        data = self._data
        data.find()
        batches = operator.length_hint(self, -1)
        self._announcement.make(data.summary(), batches, data.place, data.own_ranks())
        start = self._epochs.begin(data.ranks().world_size, data.split_by())
        progress = Progress(start.epoch, start.batches)
        views = self.views
        shapes = [Shape.of(each) for each in views]
        pending = data.begin(progress, max(shape.views for shape in shapes), start.state)
        core = _core.Loader(
            self.threads,
            [each._pipeline for each in views],
            self.seed,
            progress.epoch,
            self._output.table(),
            (self._output.mean, self._output.std),
            self._output.channels_last,
        )
        submission = Submission(core, shapes, self._output, self._memory)
        feed = data.feed(submission, start.entries, self._skips.on_error == "skip")
        deliver = Delivery(
            self._output,
            shapes,
            self.repeat_targets,
            self._index_targets,
            self.collate_fn,
            self.return_index,
        )
        iteration = Iteration(core, feed, pending, deliver, self.prefetch, self._skips, progress)
        self._epochs.begun(progress, iteration)
        return iteration

    def state_dict(self) -> dict[str, Any]:
        """The place of the latest iteration: after the last batch that was delivered.

        This is torchdata's stateful protocol. A loader around this one that fetches ahead, such as
        timm's ``PrefetchLoader``, has taken one batch more than it has given.
        """
        epochs, data = self._epochs, self._data
        if epochs.loaded is not None:
            return epochs.loaded.to_dict()
        if epochs.latest is not None and not epochs.latest.over:
            progress, random = epochs.latest, data.random
            sampler_epoch = epochs.sampler_epoch
        else:
            # Between epochs the sampler's epoch may not be set yet.
            progress = Progress(epochs.next, world_size=data.ranks().world_size)
            random = data.random_state(epochs.next)
            sampler_epoch = None
        return State(
            epoch=progress.epoch,
            batches=progress.batches,
            entries=progress.entries,
            checksum=progress.checksum,
            sampler_epoch=sampler_epoch,
            random=random,
            seed=self.seed,
            world_size=progress.world_size,
            checksum_of=data.rank_of_order(),
        ).to_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration go on where a `state_dict` was taken, with the same batches.

        Data set, sampler and views must be the same; `threads`, `prefetch` and the form of the
        output may differ. Each rank can go on from the state of any: Lightning gives all ranks that
        of rank 0. With another batch size or number of processes, the samples that are left come in
        the same order, with the same views, in other batches. This needs a sampler or stream that
        does not split by rank itself; otherwise the next iteration is a ValueError. A stream is
        read from its start, and what is done is passed over.

        Raises:
            ValueError: not a state of a loader, or one of a loader with another seed.
        """
        self._epochs.loaded = State.of_dict(state, self.seed, self._data.order.batch_size)

    @property
    def epoch(self) -> int:
        """The epoch of the latest iteration; before the first, that of the next."""
        latest = self._epochs.latest
        return self._epochs.next if latest is None else latest.epoch

    @property
    def skipped(self) -> int:
        """How many samples have been skipped since the loader was made."""
        return self._skips.count

    def stats(self) -> report.Stats:
        """Figures of the latest iteration so far, which say whether data is the bottleneck.

        With ``data_seconds`` near 0 it is not. Otherwise ``busy`` near 1 means that more cores are
        needed; if ``busy`` is low, the disk is slow, or the data set's Python code.
        """
        return report.stats(
            self._epochs.latest or Progress(self._epochs.next),
            threads=self.threads,
            prefetch=self.prefetch,
            skipped=self.skipped,
            native=self._data.reason is None,
        )


_ARGUMENTS = frozenset(inspect.signature(TiedLoader).parameters)
