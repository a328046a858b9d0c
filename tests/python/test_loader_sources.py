"""TiedLoader: the same batches from every kind of data set."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from loader_sets import VIEWS, Items, Stream, assert_same, epoch_of, expected, paths_of
from PIL import Image
from timm.data import ImageDataset
from timm.data.readers.reader_image_in_tar import ReaderImageInTar
from timm.data.readers.reader_image_tar import ReaderImageTar
from torch.utils.data import (
    Subset,
)
from torchvision.datasets import ImageFolder

from tied_augment import ArrayDataset, TiedDataset, TiedLoader


def tar_of(folder, archive):
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, arcname=".")
    return archive


def test_every_source_gives_the_same_batches(image_folder, tmp_path):
    dataset = ImageFolder(image_folder)
    paths, targets = paths_of(image_folder), dataset.targets
    tar = tar_of(image_folder, tmp_path / "images.tar")
    arrays = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    two = list(zip(paths, targets, strict=True))
    sources = {
        "ImageFolder": (dataset, True),
        "timm folder": (ImageDataset(str(image_folder)), True),
        "timm tar": (ImageDataset(str(tar), reader=ReaderImageTar(str(tar))), True),
        "timm in tar": (ImageDataset(str(tar)), True),
        "paths": (Items(two), False),
        "bytes": (Items([(Path(p).read_bytes(), t) for p, t in two]), False),
        "arrays": (Items(list(zip(arrays, targets, strict=True))), False),
        "images": (Items([(Image.open(p).convert("RGB"), t) for p, t in two]), False),
    }
    reference = epoch_of(TiedLoader(dataset, VIEWS, 5, shuffle=True))
    for name, (source, native) in sources.items():
        loader = TiedLoader(source, VIEWS, 5, shuffle=True)
        assert (loader._catalog is not None) == native, name
        assert_same(epoch_of(loader), reference)
    stream = Stream(two)
    assert_same(epoch_of(TiedLoader(stream, VIEWS, 5)), epoch_of(TiedLoader(dataset, VIEWS, 5)))


def test_compressed_archives_are_read_by_timm(image_folder, tmp_path):
    archive = tmp_path / "images.tar"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(image_folder, arcname=".")
    dataset = ImageDataset(str(archive), reader=ReaderImageTar(str(archive)))
    loader = TiedLoader(dataset, VIEWS, 5)
    assert loader._catalog is None
    assert_same(epoch_of(loader), epoch_of(TiedLoader(ImageFolder(image_folder), VIEWS, 5)))
    dataset.reader.tarfile.close()


def test_archives_that_are_replaced_are_not_read_by_old_places(image_folder, tmp_path):
    """Another image of the same size would come with the target of the first."""
    archive = tar_of(image_folder, tmp_path / "images.tar")
    dataset = ImageDataset(str(archive))
    loader = TiedLoader(dataset, VIEWS, 5)
    assert len(list(loader)) == 3
    replaced = tar_of(image_folder, tmp_path / "new.tar")
    os.utime(replaced, (1, 1))
    replaced.rename(archive)
    with pytest.raises(OSError, match=r"images\.tar, the member .* has changed"):
        list(loader)
    assert len(list(TiedLoader(dataset, VIEWS, 5))) == 3


# timm leaves its archives open.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tar_files_in_folders_and_in_tar_files(image_folder, tmp_path):
    folder = tmp_path / "tars"
    folder.mkdir()
    for kind in sorted(image_folder.iterdir()):
        tar_of(kind, folder / f"{kind.name}.tar")
    outer = tmp_path / "outer.tar"
    tar_of(folder, outer)
    for root in (folder, outer):
        dataset = ImageDataset(str(root), reader=ReaderImageInTar(str(root), cache_tarfiles=False))
        loader = TiedLoader(dataset, VIEWS, 5)
        assert loader._catalog is not None
        read = [dataset.reader[index] for index in range(12)]
        items = [(file.read(), target) for file, target in read]
        assert_same(epoch_of(loader), epoch_of(TiedLoader(Items(items), VIEWS, 5)))


def test_subsets_and_extra_fields(image_folder):
    paths = paths_of(image_folder)
    subset = Subset(Subset(ImageFolder(image_folder), [9, 3, 6, 1]), [2, 0, 3])
    loader = TiedLoader(subset, VIEWS, 3)
    assert loader._catalog is not None
    [(images, _)] = epoch_of(loader)
    chosen = [paths[index] for index in (6, 9, 1)]
    assert torch.equal(images, expected(chosen, range(3)))
    extra = Items([(path, i, {"name": f"n{i}"}) for i, path in enumerate(paths)])
    [(_, targets, names), *_] = list(TiedLoader(extra, VIEWS, 4))
    assert targets.tolist() == [0, 1, 2, 3]
    assert names == {"name": ["n0", "n1", "n2", "n3"]}


def test_arrays_in_memory_are_not_copied(photos):
    images = np.stack([photo[:40, :50] for photo in photos])
    dataset = TiedDataset.from_arrays(images, [3, 1, 4, 1, 5], VIEWS, seed=2)
    loader = TiedLoader(dataset, batch_size=5)
    [(first, targets)] = epoch_of(loader)
    assert torch.equal(first, expected(list(images), range(5), seed=2))
    assert targets.tolist() == [3, 1, 4, 1, 5]
    images[:] = 7
    [(second, _)] = epoch_of(loader)
    assert (second == 7).all()
    with pytest.raises(ValueError, match="5 images but 2 targets"):
        ArrayDataset(images, [1, 2])
    for wrong in (images.astype(np.int16), images[..., :2], images[0]):
        with pytest.raises(TypeError, match="must be"):
            ArrayDataset(wrong, [0] * len(wrong))
