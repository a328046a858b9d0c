"""`create_loader`: timm's function of this name, for several views, over `TiedLoader`.

The arguments are timm's, and so is what they mean: the order of the samples, the transform, the
erasing and the normalisation. What differs is who loads: threads of `TiedLoader` in the place of
worker processes. `num_workers` is the number of threads; `use_multi_epochs_loader`,
`persistent_workers` and `worker_seeding` have no effect, since threads start at once and the views
follow from (seed, epoch, index).

With timm's prefetcher the `TiedLoader` gives uint8 images to timm's ``PrefetchLoader``, which
normalises and erases them on the device. Without it the `TiedLoader` itself normalises them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Any

from timm.data.distributed_sampler import RepeatAugSampler
from timm.data.loader import create_loader as timms_loader
from torch.utils.data import IterableDataset, RandomSampler
from torch.utils.data.distributed import DistributedSampler

from tied_augment.arguments import check_channels, check_unsigned, described
from tied_augment.dataset import TiedDataset
from tied_augment.loader import TiedLoader
from tied_augment.skips import OnError
from tied_augment.timm.evaluation import evaluation_loader
from tied_augment.timm.prefetched import DEVICE_OPTIONS, PrefetchedLoader, prefetched
from tied_augment.timm.wds import undecoded
from tied_augment.view import View
from tied_augment.view_from_timm import IMAGENET_MEAN, IMAGENET_STD
from tied_augment.views import Views

__all__ = ["create_loader", "erasing_splits", "refuse_no_batches"]

Size = int | tuple[int, int] | tuple[int, int, int]

_ERASING = ("re_prob", "re_mode", "re_count")

# What timm's `create_loader` passes to `create_transform`.
_TRANSFORM = (
    "no_aug",
    "train_crop_mode",
    "scale",
    "ratio",
    "hflip",
    "vflip",
    "color_jitter",
    "color_jitter_prob",
    "grayscale_prob",
    "gaussian_blur_prob",
    "auto_augment",
    "interpolation",
    "mean",
    "std",
    "crop_pct",
    "crop_mode",
    "crop_border_pixels",
    *_ERASING,
)

# What it passes to `ScheduledBatchSampler`: its own names, by the sampler's.
_SCHEDULE = {
    "choice_weights": "batch_choice_weights",
    "seed": "batch_choice_seed",
    "choice_schedule": "batch_choice_schedule",
    "schedule_epochs": "batch_schedule_epochs",
    "schedule_spread": "batch_schedule_spread",
    "schedule_random_mix": "batch_schedule_random_mix",
    "num_batches": "num_batches",
}

# They are about worker processes, of which there are none.
_WITHOUT_EFFECT = ("use_multi_epochs_loader", "persistent_workers", "worker_seeding")

_REFUSED = ("num_aug_splits", "tf_preprocessing")

_KNOWN = {
    *_TRANSFORM,
    *_SCHEDULE.values(),
    *DEVICE_OPTIONS,
    *_WITHOUT_EFFECT,
    *_REFUSED,
    "batch_size_choices",
    "collate_fn",
    "distributed",
    "input_size_choices",
    "num_aug_repeats",
    "num_workers",
    "pin_memory",
    "re_split",
    "use_prefetcher",
}


def create_loader(
    dataset: Any,
    input_size: Size,
    batch_size: int,
    is_training: bool = False,
    *,
    num_views: int = 2,
    second: View | None = None,
    same_crop: bool = False,
    own_flips: bool = False,
    seed: int = 0,
    prefetch: int = 2,
    on_error: OnError = "skip",
    **options: Any,
) -> Any:
    """Make a loader of views from the arguments of ``timm.data.create_loader``, timm 1.0.

    Batches are what timm's loader gives for ``num_aug_splits=num_views``: images ``(V * B, 3,
    height, width)`` for V views, view 1 of all samples first, and targets ``(V * B,)``, int64, or
    of the data set's dtype if ``use_prefetcher=False``.

    Args:
        dataset: as `TiedLoader` takes it, except a `TiedDataset`; its ``transform`` becomes None.
            The images of timm's ``wds/`` are decoded by the loader, not by timm.
        input_size: side, (height, width) or (3, height, width).
        batch_size: B, the number of samples.
        is_training: False for one view of each image, for validation: the batches of timm's loader,
            bit for bit. If the data set's images can't be read without Python, it is timm's loader.
        num_views: V, at least 2.
        second: the second view, of which all later ones are other draws; None for other draws of
            the first.
        same_crop: as in `Views`.
        own_flips: as in `Views`.
        seed: the run's seed.
        prefetch: batches that are made ahead.
        on_error: as in `TiedLoader`; timm's data sets skip.
        options: all other arguments of ``timm.data.create_loader``.

    Returns:
        timm's ``PrefetchLoader`` over a `TiedLoader`; if ``use_prefetcher=False`` the `TiedLoader`,
        with normalised float32 images.

    Raises:
        TypeError: an option that timm does not have, or of the wrong type.
        ValueError: an option out of its range, or that makes no sense for several views; a data set
            smaller than a batch.
    """
    if not is_training:
        options |= {"input_size": input_size, "batch_size": batch_size}
        loader = evaluation_loader(dataset, options)
        return timms_loader(dataset, **options) if isinstance(loader, str) else loader
    _check_options(options)
    _check_dataset(dataset)
    options |= _checked_channels(options)
    num_views = check_unsigned("num_views", num_views, 16, least=2)
    if not (second is None or isinstance(second, View)):
        raise TypeError(f"second must be a View, got {described(second)}")
    sharing = {"same_crop": same_crop, "own_flips": own_flips}
    views = partial(_views, options, num_views=num_views, second=second, **sharing)
    arguments = {"seed": seed, "prefetch": prefetch, "on_error": on_error}
    arguments |= _batches(dataset, views, input_size, batch_size, options) | _loading(options)
    dataset.transform = None
    stream = undecoded(dataset)
    dataset = dataset if isinstance(stream, str) else stream
    prefetcher = options.get("use_prefetcher", True)
    loader = (PrefetchedLoader if prefetcher else TiedLoader)(dataset, **arguments)
    refuse_no_batches(loader, batch_size)
    return prefetched(loader, options, **_erasing(options, num_views)) if prefetcher else loader


def refuse_no_batches(loader: Any, batch_size: int) -> None:
    """Refuse a data set that does not fill a batch, where a smaller last batch is dropped.

    Args:
        loader: a `TiedLoader`, or one of timm's.
        batch_size: the number of samples that was asked for.

    Raises:
        ValueError: `loader` has no batches.
    """
    dataset = loader.dataset
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__") or len(loader) > 0:
        return
    samples = f"{len(dataset)} samples of the data set"
    share = getattr(loader.sampler, "num_samples", len(dataset))
    if share < len(dataset):
        samples = f"{share} that each process gets of the {samples}"
    raise ValueError(f"batch_size {batch_size} is larger than the {samples}: use a smaller one")


def _check_options(options: dict[str, Any]) -> None:
    for name in _REFUSED:
        if options.get(name):
            raise ValueError(f"{name} is not supported: this loader makes its own views")
    unknown = options.keys() - _KNOWN
    if unknown:
        threads = ": num_workers is the number of threads" if "threads" in unknown else ""
        names = ", ".join(sorted(unknown))
        raise TypeError(f"timm.data.create_loader has no option {names}{threads}")
    # timm's `PrefetchLoader` does not check what it erases by. A `View` does, but refuses the other
    # options where re_prob is 0, which is timm's default.
    erasing = {name: options[name] for name in _ERASING if name in options}
    View(**erasing | {"re_prob": erasing.get("re_prob", 0.0) or 1.0})


def _check_dataset(dataset: Any) -> None:
    if isinstance(dataset, TiedDataset):
        raise TypeError(
            "dataset is a TiedDataset, which has views of its own: give create_loader the data set "
            "in it, and the views as timm's arguments"
        )
    if dataset is None or isinstance(dataset, str | PathLike | list | tuple):
        kind = type(dataset).__name__
        raise TypeError(f"dataset must be one, as timm.data.create_dataset makes them, got {kind}")


def _checked_channels(options: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    mean = check_channels("mean", options.get("mean", IMAGENET_MEAN))
    std = check_channels("std", options.get("std", IMAGENET_STD))
    if min(std) <= 0:
        raise ValueError(f"std must be above 0, got {std}")
    return {"mean": mean, "std": std}


def _views(
    options: dict[str, Any], size: Size, *, num_views: int, second: View | None, **sharing: bool
) -> Views:
    first = View.from_timm(
        input_size=size,
        re_num_splits=erasing_splits(options, num_views),
        use_prefetcher=options.get("use_prefetcher", True),
        **{name: options[name] for name in _TRANSFORM if name in options},
    )
    return Views(first, *(num_views - 1) * [second or first], **sharing)


def erasing_splits(options: dict[str, Any], num_views: int) -> int:
    """``re_num_splits`` by ``re_split``: V to spare view 1, 0 to erase in all views."""
    return num_views if options.get("re_split", False) else 0


def _loading(options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `TiedLoader` for how batches are made."""
    arguments = {
        "threads": max(1, check_unsigned("num_workers", options.get("num_workers", 1), 16)),
        "pin_memory": options.get("pin_memory", False),
        "layout": "flat",
        "repeat_targets": True,
        # As in timm: without `distributed` every rank loads everything.
        "world_size": None if options.get("distributed") else 1,
        "collate_fn": options.get("collate_fn"),
    }
    if not options.get("use_prefetcher", True):
        arguments |= {"output": "float32", "mean": options["mean"], "std": options["std"]}
    return arguments


