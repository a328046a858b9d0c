"""TiedLoader: the same batches from every kind of data set."""

import logging
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from loader_sets import (
    VIEWS,
    Items,
    Stream,
    add_sparse_member,
    assert_same,
    epoch_of,
    expected,
    paths_of,
)
from PIL import Image
from timm.data import ImageDataset
from timm.data.readers.reader_image_in_tar import ReaderImageInTar
from timm.data.readers.reader_image_tar import ReaderImageTar
from torch.utils.data import ConcatDataset, Subset
from torchvision.datasets import ImageFolder

from tied_augment import ArrayDataset, TiedDataset, TiedLoader
from tied_augment.located import locate


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
        "list": (two, True),
        "tuple of lists": (tuple([Path(path), target] for path, target in two), True),
        "paths": (Items(two), False),
        "bytes": (Items([(Path(p).read_bytes(), t) for p, t in two]), False),
        "arrays": (Items(list(zip(arrays, targets, strict=True))), False),
        "images": (Items([(Image.open(p).convert("RGB"), t) for p, t in two]), False),
    }
    reference = epoch_of(TiedLoader(dataset, VIEWS, 5, shuffle=True))
    for name, (source, native) in sources.items():
        loader = TiedLoader(source, VIEWS, 5, shuffle=True)
        assert (loader.stats()["reading"] == "native") == native, name
        assert_same(epoch_of(loader), reference)
    stream = Stream(two)
    assert_same(epoch_of(TiedLoader(stream, VIEWS, 5)), epoch_of(TiedLoader(dataset, VIEWS, 5)))


def test_compressed_archives_are_read_by_timm(image_folder, tmp_path):
    archive = tmp_path / "images.tar"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(image_folder, arcname=".")
    dataset = ImageDataset(str(archive), reader=ReaderImageTar(str(archive)))
    loader = TiedLoader(dataset, VIEWS, 5)
    assert loader.stats()["reading"] == "python"
    assert_same(epoch_of(loader), epoch_of(TiedLoader(ImageFolder(image_folder), VIEWS, 5)))
    dataset.reader.tarfile.close()


def test_archives_with_sparse_members_are_read_by_timm(image_folder, tmp_path):
    archive = tmp_path / "images.tar"
    with tarfile.open(archive, "w") as tar:
        for path in map(Path, paths_of(image_folder)):
            add_sparse_member(tar, f"{path.parent.name}/{path.name}", path.read_bytes(), 5000)
    dataset = ImageDataset(str(archive), reader=ReaderImageTar(str(archive)))
    assert locate(dataset) == f"{archive} has sparse members"
    loader = TiedLoader(dataset, VIEWS, 5)
    assert loader.stats()["reading"] == "python"
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
        assert loader.stats()["reading"] == "native"
        read = [dataset.reader[index] for index in range(12)]
        items = [(file.read(), target) for file, target in read]
        assert_same(epoch_of(loader), epoch_of(TiedLoader(Items(items), VIEWS, 5)))


def test_subsets_and_extra_fields(image_folder):
    paths = paths_of(image_folder)
    subset = Subset(Subset(ImageFolder(image_folder), [9, 3, 6, 1]), [2, 0, 3])
    loader = TiedLoader(subset, VIEWS, 3)
    assert loader.stats()["reading"] == "native"
    [(images, _)] = epoch_of(loader)
    chosen = [paths[index] for index in (6, 9, 1)]
    assert torch.equal(images, expected(chosen, range(3)))
    extra = Items([(path, i, {"name": f"n{i}"}) for i, path in enumerate(paths)])
    [(_, targets, names), *_] = list(TiedLoader(extra, VIEWS, 4))
    assert targets.tolist() == [0, 1, 2, 3]
    assert names == {"name": ["n0", "n1", "n2", "n3"]}


# timm leaves its archives open.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_concatenated_data_sets_are_read_natively(image_folder, tmp_path):
    folder = ImageFolder(image_folder, target_transform=lambda target: target + 10)
    timms = ImageDataset(str(image_folder))
    one = ImageDataset(str(tar_of(image_folder, tmp_path / "one.tar")))
    two = ImageDataset(str(tar_of(image_folder, tmp_path / "two.tar")))
    files = ConcatDataset([Subset(folder, [7, 2]), ConcatDataset([timms, folder])])
    members = ConcatDataset([one, Subset(two, [3, 5]), one])
    for dataset in (files, members, Subset(files, [20, 1, 13]), Subset(members, [13, 3])):
        loader = TiedLoader(dataset, VIEWS, 4)
        assert loader.stats()["reading"] == "native"
        items = [dataset[index] for index in range(len(dataset))]
        assert_same(epoch_of(loader), epoch_of(TiedLoader(Items(items), VIEWS, 4)))
        tied = TiedDataset(dataset, VIEWS)
        tied.set_epoch(1)
        (first, second), target = tied[len(dataset) - 1]
        images, targets = epoch_of(loader)[-1]
        assert torch.equal(torch.stack([first, second]), images[:, -1])
        assert target == targets[-1]


