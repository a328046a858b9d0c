"""TiedDataset over the data sets that people have, in the loaders that they use."""

import logging
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from loader_sets import VIEWS, Items, paths_of
from PIL import Image
from timm.data import ImageDataset, create_loader
from timm.data.loader import fast_collate
from torch.utils.data import DataLoader, IterableDataset, Subset
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, TiedLoader, TwoView, View


def expected(paths, epoch=0, seed=0, views=VIEWS):
    return torch.from_numpy(views.batch(paths, range(len(paths)), epoch, seed))


def in_epoch(dataset, epoch, **arguments):
    tied = TiedDataset(dataset, VIEWS, **arguments)
    tied.set_epoch(epoch)
    return tied


def images_of(tied):
    """(2, N, 3, h, w) and the targets."""
    items = [tied[i] for i in range(len(tied))]
    return torch.stack([torch.stack(views) for views, _ in items], 1), [t for _, t in items]


def test_image_folder_and_timm_give_the_files_views(image_folder):
    paths = paths_of(image_folder)
    for dataset in (ImageFolder(image_folder), ImageDataset(str(image_folder))):
        images, targets = images_of(in_epoch(dataset, 3, seed=5))
        assert images.dtype == torch.uint8
        assert torch.equal(images, expected(paths, epoch=3, seed=5))
        assert targets == [target for _, target in ImageFolder(image_folder).samples]


def test_any_data_set_of_images(image_folder):
    paths = paths_of(image_folder)[:4]
    kinds = {
        "path": paths,
        "bytes": [Path(path).read_bytes() for path in paths],
        "pil": [Image.open(path).convert("RGB") for path in paths],
        "array": [np.asarray(Image.open(path).convert("RGB")) for path in paths],
    }
    for name, samples in kinds.items():
        tied = in_epoch(Items([(sample, i, name) for i, sample in enumerate(samples)]), 0)
        items = tied.__getitems__(range(4))
        assert [rest for _, *rest in items] == [[i, name] for i in range(4)]
        images = torch.stack([torch.stack(item[0]) for item in items], 1)
        assert torch.equal(images, expected(paths)), name


def test_timm_readers_of_tar_files_give_bytes(image_folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "images"), "tar", image_folder)
    dataset = ImageDataset(archive, reader="tar")
    read = [dataset[i][0] for i in range(len(dataset))]
    images, targets = images_of(in_epoch(dataset, 0))
    assert torch.equal(images, expected(read))
    assert targets == [dataset[i][1] for i in range(len(dataset))]
    dataset.reader.tar_state.tf.close()  # timm leaves it open


def test_a_subset_is_read_natively_and_keyed_by_its_own_indices(image_folder):
    subset = Subset(ImageFolder(image_folder), [7, 2])
    images, _ = images_of(in_epoch(subset, 0))
    paths = paths_of(image_folder)
    assert torch.equal(images, expected([paths[7], paths[2]]))


def test_target_transforms_apply(image_folder):
    dataset = ImageFolder(image_folder, target_transform=lambda target: target + 10)
    assert {target for _, target in TiedDataset(dataset, VIEWS)} == {10, 11, 12}
    dataset = ImageDataset(str(image_folder), target_transform=lambda target: target + 10)
    assert {target for _, target in TiedDataset(dataset, VIEWS)} == {10, 11, 12}


def test_code_of_the_users_own_is_not_gone_around(image_folder):
    class Half(ImageFolder):
        def __getitem__(self, index):
            image, target = super().__getitem__(index)
            return image.reduce(2), target

    dataset = Half(image_folder)
    images, _ = images_of(in_epoch(dataset, 0))
    assert torch.equal(images, expected([dataset[i][0] for i in range(len(dataset))]))
    loaded = ImageFolder(image_folder, loader=lambda path: Image.new("RGB", (50, 50), "red"))
    images, _ = images_of(in_epoch(loaded, 0))
    assert (images[:, :, 0] == 255).all()
    assert not images[:, :, 1:].any()


