"""timm's own loader with several views per image: what `TiedLoader` is measured against.

Used by ``tied-augment bench`` and by the scripts in ``benches/``. Imports timm, so it is itself
imported only when it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from timm.data import auto_augment as timm_ops
from timm.data.loader import create_loader

__all__ = ["Draws", "posterizes_to_black", "timms_loader"]


def timms_loader(
    dataset: Any,
    size: int,
    batch_size: int,
    *,
    auto_augment: str | None,
    interpolation: str,
    workers: int,
    num_views: int = 2,
    pin_memory: bool = False,
) -> Any:
    """Make a DataLoader whose samples are draws of timm's training transform.

    It is what timm has below its ``PrefetchLoader``: uint8 batches on the CPU.

    Args:
        dataset: one of timm's; its transform is replaced.
        size: side of the square views.
        batch_size: samples per batch.
        auto_augment: timm's policy string; None for crop and flip only.
        interpolation: the filter of the crop.
        workers: the number of worker processes.
        num_views: draws per sample.
        pin_memory: page-lock the batches.
    """
    with posterizes_to_black():
        loader: Any = create_loader(
            dataset,
            size,
            batch_size,
            is_training=True,
            auto_augment=auto_augment,
            color_jitter=None,  # type: ignore[arg-type]  # timm's own code passes None, too
            interpolation=interpolation,
            num_workers=workers,
            pin_memory=pin_memory,
            device=torch.device("cpu"),
        )
    dataset.transform = Draws(dataset.transform, num_views)
    return loader.loader


class Draws:
    """Applies a transform several times to each image.

    Args:
        transform: a random transform of one image.
        count: how often.
    """

    def __init__(self, transform: Any, count: int) -> None:
        self._transform = transform
        self._count = count

    def __call__(self, image: Any) -> tuple[Any, ...]:
        """All views of `image`."""
        return tuple(self._transform(image) for _ in range(self._count))


@contextmanager
def posterizes_to_black() -> Iterator[None]:
    """Let the timm policies that are made in this block posterize to 0 bits.

    timm 1.0.31 draws 0 bits at magnitude 10 with ``inc1``, and below 2.5 without. Pillow 13 raises
    ValueError there; earlier versions gave a black image.
    """
    replaced = {name: op for name, op in timm_ops.NAME_TO_OP.items() if op is timm_ops.posterize}
    timm_ops.NAME_TO_OP.update(dict.fromkeys(replaced, _posterize))
    try:
        yield
    finally:
        timm_ops.NAME_TO_OP.update(replaced)


def _posterize(image: Image.Image, bits: int, **options: Any) -> Image.Image:
    if bits <= 0:
        return Image.new(image.mode, image.size)
    posterized: Image.Image = timm_ops.posterize(image, bits, **options)
    return posterized