def test_an_index_below_zero_counts_from_the_end(image_folder):
    """As in torch's own data sets, of which a ConcatDataset is one."""
    folder = ImageFolder(image_folder, target_transform=lambda target: target + 10)
    dataset = ConcatDataset([Subset(folder, [7, 2, 5]), folder])
    tied = TiedDataset(dataset, VIEWS)
    tied.set_epoch(0)
    for index in (-1, -12, -13, -15):
        (first, second), target = tied[index]
        assert target == dataset[index][1]
        (again, other), _ = tied[len(dataset) + index]
        assert torch.equal(first, again)
        assert torch.equal(second, other)


class Own(ImageFolder):
    def __getitem__(self, index):
        return super().__getitem__(index)


def test_who_reads_is_said(image_folder, photos, caplog):
    folder = ImageFolder(image_folder)
    pixels = np.stack([photo[:40, :50] for photo in photos])
    arrays = ArrayDataset(pixels, range(5))
    items = Items(folder.samples)
    reasons = {
        "only Python can read the images of this Items": items,
        "this Own has a __getitem__ or a loader of its own": Own(image_folder),
        "this ImageFolder has a": ImageFolder(image_folder, loader=Image.open),
        "a Subset of images in memory": Subset(arrays, [1]),
        "a ConcatDataset of images in memory": ConcatDataset([arrays, folder]),
        "this list has images that are not paths": [*folder.samples, (pixels[0], 1)],
        "an iterable data set": Stream(folder.samples),
        "images of this Items": ConcatDataset([folder, items]),
    }
    for reason, dataset in reasons.items():
        loader = TiedLoader(dataset, VIEWS, 4)
        assert "read by one Python thread: " in repr(loader)
        assert reason in repr(loader)
        assert loader.stats()["reading"] == "python"
        caplog.clear()
        with caplog.at_level(logging.INFO, "tied_augment.loader"):
            list(loader)
            list(loader)
        [line] = [record.getMessage() for record in caplog.records]
        assert reason in line
    native = TiedLoader(folder, VIEWS, 4)
    assert "read natively" in repr(native)
    with caplog.at_level(logging.INFO, "tied_augment.loader"):
        list(native)
    assert "read natively" in caplog.text


def test_a_concatenation_of_kinds_is_read_in_pythons_thread(image_folder, photos, tmp_path):
    folder = ImageFolder(image_folder)
    archive = ImageDataset(str(tar_of(image_folder, tmp_path / "one.tar")))
    arrays = ArrayDataset(np.stack([photo[:40, :50] for photo in photos]), range(5))
    dataset = ConcatDataset([folder, archive, arrays])
    loader = TiedLoader(dataset, VIEWS, 4)
    assert "read by one Python thread" in repr(loader)
    items = [dataset[index] for index in range(len(dataset))]
    assert_same(epoch_of(loader), epoch_of(TiedLoader(Items(items), VIEWS, 4)))
    both = ConcatDataset([folder, archive])
    assert "has both image files and members of archives" in repr(TiedLoader(both, VIEWS))
    archive.reader.tar_state.tf.close()


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_an_image_folder(image_folder, kind):
    wanted = ImageFolder(image_folder)
    loader = TiedLoader(kind(image_folder), VIEWS, 5)
    assert loader.dataset.samples == wanted.samples
    assert_same(epoch_of(loader), epoch_of(TiedLoader(wanted, VIEWS, 5)))
    tied = TiedDataset(kind(image_folder), VIEWS)
    assert tied.dataset.classes == wanted.classes
    assert len(tied) == 12


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
    for wrong, remedy in [
        (images.astype(np.int16), "0 to 255"),
        (images / 255, "0 to 255"),
        (images[..., :2], r"\(5, 40, 50, 2\) and uint8$"),
        (images[0], "must be an"),
        (images[..., 0], "gray"),
        (images[..., :1], "gray"),
        (np.moveaxis(images, 3, 1), r"images\.transpose\(0, 2, 3, 1\)"),
        (torch.from_numpy(images), r"pass \.numpy\(\) of it"),
        (list(images), "got list"),
        (None, "got NoneType"),
    ]:
        with pytest.raises(TypeError, match=remedy):
            ArrayDataset(wrong, [0] * 5)
    for targets in (None, 5, iter(range(5))):
        with pytest.raises(TypeError, match="targets must be a sequence"):
            ArrayDataset(images, targets)
    with pytest.raises(TypeError, match="ascontiguousarray"):
        ArrayDataset(images[:, ::2], range(5))
