"""`create_loader`: timm's, for two views, over `TiedLoader`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import torch
from timm.data import loader as timm_loader
from timm.data.distributed_sampler import RepeatAugSampler
from torch.utils.data import IterableDataset, RandomSampler
from torch.utils.data.distributed import DistributedSampler

from tied_augment.arguments import check_channels, check_unsigned
from tied_augment.dataset import TiedDataset
from tied_augment.loader import TiedLoader
from tied_augment.skips import OnError
from tied_augment.transforms import TwoView
from tied_augment.view import IMAGENET_MEAN, IMAGENET_STD, View

__all__ = ["create_loader", "refuse_no_batches"]

Size = int | tuple[int, int] | tuple[int, int, int]

_ERASING = ("re_prob", "re_mode", "re_count")

# What `create_loader` hands on to `create_transform`.
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

_SCHEDULE = {
    "choice_weights": "batch_choice_weights",
    "seed": "batch_choice_seed",
    "choice_schedule": "batch_choice_schedule",
    "schedule_epochs": "batch_schedule_epochs",
    "schedule_spread": "batch_schedule_spread",
    "schedule_random_mix": "batch_schedule_random_mix",
    "num_batches": "num_batches",
}

# Processes are what these are about.
_WITHOUT_EFFECT = {"use_multi_epochs_loader", "persistent_workers", "worker_seeding"}


class _PrefetchedLoader(TiedLoader):
    """What lies below timm's ``PrefetchLoader``: targets are as by timm's ``fast_collate``."""

    _index_targets = True


def create_loader(
    dataset: Any,
    input_size: Size,
    batch_size: int,
    is_training: bool = False,
    *,
    second: View | None = None,
    same_crop: bool = False,
    own_flips: bool = False,
    seed: int = 0,
    prefetch: int = 2,
    on_error: OnError = "skip",
    **options: Any,
) -> Any:
    """Make a loader of view pairs, with the arguments and the behaviour of timm's.

    Batches are what timm's loader gives for ``num_aug_splits=2``: images ``(2B, 3, height,
    width)``, view 1 of all samples first, and targets ``(2B,)``: int64, or as the data set has them
    if ``use_prefetcher=False``. With ``is_training=False`` it is timm's own loader.

    Of timm's arguments ``num_workers`` is the number of threads; ``use_multi_epochs_loader``,
    ``persistent_workers`` and ``worker_seeding`` have no effect, since there are no worker
    processes: threads start at once, and the views follow from (`seed`, epoch, index).

    Args:
        dataset: as `TiedLoader` takes it, but no `TiedDataset`; its ``transform`` is set to None.
        input_size: side, (height, width) or (3, height, width).
        batch_size: B, the number of samples.
        is_training: False for timm's loader.
        second: the second view; None for another draw of the first.
        same_crop: as in `TwoView`.
        own_flips: as in `TwoView`.
        seed: the run's seed.
        prefetch: batches that are made ahead.
        on_error: as in `TiedLoader`; timm's data sets skip.
        options: all that ``timm.data.create_loader`` takes else.

    Returns:
        timm's ``PrefetchLoader`` over a `TiedLoader`; the `TiedLoader`, with normalised float32
        images, if ``use_prefetcher=False``.

    Raises:
        TypeError: an option that timm doesn't have, or of the wrong type.
        ValueError: an option that makes no sense for two views, or out of its range; a data set
            smaller than a batch.

    Source: ``timm.data.create_loader``, timm 1.0.
    """
    if not is_training:
        return timm_loader.create_loader(dataset, input_size, batch_size, False, **options)
    for name in ("num_aug_splits", "tf_preprocessing"):
        if options.pop(name, None):
            raise ValueError(f"{name} is not supported: this loader makes its own two views")
    _check_dataset(dataset)
    prefetcher = options.pop("use_prefetcher", True)
    transform = {name: options.pop(name) for name in _TRANSFORM if name in options}
    mean = check_channels("mean", transform.get("mean", IMAGENET_MEAN))
    std = check_channels("std", transform.get("std", IMAGENET_STD))
    if min(std) <= 0:
        raise ValueError(f"std must be above 0, got {std}")
    transform |= {"mean": mean, "std": std}
    _check_erasing(transform)
    erase = {name: transform.get(name) for name in _ERASING}
    splits = 2 if options.pop("re_split", False) else 0

    def view_pair(size: Size) -> TwoView:
        first = View.from_timm(
            input_size=size, re_num_splits=splits, use_prefetcher=prefetcher, **transform
        )
        return TwoView(first, second or first, same_crop=same_crop, own_flips=own_flips)

    dataset.transform = None
    arguments: dict[str, Any] = {
        "threads": max(1, check_unsigned("num_workers", options.pop("num_workers", 1), 16)),
        "prefetch": prefetch,
        "pin_memory": options.pop("pin_memory", False),
        "seed": seed,
        "on_error": on_error,
        "layout": "flat",
        "repeat_targets": True,
        # As timm: without `distributed` every rank loads everything.
        "world_size": None if options.get("distributed") else 1,
        "collate_fn": options.pop("collate_fn", None),
    }
    if not prefetcher:
        arguments |= {"output": "float32", "mean": mean, "std": std}
    arguments |= _order(dataset, batch_size, view_pair, input_size, options)
    device = {
        name: options.pop(name) for name in ("device", "img_dtype", "fp16") if name in options
    }
    unknown = options.keys() - _WITHOUT_EFFECT
    if unknown:
        threads = ": num_workers is the number of threads" if "threads" in unknown else ""
        names = ", ".join(sorted(unknown))
        raise TypeError(f"timm.data.create_loader has no option {names}{threads}")
    loader = (_PrefetchedLoader if prefetcher else TiedLoader)(dataset, **arguments)
    refuse_no_batches(loader, batch_size)
    if not prefetcher:
        return loader
    if "device" in device:
        device["device"] = torch.device(device["device"])
    if transform.get("no_aug") or not erase["re_prob"]:
        erase = {}
    erase = {name: value for name, value in erase.items() if value is not None}
    prefetch_loader: Any = timm_loader.PrefetchLoader
    return prefetch_loader(loader, mean=mean, std=std, re_num_splits=splits, **device, **erase)


def refuse_no_batches(loader: Any, batch_size: int) -> None:
    """Raise ValueError if a loader that leaves out a last, smaller batch has no other.

    Args:
        loader: a `TiedLoader`, or one of timm's.
        batch_size: what was asked for.
    """
    dataset = loader.dataset
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__") or len(loader) > 0:
        return
    samples = f"{len(dataset)} samples of the data set"
    share = getattr(loader.sampler, "num_samples", len(dataset))
    if share < len(dataset):
        samples = f"{share} that each process gets of the {samples}"
    raise ValueError(f"batch_size {batch_size} is larger than the {samples}: use a smaller one")


def _check_dataset(dataset: Any) -> None:
    if isinstance(dataset, TiedDataset):
        raise TypeError(
            "dataset is a TiedDataset, which has views of its own: give create_loader the data set "
            "in it, and the views as timm's arguments"
        )
    if dataset is None or isinstance(dataset, str | PathLike | list | tuple):
        kind = type(dataset).__name__
        raise TypeError(f"dataset must be one, as timm.data.create_dataset makes them, got {kind}")


def _check_erasing(transform: dict[str, Any]) -> None:
    """Check what timm's ``PrefetchLoader`` erases by, which does not check it."""
    View(**{name: transform[name] for name in _ERASING if name in transform})


