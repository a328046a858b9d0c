"""Images in a code that is quicker to decode, and data sets of them.

`pack` and `unpack` are for one JPEG file. `PackedDataset` is a data set of packed images, as
``tied-augment pack`` makes it. ``docs/packed.md`` says when that pays.

    images      one file: pack, unpack
    index       what a packed data set is on disk, and the checks of what its index says
    origin      the samples of what is packed: a folder, tar files, a list of files
    packing     packs them, on all cores; can be killed and started again
    shard       writes one shard, so that no half of one is ever taken for a whole one
    checking    verifies all samples
    unpacking   gives the files back; can be killed and started again
    dataset     `PackedDataset`

The format has version 1. ``docs/packed-format.md`` says what later releases go on reading.
"""

from __future__ import annotations

from tied_augment.packed.dataset import PackedDataset
from tied_augment.packed.images import pack, unpack

__all__ = ["PackedDataset", "pack", "unpack"]
