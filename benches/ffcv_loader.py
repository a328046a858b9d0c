"""FFCV's loader with two views, for ``packed_folder.py --ffcv``.

FFCV stores images as pixels (``raw``) or as JPEG files that it makes of the pixels anew (``jpg``).
It decodes, crops and resizes them with libjpeg-turbo and OpenCV, so the views are not Pillow's.

It is not on the list of what benchmarks need, since it must be compiled. On Debian 12:
``apt install libopencv-dev libturbojpeg0-dev pkg-config``, ``pip install 'setuptools<81' wheel``,
``pip install --no-build-isolation --no-deps ffcv`` and ``pip install numba pytorch-pfn-extras
terminaltables assertpy fastargs imgcat``.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import peers
from torchvision.datasets import ImageFolder

MODES = ("jpg", "raw")


def write(folder: Path, mode: str) -> Path:
    """The file in FFCV's format, which is made if it isn't there."""
    out = folder.with_name(f"{folder.name}-ffcv-{mode}.beton")
    if not out.exists():
        fields = importlib.import_module("ffcv.fields")
        columns = {"image": fields.RGBImageField(write_mode=mode), "label": fields.IntField()}
        writer = importlib.import_module("ffcv.writer").DatasetWriter(str(out), columns)
        writer.from_indexed_dataset(ImageFolder(str(folder)))
    return out


def loader(path: Path, threads: int) -> Any:
    """Batches of two views of 128 samples, in a new order in each epoch."""
    loaders = importlib.import_module("ffcv.loader")
    transforms = importlib.import_module("ffcv.transforms")
    decoders = importlib.import_module("ffcv.fields.rgb_image")
    spec = importlib.import_module("ffcv.pipeline.pipeline_spec").PipelineSpec

    def view() -> Any:
        side = (peers.SIDE, peers.SIDE)
        decoder = decoders.RandomResizedCropRGBImageDecoder(side, scale=peers.SCALE)
        return spec(
            "image",
            decoder,
            [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.ToTorchImage()],
        )

    return loaders.Loader(
        str(path),
        batch_size=peers.BATCH,
        num_workers=threads,
        order=loaders.OrderOption.RANDOM,
        pipelines={"first": view(), "second": view(), "image": None},
        drop_last=True,
    )