@pytest.mark.parametrize("workers", [0, 2])
def test_default_collate_gives_two_batches(image_folder, workers):
    tied = in_epoch(ImageFolder(image_folder), 1)
    loader = DataLoader(tied, batch_size=5, num_workers=workers)
    first, second = zip(*(views for views, _ in loader), strict=True)
    assert torch.equal(torch.stack((torch.cat(first), torch.cat(second))), images_of(tied)[0])


def test_timms_fast_collate_gives_view_major(image_folder):
    tied = in_epoch(ImageDataset(str(image_folder)), 1)
    images, targets = fast_collate(tied.__getitems__(range(6)))
    assert torch.equal(images, images_of(tied)[0][:, :6].flatten(0, 1))
    assert targets.tolist() == [0, 0, 0, 0, 1, 1] * 2


@pytest.mark.parametrize("workers", [0, 1])
def test_works_in_timms_create_loader(image_folder, workers):
    tied = in_epoch(ImageDataset(str(image_folder)), 2)
    loader = create_loader(
        tied,
        input_size=(3, 32, 32),
        batch_size=4,
        is_training=True,
        num_workers=workers,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        device=torch.device("cpu"),
        persistent_workers=workers > 0,
    )
    assert tied.transform is VIEWS
    seen = []
    for images, targets in loader:
        assert images.shape == (8, 3, 32, 32)
        assert torch.equal(targets[:4], targets[4:])
        seen.append((images * 255).round().byte().unflatten(0, (2, 4)))
    seen = torch.cat(seen, 1)
    # The order is shuffled: look every pair up among the pairs of this epoch.
    pairs = {pair.numpy().tobytes() for pair in images_of(tied)[0].transpose(0, 1)}
    assert {pair.numpy().tobytes() for pair in seen.transpose(0, 1)} == pairs


def test_set_epoch_reaches_persistent_workers(image_folder):
    tied = TiedDataset(ImageFolder(image_folder), VIEWS, seed=1)
    loader = DataLoader(tied, batch_size=12, num_workers=1, persistent_workers=True)
    for epoch in (0, 1, 7):
        tied.set_epoch(epoch)
        [(views, _)] = loader
        assert torch.equal(torch.stack(views), expected(paths_of(image_folder), epoch, 1))


@pytest.mark.parametrize("workers", [0, 1])
def test_without_set_epoch_every_pass_has_new_views_that_torchs_seed_repeats(image_folder, workers):
    tied = TiedDataset(ImageFolder(image_folder), VIEWS)

    def passes():
        torch.manual_seed(0)
        loader = DataLoader(tied, batch_size=6, num_workers=workers)
        return [torch.cat([torch.stack(views, 1) for views, _ in loader]) for _ in range(2)]

    one, two = passes()
    assert not torch.equal(one, two)
    again = passes()
    assert torch.equal(one, again[0])
    assert torch.equal(two, again[1])


def test_timm_before_additional_features(image_folder):
    dataset = ImageDataset(str(image_folder))
    del dataset.additional_features
    assert TiedDataset(dataset, VIEWS)[11][1] == dataset.reader.samples[11][1]


def test_views_can_be_replaced_through_transform(image_folder, caplog):
    tied = in_epoch(ImageFolder(image_folder), 0)
    tied.transform = other = TwoView(View(16))
    assert tied.transform is tied.views is other
    assert tied[0][0][0].shape == (3, 16, 16)
    with caplog.at_level(logging.INFO):
        tied.transform = np.asarray
    assert "does not use the transform" in caplog.text
    assert tied.transform is other


def test_a_bad_file_raises_with_its_path(image_folder, tmp_path):
    folder = tmp_path / "images"
    shutil.copytree(image_folder, folder)
    bad = folder / "class1" / "01.jpg"
    bad.write_bytes(bad.read_bytes()[:-200])
    with pytest.raises(OSError, match=r"class1/01\.jpg: cannot decode JPEG: .*truncated"):
        images_of(in_epoch(ImageFolder(folder), 0))