def _order(
    dataset: Any,
    batch_size: int,
    view_pair: Callable[[Size], TwoView],
    input_size: Size,
    options: dict[str, Any],
) -> dict[str, Any]:
    """The views and the sampler, as timm chooses it."""
    sizes: Sequence[Size] | None = options.pop("input_size_choices", None)
    batch_sizes = options.pop("batch_size_choices", None)
    schedule = {name: options.pop(timms) for name, timms in _SCHEDULE.items() if timms in options}
    stream = isinstance(dataset, IterableDataset)
    sampler = _sampler(dataset, stream, options)
    if sizes is None:
        if stream and hasattr(dataset, "set_loader_cfg"):
            dataset.set_loader_cfg(num_workers=1)
        return {
            "views": view_pair(input_size),
            "batch_size": batch_size,
            "shuffle": sampler is None and not stream,
            "sampler": sampler,
            "drop_last": True,
        }
    if stream:
        raise TypeError("input_size_choices needs a map-style data set")
    if isinstance(sizes, int):
        raise TypeError(f"input_size_choices must be a list of sizes, got {sizes}")
    if not sizes:
        raise ValueError("input_size_choices must have at least one size")
    batch_sizes = batch_sizes or [batch_size] * len(sizes)
    if len(batch_sizes) != len(sizes):
        raise ValueError("batch_size_choices and input_size_choices must be of one length")
    # Not in timm before 1.0.27.
    from timm.data.scheduled_sampler import ScheduledBatchSampler

    order = RandomSampler(dataset) if sampler is None else sampler
    return {
        # A single side makes a square here, where `View` would keep it single for `no_aug`.
        "views": [view_pair((s, s) if isinstance(s, int) else s) for s in sizes],
        "batch_sampler": ScheduledBatchSampler(order, batch_sizes, drop_last=True, **schedule),
    }


def _sampler(dataset: Any, stream: bool, options: dict[str, Any]) -> Any:
    repeats = options.pop("num_aug_repeats", 0)
    distributed = options.pop("distributed", False) and not stream
    if not distributed:
        if repeats:
            raise ValueError(
                "num_aug_repeats needs several processes (torchrun, distributed=True) and a "
                "map-style data set"
            )
        return None
    if repeats:
        return RepeatAugSampler(dataset, num_repeats=repeats)
    return DistributedSampler(dataset)
