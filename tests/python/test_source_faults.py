"""The same images, some of them broken, from each kind of source: what comes and what is said."""

import gc
import logging
import tarfile
from collections import Counter

import datasets
import pytest
import torch
import webdataset
from loader_sets import add_member, write_tar
from packed_sets import jpeg, pack_folder
from timm.data import ImageDataset
from timm.data.readers.reader_image_in_tar import ReaderImageInTar

from tied_augment import TarShards, TiedLoader, TwoView, View
from tied_augment.packed import PackedDataset

COUNT, BROKEN = 24, (2, 9, 17)
VIEWS = TwoView(View(16))


@pytest.fixture(scope="module")
def samples():
    """Files with a class each, which tells them apart."""
    whole = [(jpeg((40 + number, 50), number), number) for number in range(COUNT)]
    return [(content[:40] if number in BROKEN else content, number) for content, number in whole]


def folder(samples, path):
    for content, target in samples:
        (path / f"{target:02}").mkdir(parents=True)
        (path / f"{target:02}" / "image.jpg").write_bytes(content)
    return path


def arrow(samples):
    columns = {
        "image": [{"bytes": content, "path": None} for content, _ in samples],
        "label": [target for _, target in samples],
    }
    features = {"image": datasets.Image(), "label": datasets.Value("int64")}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def in_tar(samples, path):
    with tarfile.open(path / "a.tar", "w") as tar:
        for content, target in samples:
            add_member(tar, f"{target:02}/image.jpg", content)
    return ImageDataset(str(path), reader=ReaderImageInTar(str(path)))


def shards(samples, path):
    write_tar(path / "a.tar", samples)
    return TarShards(path / "a.tar")


def webdataset_of(samples, path):
    write_tar(path / "a.tar", samples)
    return webdataset.WebDataset(str(path / "a.tar"), shardshuffle=False)


def hugging_face(samples, path):
    return arrow(samples)


def hugging_face_stream(samples, path):
    return arrow(samples).to_iterable_dataset()


def packed(samples, path):
    return PackedDataset(pack_folder(folder(samples, path / "in"), path / "out"))


def listed(samples, path):
    folder(samples, path)
    return [(path / f"{target:02}" / "image.jpg", target) for _, target in samples]


SOURCES = [
    folder,
    listed,
    in_tar,
    shards,
    webdataset_of,
    hugging_face,
    hugging_face_stream,
    packed,
]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io:pytest.PytestWarning")
@pytest.mark.parametrize("source", SOURCES)
def test_a_broken_image_is_named_and_replaced(source, samples, tmp_path, caplog):
    """Every good image comes; for each broken one comes the next one again."""
    data = source(samples, tmp_path)
    columns = {"columns": ("image", "label")} if "hugging" in source.__name__ else {}
    loader = TiedLoader(data, VIEWS, 6, on_error="skip", **columns)
    with caplog.at_level(logging.WARNING, "tied_augment.loader"):
        came = Counter(torch.cat([targets for _, targets in loader]).tolist())
    counts = {
        "expected": COUNT,
        "delivered": came.total(),
        "replaced": loader.skipped,
        "repeated": came.total() - len(came),
        "lost": len(set(range(COUNT)) - set(BROKEN) - set(came)),
    }
    print(f"{source.__name__}: {counts}")
    assert counts == {"expected": 24, "delivered": 24, "replaced": 3, "repeated": 3, "lost": 0}
    assert not set(BROKEN) & set(came)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    names = {
        in_tar: "a.tar, the member at byte",
        shards: "a.tar, 0{:02}",
        webdataset_of: "a.tar, 0{:02}.jpg",
        hugging_face: "index {}",
        hugging_face_stream: "index {}",
    }.get(source, "{:02}/image.jpg")
    for number, message in zip(BROKEN, messages, strict=True):
        assert names.format(number) in message
    with pytest.raises(OSError, match="cannot decode JPEG"):
        list(TiedLoader(data, VIEWS, 6, **columns))
    if source is webdataset_of:
        gc.collect()  # the library never closes its files, which would fail the next test
