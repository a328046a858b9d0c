"""timm's ``wds/`` data sets, undecoded.

timm's reader decodes each image with Pillow, in the thread that iterates. `undecoded` leaves that
to the loader's threads. Everything else stays timm's: the shards of a rank, their order, the
shuffling, what the target is, how many samples make an epoch.

timm's pipeline has one stage that decodes the image and finds the target. It is given a sample
whose image is one pixel; the image's bytes take the place of what it decodes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from torch.utils.data import IterableDataset

from tied_augment.named import NamedSample
from tied_augment.sources import keeps, refuse_mode, refuse_transform

__all__ = ["WdsStream", "undecoded"]

_PIXEL = b"P6 1 1 255 \0\0\0"  # in the format PPM


def undecoded(dataset: Any) -> WdsStream | str:
    """The samples of `dataset` without decoding, if that is timm's ``wds/``.

    Returns:
        A `WdsStream`; the reason if only timm can read it.

    Raises:
        ValueError: the data set has a transform, or a mode other than RGB.
    """
    kind = type(dataset).__name__
    if not keeps(dataset, "timm.data", "IterableImageDataset", "__iter__"):
        return f"only Python can read the images of this {kind}"
    reader = dataset.reader
    if not keeps(reader, "timm.data.readers.reader_wds", "ReaderWds", "__iter__"):
        return f"timm's {type(reader).__name__} decodes the images itself"
    if _decoding(_begun(reader, 0)) is None:
        return "this timm's ReaderWds has no stage of its own that decodes"
    return WdsStream(dataset)


class WdsStream(IterableDataset[NamedSample]):
    """``(bytes, target)`` from timm's ``IterableImageDataset`` over a ``ReaderWds``.

    The order follows from (the reader's seed, epoch). In epoch 0 it is that in which timm's reader
    gives them without worker processes.

    Args:
        dataset: timm's.

    Raises:
        ValueError: it has a transform, or a mode other than RGB.
    """

    splits_by_rank = True

    def __init__(self, dataset: Any) -> None:
        refuse_transform(dataset)
        if hasattr(dataset.reader, "input_img_mode"):
            refuse_mode(dataset.reader)
        self.dataset = dataset
        self._reader = dataset.reader

    @property
    def epoch(self) -> int:
        """The epoch that `set_epoch` was given."""
        return int(self._reader.epoch_count.value)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of timm's reader."""
        self._reader.set_epoch(epoch)

    def __len__(self) -> int:
        """The number of samples of a rank's epoch."""
        return len(self._reader)

    def __iter__(self) -> Iterator[NamedSample]:
        reader = _begun(self._reader, self.epoch)
        place = _decoding(reader)
        assert place is not None
        stages = reader.ds.pipeline
        decode = stages[place].args[0]
        # A copy, since the stages may be shared.
        stages[place] = copy.copy(stages[place])
        stages[place].args = (partial(_left, decode=decode),)
        change = self.dataset.target_transform
        for (image, name), target in reader:
            yield NamedSample((image, target if change is None else change(target)), name)


def _begun(reader: Any, epoch: int) -> Any:
    """A copy of timm's reader that has made its pipeline anew, for one epoch."""
    own = copy.copy(reader)
    own.ds = None
    # timm shuffles by one generator through all epochs: a resumed run would have another order.
    own.worker_seed = reader.common_seed + max(epoch, 0)
    own._lazy_init()
    return own


def _decoding(reader: Any) -> int | None:
    """Which stage of a reader's pipeline decodes."""
    from timm.data.readers import reader_wds

    for place, stage in enumerate(reader.ds.pipeline):
        function = next(iter(getattr(stage, "args", ())), None)
        if isinstance(function, partial) and function.func is getattr(reader_wds, "_decode", None):
            return place
    return None


def _left(sample: Mapping[str, Any], decode: Any) -> dict[str, Any] | None:
    """What timm's `decode` makes of a sample, but with the image's bytes and name as its image."""
    ending = next((each for each in decode.keywords["image_key"].split(";") if each in sample), "")
    found: dict[str, Any] | None = decode({**sample, ending: _PIXEL})
    if found is not None:
        name = f"{sample.get('__url__', 'a sample')}, {sample['__key__']}.{ending}"
        found["jpg"] = sample[ending], name
    return found
