"""`TiedLoader`: what to load, and the state from one epoch to the next."""

from __future__ import annotations

import inspect
import operator
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn, TypeAlias, cast

from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from tied_augment import _core
from tied_augment.arguments import check_bool, check_unsigned
from tied_augment.dataset import TiedDataset
from tied_augment.items import data_set
from tied_augment.loader import arguments, report, samplers
from tied_augment.loader.epochs import Epochs
from tied_augment.exits import INSIDE
from tied_augment.loader.fetch import (
    Feed,
    FetchedFeed,
    LocatedFeed,
    Pending,
    StreamFeed,
    Submission,
)
from tied_augment.loader.iteration import Iteration, Progress
from tied_augment.loader.order import Order
from tied_augment.loader.output import Buffers, Delivery, Layout
from tied_augment.loader.state import checked, refuse_other_world_size, state_of
from tied_augment.located import locate
from tied_augment.ranks import Place, Ranks, own_ranks
from tied_augment.skips import OnError, Skips
from tied_augment.sources import reader_of
from tied_augment.transforms import TwoView, View

__all__ = ["TiedLoader"]

Numbers: TypeAlias = "Sequence[float] | NDArray[Any] | Tensor"


class TiedLoader(Iterable[Any]):
    """Batches of view pairs, made ahead by threads that need no GIL.

    Iterating gives ``(images, targets)``, and what else an item of the data set holds. Images are
    ``(2, B, 3, height, width)``, so that ``for (first, second), targets in loader`` works as with a
    DataLoader of a `TiedDataset`, and `TiedModel` takes them as they are. Batches come in the
    sampler's order, and each image follows from (`seed`, epoch, index) alone: nothing depends on
    `threads` or `prefetch`. A sample that comes again within an epoch gets new views. Threads begin
    with ``iter(loader)`` and end with the iteration. Memory: at most `prefetch` + 1 batches,
    besides those that the consumer keeps.

    Among several processes each gets its part of every epoch, and all make equally many steps:
    process number `rank` takes entry number `rank` of each group of `world_size` entries of the
    sampler's order (batches of a `batch_sampler`, samples of a stream). The last group is filled
    from the first entries, or left out with `drop_last`. The order is the same in all processes: a
    sampler is iterated with torch's random state set from (`seed`, epoch); one that draws from
    elsewhere must give the same order everywhere. Samplers and streams that split by rank
    themselves are not split again: those with `num_replicas` and `rank` (torch's and timm's
    distributed ones), Accelerate's ``BatchSamplerShard``, `TarShards`, timm's
    ``IterableImageDataset``, and any object whose attribute `splits_by_rank` is true.

    Args:
        dataset: an image folder's path, which is read as torchvision's ``ImageFolder``; a data set
            whose files can be read without Python (``ImageFolder`` and ``CIFAR10``, timm's
            ``ImageDataset``, `ArrayDataset`, a ``Subset`` or ``ConcatDataset`` of these); any other
            map-style or iterable data set of ``(image, target, ...)``, whose items are fetched by
            one Python thread; or a `TiedDataset`, whose views and seed are used unless given here.
        views: what to make of every image; or several of these, of which a batch sampler like
            timm's ``ScheduledBatchSampler`` chooses for each batch. A `View` makes one view only.
        batch_size: B, the number of samples.
        shuffle: a new order in each epoch, which follows from (`seed`, epoch).
        sampler: torch's sampler of indices, instead of `shuffle`.
        batch_sampler: torch's sampler of batches, instead of `batch_size`, `shuffle`, `sampler` and
            `drop_last`.
        drop_last: leave out a last batch that is smaller, and samples that do not suffice for all
            ranks.
        threads: None for one per core that this process may use, shared with the other processes
            that torchrun has started on this machine. More than that helps with slow disks.
        prefetch: batches that are made ahead.
        pin_memory: write into page-locked memory.
        seed: the run's seed, 0 to 2**64 - 1.
        on_error: ``'raise'``, or ``'skip'``: log a warning with path and cause and take the sample
            with the next index, up to 20 times in a row. In a stream it is the next in the batch,
            and a batch without a good sample is left out, or among several processes made of the
            first batch's samples.
        output: ``'uint8'``, or ``'float32'``, ``'float16'``, ``'bfloat16'`` for images normalised
            as by torchvision's ToTensor and Normalize.
        mean: 3 numbers from 0 to 1, one per channel, for the normalised outputs; None for
            ImageNet's.
        std: 3 numbers above 0 and up to 1, likewise.
        channels_last: torch's memory format of that name.
        layout: ``'views'``, or ``'flat'`` for images of ``(2B, 3, height, width)``, view 1 of all
            samples first. A `View` gives ``(B, 3, height, width)`` in both.
        repeat_targets: give the targets once per view, ``(2B,)``, as timm's ``fast_collate`` does.
        collate_fn: makes a batch from a list of ``((view1, view2), target, ...)`` with ``(3,
            height, width)`` tensors, as in DataLoader; it runs in the consumer's thread.
        rank: this process's number; None to ask torch's process group at each iteration.
        world_size: how many processes share the data; None to ask likewise, 1 to give everything.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of its range, or arguments that exclude each other.
        FileNotFoundError: `dataset` is a path that doesn't exist.
    """

    # Whether repeated targets are indices of classes, int64, whatever the data set has.
    _index_targets = False

    def __init__(
        self,
        dataset: Any,
        views: TwoView | View | Sequence[TwoView | View] | None = None,
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
        mean: Numbers | None = None,
        std: Numbers | None = None,
        channels_last: bool = False,
        layout: Layout = "views",
        repeat_targets: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        **unknown: NoReturn,
    ) -> None:
        arguments.refuse(unknown, inspect.signature(TiedLoader).parameters)
        self.dataset = data_set(dataset)
        tied = self.dataset if isinstance(self.dataset, TiedDataset) else None
        self._read_from = self.dataset if tied is None else tied.dataset
        views = views if views is not None or tied is None else tied.views
        self.views = arguments.views(views, batch_sampler is not None)
        default_seed = 0 if tied is None else tied.seed
        self.seed = check_unsigned("seed", default_seed if seed is None else seed, 64)
        default = "raise" if tied is None else tied.on_error
        self._skips = Skips(default if on_error is None else on_error)
        threads = arguments.threads() if threads is None else threads
        self.threads = check_unsigned("threads", threads, 16, 1)
        self.prefetch = check_unsigned("prefetch", prefetch, 16, 1)
        self.batch_size: int | None = check_unsigned("batch_size", batch_size, 32, 1)
        self.drop_last = check_bool("drop_last", drop_last)
        self.pin_memory = arguments.can_pin(check_bool("pin_memory", pin_memory))
        self.repeat_targets = check_bool("repeat_targets", repeat_targets)
        self.collate_fn = arguments.function("collate_fn", collate_fn)
        self._output = arguments.output(output, mean, std, channels_last, layout)
        self._buffers = Buffers(self.prefetch + 1, self.pin_memory)
        self._place = Place(rank, world_size)
        self._stream = not hasattr(self._read_from, "__getitem__") or isinstance(
            self._read_from, IterableDataset
        )
        self._locate()
        self._make_order(check_bool("shuffle", shuffle), sampler, batch_sampler)
        self._refuse_two_splits()
        stream = self._read_from if self._stream else None
        self._epochs = Epochs(self.batch_sampler, self.sampler, self.dataset, stream)
        self._announcement = report.Announcement()
        self._progress: Progress | None = None
        self._resume: dict[str, Any] | None = None
        self._iteration: weakref.ref[Iteration] | None = None
        self._begun: tuple[int, dict[str, Any] | None] | None = None

    def _locate(self) -> None:
        if self._stream:
            if not isinstance(self._read_from, Iterable):
                kind = type(self._read_from).__name__
                raise TypeError(f"dataset must be a map-style or iterable data set, got {kind}")
            found: Any = "an iterable data set"
        else:
            found = locate(self._read_from)
            reader_of(self._read_from)  # refuses what can't be read
        self._reason = found if isinstance(found, str) else None
        self._located = None if isinstance(found, str) else found
        self._catalog = None if self._located is None else self._located.catalog()

    def _make_order(
        self, shuffle: bool, sampler: Iterable[int] | None, batch_sampler: Iterable[Any] | None
    ) -> None:
        arguments.sampler("sampler", sampler)
        arguments.sampler("batch_sampler", batch_sampler)
        if sampler is not None and shuffle:
            raise ValueError("shuffle and sampler exclude each other: the sampler makes the order")
        if self._stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("an iterable data set has its own order: no shuffle, no sampler")
        if batch_sampler is not None and (
            self.batch_size != 1 or shuffle or sampler is not None or self.drop_last
        ):
            raise ValueError("batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        self._order: Order | None = None
        self.sampler: Any = None
        self.batch_sampler: Any = None
        if self._stream:
            return
        if sampler is None and batch_sampler is None:
            sampler = samplers.EpochSampler(self._read_from, shuffle, self.seed)
        assert self.batch_size is not None
        self._order = Order(
            len(self._read_from),
            sampler,
            batch_sampler,
            self.batch_size,
            self.drop_last,
            self.seed,
            self._place,
        )
        self.sampler, self.batch_sampler = self._order.sampler, self._order.batch_sampler
        if batch_sampler is not None:
            self.batch_size = None

    def _refuse_two_splits(self) -> None:
        own, given = self._own(), self._place.given
        if own is not None and given is not None and given.world_size > 1 and own != given:
            raise ValueError(
                f"{self._orderer()} splits the data by itself, as rank {own.rank} of "
                f"{own.world_size}: give rank and world_size to it, or leave its splitting to "
                "TiedLoader"
            )

    def _own(self) -> Ranks | None:
        """The ranks that stream or samplers split for by themselves; None if they don't."""
        return own_ranks(self._read_from) if self._order is None else self._order.own()

    def _orderer(self) -> str:
        """The type of what makes the order."""
        sampler = self.batch_sampler if self.sampler is None else self.sampler
        return type(self._read_from if self._stream else sampler).__name__

    def _ranks(self) -> Ranks:
        return self._own() or self._place.now()

    def __repr__(self) -> str:
        views = self.views[0] if len(self.views) == 1 else self.views
        size = "" if self.batch_size is None else f", batch_size={self.batch_size}"
        order = "" if self._stream else f", {self._orderer()}"
        return (
            f"TiedLoader({type(self.dataset).__name__}, {views!r}{size}{order}, seed={self.seed}, "
            f"threads={self.threads}; {self._summary()})"
        )

    def _summary(self) -> str:
        own = self._own()
        split_by = self._orderer() if own else None
        part = report.part(own or self._place.now(), split_by, self._stream)
        return f"{part}; {report.reading(self._reason)}"

    def __len__(self) -> int:
        """The number of batches in an epoch, in this process.

        Raises:
            TypeError: the data set is a stream of unknown length.
        """
        if self._order is not None:
            return len(self._order)
        samples = len(self._read_from)
        if self._own() is None:
            samples = self._place.now().count(samples, self.drop_last)
        assert self.batch_size is not None
        return (samples if self.drop_last else samples + self.batch_size - 1) // self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is, 0 to 2**32 - 1; the sampler is told, too.

        Without this each iteration is the next epoch; one that is dropped before it gives a batch
        does not count. A sampler's own ``set_epoch`` is followed.
        """
        self._epochs.set(epoch)
        self._begun = None

    def __iter__(self) -> Iteration:
        """Begin an epoch, or go on with the one that `load_state_dict` named."""
        with INSIDE:
            return self._iterate()

    def _iterate(self) -> Iteration:
        batches = operator.length_hint(self, -1)
        self._announcement.make(self._summary(), batches, self._place, self._own())
        if self._resume is None:
            self._take_back_unused()
        state = self._resume
        refuse_other_world_size(state, self._ranks().world_size)
        self._resume = None
        epoch = self._epochs.begin(state)
        self._begun = epoch, state
        progress = Progress(epoch, batches=0 if state is None else state["batches"])
        iteration = self._begin(progress, state)
        self._progress = progress
        self._iteration = weakref.ref(iteration)
        return iteration

    def _take_back_unused(self) -> None:
        """Begin as the latest iteration did, if that was dropped before it gave a batch.

        Lightning makes one to see whether it can: that is not an epoch.
        """
        iteration = None if self._iteration is None else self._iteration()
        progress = self._progress
        unused = progress is not None and progress.images == 0 and not progress.over
        if self._begun is not None and iteration is None and unused:
            self._epochs.next, self._resume = self._begun

    def _begin(self, progress: Progress, state: dict[str, Any] | None) -> Iteration:
        done, batches = progress.batches, self._batches(progress, state)
        pipelines = [views._pipeline for views in self.views]
        core = _core.Loader(
            self.threads,
            pipelines,
            self.seed,
            progress.epoch,
            self._output.table(),
            (self._output.mean, self._output.std),
            self._output.channels_last,
        )
        shapes = [
            (arguments.count(views), cast("tuple[int, int]", views.size)) for views in self.views
        ]
        submission = Submission(core, shapes, self._output, self._buffers)
        deliver = Delivery(
            self._output, shapes, self.repeat_targets, self._index_targets, self.collate_fn
        )
        feed = self._feed(submission, done)
        return Iteration(core, feed, batches, deliver, self.prefetch, self._skips, progress)

    def _feed(self, submission: Submission, done: int) -> Feed:
        if self._stream:
            assert self.batch_size is not None
            ranks, samples = self._ranks(), self._read_from
            if self._own() is None:
                samples = ranks.part(samples, self.drop_last)
            passed = done * self.batch_size
            size, drop_last = self.batch_size, self.drop_last
            return StreamFeed(submission, samples, size, drop_last, passed, ranks, self._skips)
        if self._located is not None and self._catalog is not None:
            return LocatedFeed(submission, self._located, self._catalog)
        length = len(self._read_from)
        return FetchedFeed(submission, reader_of(self._read_from), length, self._skips)

    def _batches(self, progress: Progress, state: dict[str, Any] | None) -> Iterator[Pending]:
        if self._order is None:
            return iter(Pending, None)
        return self._order.begin(progress, max(map(arguments.count, self.views)), state)

    def state_dict(self) -> dict[str, Any]:
        """Say where the latest iteration is: after the last batch that was delivered.

        Follows torchdata's stateful protocol. A loader around this one that fetches ahead, such as
        timm's ``PrefetchLoader``, has taken one batch more than it has given.
        """
        if self._resume is not None:
            return dict(self._resume)
        progress = self._progress
        if progress is not None and not progress.over:
            told, random = self._epochs.told(), {} if self._order is None else self._order.random
        else:
            # Between epochs nobody has told the sampler of the next one yet.
            progress, told = Progress(self._epochs.next), None
            random = {} if self._order is None else self._order.random_state()
        rank = None if self._order is None else self._order.splitting_rank()
        return state_of(progress, told, random, self.seed, self._ranks().world_size, rank)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration go on where a `state_dict` was taken, with the same batches.

        Data set, sampler, views, batch size and number of processes must be the same; `threads`,
        `prefetch` and the output's form need not. The state of any rank will do for all, as
        Lightning hands it out. A stream is read from its start and the samples of the batches that
        are done are passed over.

        Raises:
            ValueError: a state of another kind, or of a loader with another seed.
        """
        self._resume = checked(state, self.seed)

    @property
    def skipped(self) -> int:
        """How many samples have been skipped since the loader was made."""
        return self._skips.count

    def stats(self) -> report.Stats:
        """Say whether data is the bottleneck: figures of the latest iteration so far.

        With ``data_seconds`` near 0 the consumer is what takes the time; with ``busy`` near 1 and
        ``ready`` at 0 the threads are. If both are low, the disk is, or a data set's Python code.
        """
        progress = self._progress or Progress(self._epochs.next, began=time.perf_counter())
        seconds = max((progress.ended or time.perf_counter()) - progress.began, 1e-9)
        return report.Stats(
            images=progress.images,
            images_per_second=progress.images / seconds,
            data_seconds=progress.waited,
            consumer_seconds=progress.consumed,
            threads=self.threads,
            busy=min(progress.busy / (seconds * self.threads), 1.0),
            ready=progress.ready,
            prefetch=self.prefetch,
            skipped=self.skipped,
            reading="native" if self._reason is None else "python",
        )