def _batches(
    dataset: Any,
    views: Callable[[Size], Views],
    input_size: Size,
    batch_size: int,
    options: dict[str, Any],
) -> dict[str, Any]:
    """The arguments of `TiedLoader` for the views and the order, which are chosen as in timm."""
    stream = isinstance(dataset, IterableDataset)
    sampler = _sampler(dataset, stream, options)
    sizes = options.get("input_size_choices")
    if sizes is not None:
        if stream:
            raise TypeError("input_size_choices needs a map-style data set")
        batch_sampler = _scheduled(dataset, sampler, batch_size, options)
        # A single side makes a square here, where `View` would keep it single for `no_aug`.
        squares = [(size, size) if isinstance(size, int) else size for size in sizes]
        return {"views": [views(size) for size in squares], "batch_sampler": batch_sampler}
    if stream and hasattr(dataset, "set_loader_cfg"):
        dataset.set_loader_cfg(num_workers=1)
    return {
        "views": views(input_size),
        "batch_size": batch_size,
        "shuffle": sampler is None and not stream,
        "sampler": sampler,
        "drop_last": True,
    }


def _sampler(dataset: Any, stream: bool, options: dict[str, Any]) -> Any:
    repeats = options.get("num_aug_repeats", 0)
    if options.get("distributed", False) and not stream:
        if repeats:
            return RepeatAugSampler(dataset, num_repeats=repeats)
        return DistributedSampler(dataset)
    if repeats:
        raise ValueError(
            "num_aug_repeats needs several processes (torchrun, distributed=True) and a "
            "map-style data set"
        )
    return None


