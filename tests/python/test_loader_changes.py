"""TiedLoader: what is changed after it was made takes effect at the next epoch, or is refused."""

import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from loader_sets import VIEWS, Items, assert_same, epoch_of, paths_of
from PIL import Image
from timm.data import ImageDataset
from torch.utils.data import Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from tied_augment import ArrayDataset, TiedDataset, TiedLoader, TwoView, View


def change_indices(dataset):
    dataset.indices = [5, 0]


def grow(dataset):
    dataset.indices = list(range(12))


def change_samples(dataset):
    dataset.samples = dataset.samples[3:9]


def change_in_place(dataset):
    dataset.samples[2] = (dataset.samples[7][0], 99)


def change_loader(dataset):
    dataset.loader = lambda path: Image.new("RGB", (40, 40), "red")


def change_timm(dataset):
    dataset.reader.samples = dataset.reader.samples[::-1]


def change_arrays(dataset):
    dataset.images = dataset.images[:3, ::-1].copy()
    dataset.targets = [7, 8, 9]


def change_list(dataset):
    dataset[1], dataset[4:] = dataset[0], []


CHANGES = [
    (lambda folder: Subset(ImageFolder(folder), [1, 2, 3]), change_indices),
    (lambda folder: Subset(ImageFolder(folder), [1, 2, 3]), grow),
    (lambda folder: Subset(Items(ImageFolder(folder).samples), [1, 2, 3]), grow),
    (ImageFolder, change_samples),
    (ImageFolder, change_in_place),
    (ImageFolder, change_loader),
    (lambda folder: ImageDataset(str(folder)), change_timm),
    (lambda _: ArrayDataset(np.arange(5 * 9 * 9 * 3).reshape(5, 9, 9, 3).astype("u1"), range(5)),
     change_arrays),
    (lambda folder: ImageFolder(folder).samples, change_list),
]  # fmt: skip


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("make", "change"), CHANGES)
def test_changes_of_a_data_set_are_followed(image_folder, make, change, tied):
    dataset = make(image_folder)
    loader = TiedLoader(TiedDataset(dataset, VIEWS) if tied else dataset, VIEWS, 4, True)
    before = epoch_of(loader)
    change(dataset)
    loader.set_epoch(0)
    assert len(loader) == -(-len(dataset) // 4)
    after = epoch_of(loader)
    assert_same(after, epoch_of(TiedLoader(dataset, VIEWS, 4, True)))
    assert len(after) != len(before) or any(
        not torch.equal(one[0], two[0]) for one, two in zip(before, after, strict=True)
    )


def test_another_data_set_in_a_tied_one_is_followed(image_folder):
    tied = TiedDataset(ImageFolder(image_folder), VIEWS)
    loader = TiedLoader(tied, batch_size=4)
    list(loader)
    tied.dataset = Items(ImageFolder(image_folder).samples[:6])
    loader.set_epoch(0)
    assert_same(epoch_of(loader), epoch_of(TiedLoader(tied.dataset, VIEWS, 4)))
    assert loader.stats()["reading"] == "python"


def test_a_transform_that_comes_late_is_refused(image_folder):
    """It would be bypassed."""
    for dataset in (ImageFolder(image_folder), ImageDataset(str(image_folder))):
        loader = TiedLoader(dataset, VIEWS, 4)
        list(loader)
        dataset.transform = transforms.Grayscale(3)
        with pytest.raises(ValueError, match="own transform would be bypassed"):
            iter(loader)


def test_the_views_of_a_tied_data_set_may_be_replaced(image_folder):
    tied = TiedDataset(ImageFolder(image_folder), VIEWS)
    loader, own = TiedLoader(tied, batch_size=4), TiedLoader(tied, VIEWS, 4)
    other = TwoView(View(16, hflip=0.0))
    tied.transform = other
    assert loader.views == [other]
    assert "16" in repr(loader)
    assert_same(epoch_of(loader), epoch_of(TiedLoader(tied.dataset, other, 4)))
    assert_same(epoch_of(own), epoch_of(TiedLoader(tied.dataset, VIEWS, 4)))


@pytest.mark.parametrize(
    "name", sorted(inspect.signature(TiedLoader).parameters.keys() - {"unknown"})
)
def test_arguments_can_not_be_changed(image_folder, name):
    """As in torch's DataLoader."""
    loader = TiedLoader(ImageFolder(image_folder), VIEWS, 4)
    with pytest.raises(ValueError, match=f"{name} can't be changed once the TiedLoader is made"):
        setattr(loader, name, 8)
    loader.mixup_enabled = False
    assert len(epoch_of(loader)) == 3


def test_an_archive_is_read_at_its_old_places_until_they_change(image_folder, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "images"), "tar", image_folder))
    dataset = ImageDataset(str(archive))
    loader = TiedLoader(dataset, VIEWS, 4)
    whole = epoch_of(loader)
    assert loader.stats()["reading"] == "native"
    loader.set_epoch(0)
    assert_same(epoch_of(loader), whole)
    dataset.reader.samples = dataset.reader.samples[4:]
    dataset.reader.targets = dataset.reader.targets[4:]
    loader.set_epoch(0)
    assert [targets.tolist() for _, targets in loader] == [t.tolist() for _, t in whole[1:]]
    assert len(paths_of(image_folder)) == 12