def test_a_bad_file_is_skipped(image_folder, tmp_path, caplog):
    folder = tmp_path / "images"
    shutil.copytree(image_folder, folder)
    (folder / "class1" / "01.jpg").write_bytes(b"no image")  # index 4 of 12
    tied = in_epoch(ImageFolder(folder), 0, on_error="skip")
    items = tied.__getitems__([3, 4, 5])
    assert "Skipped sample 4:" in caplog.text
    assert "class1/01.jpg" in caplog.text
    assert torch.equal(items[1][0][0], items[2][0][0])
    good = in_epoch(ImageFolder(image_folder), 0)
    assert torch.equal(items[0][0][0], good[3][0][0])


def test_too_many_bad_files_end_the_run(tmp_path):
    (tmp_path / "class").mkdir()
    for number in range(12):
        (tmp_path / "class" / f"{number}.jpg").write_bytes(b"no image")
    with pytest.raises(RuntimeError, match="20 samples in a row could not be read"):
        TiedDataset(ImageFolder(tmp_path), VIEWS, on_error="skip")[0]


def test_loader_and_data_set_give_up_alike(tmp_path, caplog):
    (tmp_path / "class").mkdir()
    for number in range(30):
        (tmp_path / "class" / f"{number:02}.jpg").write_bytes(b"no image")
    texts = []
    for read in (
        lambda: TiedDataset(ImageFolder(tmp_path), VIEWS, on_error="skip")[3],
        lambda: list(TiedLoader(ImageFolder(tmp_path), VIEWS, sampler=[3], on_error="skip")),
    ):
        caplog.clear()
        with pytest.raises(RuntimeError) as error:
            read()
        warnings = [(r.name, r.args[0]) for r in caplog.records]
        assert warnings == [("tied_augment.loader", number) for number in range(3, 23)]
        texts.append(str(error.value))
    assert (
        texts[0]
        == texts[1]
        == ("20 samples in a row could not be read, the last one being number 22")
    )


def test_pickles_with_its_epoch(image_folder):
    tied = in_epoch(ImageFolder(image_folder), 4)
    twin = pickle.loads(pickle.dumps(tied))
    assert torch.equal(images_of(twin)[0], images_of(tied)[0])
    assert repr(twin) == repr(tied)


def test_indices_are_checked(image_folder):
    tied = in_epoch(ImageFolder(image_folder), 0)
    assert torch.equal(tied[-1][0][0], tied[11][0][0])
    assert torch.equal(tied[np.int64(3)][0][0], tied[3][0][0])
    with pytest.raises(IndexError, match="index 12 of a data set of 12 samples"):
        tied[12]


def test_refuses_what_makes_no_sense(image_folder):
    folder = ImageFolder(image_folder)

    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    for arguments, error, message in [
        ((Stream(), VIEWS), TypeError, "Stream is iterable-style"),
        ((iter([]), VIEWS), TypeError, "must be map-style"),
        ((folder, [View(32)]), TypeError, "views must be a TwoView, Views or a View, got list"),
        ((folder, VIEWS, -1), ValueError, "seed must be from 0"),
        ((folder, VIEWS, 0, 1, "ignore"), ValueError, "on_error must be 'raise' or 'skip'"),
        ((ImageFolder(image_folder, np.asarray), VIEWS), ValueError, "own transform would be"),
        ((ImageDataset(str(image_folder), input_img_mode="L"), VIEWS), ValueError, "made of RGB"),
        ((ImageDataset(str(image_folder), transform=np.asarray), VIEWS), ValueError, "own transf"),
    ]:
        with pytest.raises(error, match=message):
            TiedDataset(*arguments)
    tied = TiedDataset(folder, VIEWS)
    with pytest.raises(ValueError, match="epoch must be from 0"):
        tied.set_epoch(-1)
    with pytest.raises(TypeError, match=r"expected the bytes of an image file.*Tensor"):
        TiedDataset(Items([(torch.zeros(3, 8, 8), 0)]), VIEWS)[0]