def _scheduled(dataset: Any, sampler: Any, batch_size: int, options: dict[str, Any]) -> Any:
    """Make timm's sampler of batches that differ in size."""
    sizes = options["input_size_choices"]
    if isinstance(sizes, int):
        raise TypeError(f"input_size_choices must be a list of sizes, got {sizes}")
    if not sizes:
        raise ValueError("input_size_choices must have at least one size")
    batch_sizes = options.get("batch_size_choices") or [batch_size] * len(sizes)
    if len(batch_sizes) != len(sizes):
        raise ValueError("batch_size_choices and input_size_choices must be of one length")
    # Not in timm before 1.0.27.
    from timm.data.scheduled_sampler import ScheduledBatchSampler

    order = RandomSampler(dataset) if sampler is None else sampler
    schedule = {name: options[timms] for name, timms in _SCHEDULE.items() if timms in options}
    return ScheduledBatchSampler(order, batch_sizes, drop_last=True, **schedule)


def _erasing(options: dict[str, Any], num_views: int) -> dict[str, Any]:
    """What timm's ``PrefetchLoader`` erases by."""
    erase = {name: options[name] for name in _ERASING if options.get(name) is not None}
    if options.get("no_aug") or not erase.get("re_prob"):
        erase = {}
    return erase | {"re_num_splits": erasing_splits(options, num_views)}
