"""`TiedLoader`: what to load, and the state from one epoch to the next."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypedDict, cast

from torch import Tensor
from torch.utils.data import BatchSampler, IterableDataset

from tied_augment import _core
from tied_augment.dataset import TiedDataset
from tied_augment.loader import arguments, samplers
from tied_augment.loader.errors import OnError, Skips
from tied_augment.loader.fetch import (
    Feed,
    FetchedFeed,
    LocatedFeed,
    Pending,
    StreamFeed,
    Submission,
)
from tied_augment.loader.iteration import Iteration, Progress
from tied_augment.loader.output import Buffers, Delivery, Layout
from tied_augment.sources import locate, reader_of
from tied_augment.transforms import TwoView, View
from tied_augment.view import number

__all__ = ["Stats", "TiedLoader"]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class Stats(TypedDict):
    """What `TiedLoader.stats` tells.

    Attributes:
        images: samples delivered in this epoch.
        images_per_second: since it began.
        data_seconds: what the consumer waited for batches.
        consumer_seconds: what the consumer did with them.
        threads: how many make batches.
        busy: the fraction of their time that they worked.
        ready: batches that were finished when the last one was asked for.
        prefetch: batches that are under way.
        skipped: samples skipped since the loader was made.
    """

    images: int
    images_per_second: float
    data_seconds: float
    consumer_seconds: float
    threads: int
    busy: float
    ready: int
    prefetch: int
    skipped: int


class TiedLoader(Iterable[Any]):
    """Batches of view pairs, made ahead by threads that need no GIL.

    Iterating gives ``(images, targets)``, and what else an item of the data set holds. Images are
    ``(2B, 3, height, width)``, view 1 of all samples first. Batches come in the sampler's order,
    and each image follows from (`seed`, epoch, index) alone: nothing depends on `threads` or
    `prefetch`. A sample that comes again within an epoch gets new views. Threads begin with
    ``iter(loader)`` and end with the iteration. Memory: at most `prefetch` + 1 batches, besides
    those that the consumer keeps.

    Args:
        dataset: one whose files can be read without Python (torchvision's ``ImageFolder`` and
            ``CIFAR10``, timm's ``ImageDataset``, `ArrayDataset`, a ``Subset`` of these); any other
            map-style or iterable data set of ``(image, target, ...)``, with an image as `TwoView`
            takes it, whose items are fetched by one Python thread; or a `TiedDataset`, whose views
            and seed are used unless given here.
        views: what to make of every image; or several of these, of which a batch sampler like
            timm's ``ScheduledBatchSampler`` chooses for each batch. A `View` makes one view only.
        batch_size: B, the number of samples.
        shuffle: a new order in each epoch, which follows from (`seed`, epoch).
        sampler: torch's sampler of indices, instead of `shuffle`.
        batch_sampler: torch's sampler of batches, instead of `batch_size`, `shuffle`, `sampler` and
            `drop_last`.
        drop_last: leave out a last batch that is smaller.
        threads: None for one per core that this process may use, shared with the other processes
            that torchrun has started on this machine. More than that helps with slow disks.
        prefetch: batches that are made ahead.
        pin_memory: write into page-locked memory.
        seed: the run's seed, 0 to 2**64 - 1.
        on_error: ``'raise'``, or ``'skip'``: log a warning with path and cause and take the sample
            with the next index, up to 20 times in a row. In a stream it is the next in the batch,
            and a batch without a good sample is left out.
        output: ``'uint8'``, or ``'float32'``, ``'float16'``, ``'bfloat16'`` for images normalised
            as by torchvision's ToTensor and Normalize.
        mean: of each channel, for the normalised outputs.
        std: of each channel, for the normalised outputs.
        channels_last: torch's memory format of that name.
        layout: ``'flat'``, or ``'views'`` for images of ``(2, B, 3, height, width)``.
        repeat_targets: give the targets once per view, ``(2B,)``, as timm's ``fast_collate`` does.
        collate_fn: makes a batch from a list of ``((view1, view2), target, ...)`` with ``(3,
            height, width)`` tensors, as in DataLoader; it runs in the consumer's thread.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of its range, or arguments that exclude each other.
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
        mean: Sequence[float] = _IMAGENET_MEAN,
        std: Sequence[float] = _IMAGENET_STD,
        channels_last: bool = False,
        layout: Layout = "flat",
        repeat_targets: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        tied = dataset if isinstance(dataset, TiedDataset) else None
        self.dataset = dataset
        self._read_from = dataset if tied is None else tied.dataset
        self.views = arguments.views(views if views is not None or tied is None else tied.views)
        self.seed = number("seed", seed if seed is not None else tied.seed if tied else 0, 64)
        on_error = on_error or (tied.on_error if tied else "raise")
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        self.threads = arguments.threads() if threads is None else number("threads", threads, 16, 1)
        self.prefetch = number("prefetch", prefetch, 16, 1)
        self.batch_size: int | None = number("batch_size", batch_size, 32, 1)
        self.drop_last = bool(drop_last)
        self.pin_memory = arguments.can_pin(bool(pin_memory))
        self.repeat_targets = bool(repeat_targets)
        self.collate_fn = collate_fn
        self._output = arguments.output(output, mean, std, channels_last, layout)
        self._skips = Skips(on_error)
        self._buffers = Buffers(self.prefetch + 1, self.pin_memory)
        self._stream = not hasattr(self._read_from, "__getitem__") or isinstance(
            self._read_from, IterableDataset
        )
        self._locate()
        self._make_samplers(shuffle, sampler, batch_sampler)
        self._epoch = 0
        self._told = self._told_epochs()
        self._random: dict[str, Tensor] = {}
        self._progress: Progress | None = None
        self._resume: dict[str, Any] | None = None
        self._iteration: weakref.ref[Iteration] | None = None

    def _locate(self) -> None:
        self._located = None if self._stream else locate(self._read_from)
        self._catalog = None if self._located is None else self._located.catalog()
        if not self._stream:
            reader_of(self._read_from)  # refuses what can't be read

    def _make_samplers(
        self, shuffle: bool, sampler: Iterable[int] | None, batch_sampler: Iterable[Any] | None
    ) -> None:
        if sampler is not None and shuffle:
            raise ValueError("shuffle and sampler exclude each other: the sampler makes the order")
        if self._stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("an iterable data set has its own order: no shuffle, no sampler")
        if batch_sampler is not None:
            if self.batch_size != 1 or shuffle or sampler is not None or self.drop_last:
                raise ValueError(
                    "batch_sampler excludes batch_size, shuffle, sampler and drop_last"
                )
            self.batch_size = None
        self.sampler: Any = sampler
        self.batch_sampler: Any = batch_sampler
        if self._stream:
            return
        if batch_sampler is not None:
            self.sampler = getattr(batch_sampler, "sampler", None)
            return
        if sampler is None:
            self.sampler = samplers.EpochSampler(self._read_from, shuffle, self.seed)
        assert self.batch_size is not None
        self.batch_sampler = BatchSampler(self.sampler, self.batch_size, self.drop_last)

    def __len__(self) -> int:
        """The number of batches in an epoch.

        Raises:
            TypeError: the data set is a stream of unknown length.
        """
        if not self._stream:
            return len(self.batch_sampler)
        samples = len(self._read_from)
        assert self.batch_size is not None
        return (samples if self.drop_last else samples + self.batch_size - 1) // self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is, 0 to 2**32 - 1; the sampler is told, too.

        Without this each iteration is the next epoch. A sampler's own ``set_epoch`` is followed.
        """
        self._epoch = number("epoch", epoch, 32)
        self._tell(self._epoch)

    def __iter__(self) -> Iteration:
        """Begin an epoch, or go on with the one that `load_state_dict` named."""
        state, self._resume = self._resume, None
        pairs = zip(self._told_epochs(), self._told, strict=True)
        told = [now for now, before in pairs if now is not None and now != before]
        if state is not None:
            self._epoch = state["epoch"]
            self._tell(state["sampler_epoch"])
        elif told:
            self._epoch = told[0]
        if isinstance(self.sampler, samplers.EpochSampler):
            self.sampler.set_epoch(self._epoch)
        self._told = self._told_epochs()
        done = 0 if state is None else state["batches"]
        progress = Progress(self._epoch, batches=done)
        iteration = self._begin(progress, done, state)
        self._epoch = (self._epoch + 1) % (1 << 32)
        self._progress = progress
        self._iteration = weakref.ref(iteration)
        return iteration

    def _begin(self, progress: Progress, done: int, state: dict[str, Any] | None) -> Iteration:
        batches = self._batches(progress, done, state)
        self._told_dataset(progress.epoch)
        pipelines = [views._pipeline for views in self.views]
        core = _core.Loader(
            self.threads,
            pipelines,
            self._output.table(),
            (self._output.mean, self._output.std),
            self._output.channels_last,
        )
        shapes = [
            (arguments.count(views), cast("tuple[int, int]", views.size)) for views in self.views
        ]
        key = (progress.epoch, self.seed)
        submission = Submission(core, shapes, self._output, self._buffers, key)
        deliver = Delivery(
            self._output, shapes, self.repeat_targets, self._index_targets, self.collate_fn
        )
        feed = self._feed(submission, done)
        return Iteration(core, feed, batches, deliver, self.prefetch, self._skips, progress)

    def _feed(self, submission: Submission, done: int) -> Feed:
        if self._stream:
            assert self.batch_size is not None
            rank, world = arguments.rank()
            samples = done * self.batch_size
            return StreamFeed(
                submission, self._read_from, self.batch_size, self.drop_last, samples, (rank, world)
            )
        if self._located is not None and self._catalog is not None:
            return LocatedFeed(submission, self._located, self._catalog)
        length = len(self._read_from)
        return FetchedFeed(submission, reader_of(self._read_from), length, self._skips)

    def _batches(
        self, progress: Progress, done: int, state: dict[str, Any] | None
    ) -> Iterator[Pending]:
        if self._stream:
            return iter(Pending, None)
        length = len(self._read_from)
        nested = [self.sampler, self.batch_sampler]
        views = max(map(arguments.count, self.views))
        occurrences = samplers.Occurrences(length, views, self.sampler)
        if state is None:
            self._random = samplers.random_state(nested)
            following = iter(self.batch_sampler)
        else:
            self._random = state["random"]
            past, following = samplers.begin(self.batch_sampler, nested, self._random, done)
            for batch in past:
                numbers = samplers.batch_of(batch, length)[0]
                occurrences.first_views(numbers)
                progress.order = samplers.fingerprint(numbers, progress.order)
            if len(past) != done or progress.order != state["order"]:
                raise RuntimeError(
                    "the sampler does not give the batches that it gave before the state was "
                    "saved: it must be the same one, over the same data set, and draw its order "
                    "from its epoch or from torch's random state"
                )
        pairs = (samplers.batch_of(batch, length) for batch in following)
        return (
            Pending(indices, occurrences.first_views(indices), choice) for indices, choice in pairs
        )

    def state_dict(self) -> dict[str, Any]:
        """Say where the latest iteration is: after the last batch that was delivered.

        Follows torchdata's stateful protocol. A loader around this one that fetches ahead, such as
        timm's ``PrefetchLoader``, has taken one batch more than it has given.
        """
        if self._resume is not None:
            return dict(self._resume)
        progress = self._progress
        # Between epochs nobody has told the sampler of the next one yet.
        told = None
        random = self._random
        if progress is None or progress.over:
            progress = Progress(self._epoch)
            random = samplers.random_state([self.sampler, self.batch_sampler])
        else:
            told = next((epoch for epoch in self._told if epoch is not None), None)
        return {
            "version": 1,
            "epoch": progress.epoch,
            "batches": progress.batches,
            "order": progress.order,
            "sampler_epoch": told,
            "random": random,
            "seed": self.seed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration go on where a `state_dict` was taken, with the same batches.

        Data set, sampler, views and batch size must be the same; `threads`, `prefetch` and the
        output's form need not. A stream is read from its start and the samples of the batches that
        are done are passed over.

        Raises:
            ValueError: a state of another kind, or of a loader with another seed.
        """
        if state.get("version") != 1:
            raise ValueError("this is no state of a TiedLoader, or one of another version")
        if state["seed"] != self.seed:
            raise ValueError(f"the state is of seed {state['seed']}, the loader's is {self.seed}")
        self._resume = dict(state)

    @property
    def skipped(self) -> int:
        """How many samples have been skipped since the loader was made."""
        return self._skips.count

    def stats(self) -> Stats:
        """Say whether data is the bottleneck: figures of the latest iteration so far.

        With ``data_seconds`` near 0 the consumer is what takes the time; with ``busy`` near 1 and
        ``ready`` at 0 the threads are. If both are low, the disk is, or a data set's Python code.
        """
        progress = self._progress or Progress(self._epoch, began=time.perf_counter())
        seconds = max((progress.ended or time.perf_counter()) - progress.began, 1e-9)
        return Stats(
            images=progress.images,
            images_per_second=progress.images / seconds,
            data_seconds=progress.waited,
            consumer_seconds=progress.consumed,
            threads=self.threads,
            busy=min(progress.busy / (seconds * self.threads), 1.0),
            ready=progress.ready,
            prefetch=self.prefetch,
            skipped=self.skipped,
        )

    def _told_epochs(self) -> tuple[int | None, ...]:
        """The epochs that samplers and data set have been told, where they have any."""
        owners = (self.batch_sampler, self.sampler, self.dataset)
        epochs = [getattr(o, "epoch", None) if hasattr(o, "set_epoch") else None for o in owners]
        return tuple(int(epoch) if isinstance(epoch, int) else None for epoch in epochs)

    def _tell(self, epoch: int | None) -> None:
        """Tell the sampler, as timm's train.py does."""
        for sampler in (self.batch_sampler, self.sampler):
            if epoch is not None and hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
                return

    def _told_dataset(self, epoch: int) -> None:
        if self._stream and hasattr(self._read_from, "set_epoch"):
            self._read_from.set_epoch(epoch)
