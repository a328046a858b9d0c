"""TiedLoader, TiedDataset, EpochSampler: what arguments may be, and what is said of wrong ones."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import ready_process
import torch
from loader_sets import VIEWS, Items, Stream, assert_same, epoch_of
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    RandomSampler,
    Subset,
    TensorDataset,
)
from torchvision import transforms
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, TiedLoader, TwoView, View
from tied_augment.loader import EpochSampler

WRONG = [
    ({"views": None}, TypeError, r"views must be a TwoView such as TwoView\(View\(224\)\), got N"),
    ({"views": 128}, TypeError, "views must be .* got 128"),
    ({"views": View}, TypeError, "views must be .* got <class"),
    ({"views": transforms.ToTensor()}, TypeError, "got ToTensor.*counterparts in View's arguments"),
    ({"views": transforms.Compose([])}, TypeError, "got a Compose.*in View's arguments"),
    ({"views": [VIEWS, VIEWS]}, ValueError, r"give TwoView\(first, second\)"),
    ({"views": []}, TypeError, r"got \[\]"),
    ({"batch_size": 0}, ValueError, "batch_size must be from 1"),
    ({"batch_size": "128"}, TypeError, "batch_size must be an integer, got '128'"),
    ({"batch_size": 1.5}, TypeError, "batch_size must be an integer, got 1.5"),
    ({"batch_size": None}, TypeError, "batch_size must be an integer"),
    ({"shuffle": "yes"}, TypeError, "shuffle must be True or False, got 'yes'"),
    ({"sampler": 5}, TypeError, "sampler must be a sampler or a list, got 5"),
    ({"sampler": RandomSampler}, TypeError, "sampler must be a sampler or a list, got <class"),
    ({"sampler": {1, 2}}, TypeError, "sampler must be a sampler or a list"),
    ({"sampler": iter([1])}, TypeError, "sampler must begin anew in each epoch, got a list_iter"),
    ({"sampler": [[1, 2]]}, TypeError, r"a sampler must give indices, .* got \[1, 2\]"),
    ({"sampler": BatchSampler(range(4), 2, False)}, TypeError, "a sampler must give indices"),
    ({"batch_sampler": [1, 2]}, TypeError, "a batch_sampler must give lists of indices, got 1"),
    ({"batch_sampler": iter([[1]])}, TypeError, "batch_sampler must begin anew"),
    ({"drop_last": "no"}, TypeError, "drop_last must be True or False"),
    ({"drop_last": 1}, TypeError, "drop_last must be True or False, got 1"),
    ({"output": "float32", "std": (58.4, 57.1, 57.4)}, ValueError, "std must be .* at most 1"),
    ({"threads": 0}, ValueError, "threads must be from 1"),
    ({"threads": "4"}, TypeError, "threads must be an integer"),
    ({"prefetch": 0}, ValueError, "prefetch must be from 1"),
    ({"pin_memory": "yes"}, TypeError, "pin_memory must be True or False"),
    ({"seed": -1}, ValueError, "seed must be from 0"),
    ({"seed": 1.0}, TypeError, "seed must be an integer"),
    ({"on_error": "ignore"}, ValueError, "on_error must be 'raise' or 'skip', got 'ignore'"),
    ({"on_error": []}, ValueError, "on_error must be 'raise' or 'skip'"),
    ({"output": "float"}, ValueError, "output must be one of 'uint8', 'float32', .* got 'float'"),
    ({"output": torch.float32}, ValueError, "output must be one of .* got torch.float32"),
    ({"layout": "pairs"}, ValueError, "layout must be 'flat' or 'views', got 'pairs'"),
    ({"channels_last": torch.channels_last}, TypeError, "channels_last must be True or False"),
    ({"repeat_targets": "yes"}, TypeError, "repeat_targets must be True or False"),
    ({"collate_fn": 5}, TypeError, "collate_fn must be a function"),
    ({"mean": (0.5,) * 3}, ValueError, "mean and std have no effect on output='uint8'"),
    ({"std": (0.5,) * 3}, ValueError, "mean and std have no effect on output='uint8'"),
    ({"output": "float32", "mean": (123.0, 116.0, 103.0)}, ValueError, "mean must be from 0 to 1"),
    ({"output": "float32", "mean": 0.5}, ValueError, "mean must be 3 numbers, one per channel"),
    ({"output": "float32", "mean": "abc"}, ValueError, "mean must be 3 numbers"),
    ({"output": "float32", "mean": torch.zeros(3, 1, 1)}, ValueError, "mean must be 3 numbers"),
    ({"output": "float32", "std": (1, 0, 1)}, ValueError, "std must be above 0"),
    ({"output": "float32", "std": (1, float("nan"), 1)}, ValueError, "std must be finite"),
    ({"num_workers": 4}, TypeError, "no argument 'num_workers': use threads="),
    ({"prefetch_factor": 4}, TypeError, "'prefetch_factor': use prefetch="),
    ({"generator": None}, TypeError, "'generator': use seed="),
    ({"worker_init_fn": None}, TypeError, "'worker_init_fn': leave it out"),
    ({"transform": VIEWS}, TypeError, "'transform': use views="),
    ({"batchsize": 4}, TypeError, "no argument 'batchsize': do you mean batch_size="),
    ({"pin_memmory": True}, TypeError, "no argument 'pin_memmory': do you mean pin_memory="),
    ({"nonsense": 4}, TypeError, "no argument 'nonsense'$"),
    ({"normalize": 1}, TypeError, "no argument 'normalize'$"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG)
def test_wrong_arguments_of_a_loader(image_folder, arguments, error, message):
    with pytest.raises(error, match=message):
        list(TiedLoader(ImageFolder(image_folder), **({"views": VIEWS} | arguments)))


def test_every_argument_of_dataloader_is_known_or_explained(image_folder):
    ours = set(inspect.signature(TiedLoader).parameters)
    for name in set(inspect.signature(DataLoader).parameters) - ours:
        with pytest.raises(TypeError, match=f"no argument '{name}': (use|leave it out)"):
            TiedLoader(ImageFolder(image_folder), VIEWS, **{name: 1})


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, np.float32])
def test_three_numbers_of_any_kind(image_folder, kind):
    mean, std = (0.5, 0.25, 0.125), (0.25, 0.5, 1.0)
    given = {"mean": kind(mean), "std": kind(std)}
    view = View(32, **given)
    assert view == View(32, mean=mean, std=std)
    assert hash(view) == hash(View(32, mean=mean, std=std))
    folder = ImageFolder(image_folder)
    loaders = [TiedLoader(folder, VIEWS, 4, output="float32", **g) for g in (given, {})]
    wanted = TiedLoader(folder, VIEWS, 4, output="float32", mean=mean, std=std)
    assert_same(epoch_of(loaders[0]), epoch_of(wanted))
    assert not torch.equal(next(iter(loaders[1]))[0], next(iter(wanted))[0])


class NoLength:
    def __getitem__(self, index):
        return index


PICTURE = np.zeros((4, 4, 3), np.uint8)
DATA_SETS = [
    (None, TypeError, "got None"),
    (ImageFolder, TypeError, "got the class ImageFolder: give an instance"),
    (DataLoader([(PICTURE, 1)]), TypeError, "got a DataLoader: give its .dataset instead"),
    ({"train": [1]}, TypeError, "got a dict of 'train': give one of its values"),
    ({1}, TypeError, "got a set, which has no order"),
    (b"x", TypeError, "got bytes"),
    (5, TypeError, "must be .*map-style.* got int"),
    (NoLength(), TypeError, "must be map-style, with __getitem__ and __len__, got NoLength"),
    ("nowhere", FileNotFoundError, "'nowhere', which does not exist"),
    (Path("nowhere.tar"), FileNotFoundError, "'nowhere.tar', which does not exist"),
    (__file__, ValueError, "must be an image folder, .* is a file: give the folder"),
    ([], ValueError, "dataset is an empty list"),
    (iter([(PICTURE, 1)]), TypeError, "begin anew in each epoch, got a list_iterator"),
    (((PICTURE, i) for i in range(3)), TypeError, "begin anew in each epoch, got a generator"),
    (np.zeros((2, 4, 4, 3), np.uint8), TypeError, r"bare ndarray: .* ArrayDataset\(images, targ"),
    (torch.zeros(2, 3, 4, 4), TypeError, "bare Tensor: .* ArrayDataset"),
    (
        ["a.jpg", "b.jpg"],
        TypeError,
        r"\(image, target\) expected, got str 'a.jpg'; for images without targets pair each with",
    ),
    ([PICTURE], TypeError, r"\(image, target\) expected, got ndarray; for images without targets"),
    ([{"image": PICTURE, "label": 1}], TypeError, "got a dict of 'image', 'label': name the keys"),
    ([(torch.zeros(3, 4, 4), 1)], TypeError, "got a torch tensor: remove the .* own ToTensor"),
]


@pytest.mark.parametrize("make", [TiedLoader, TiedDataset])
@pytest.mark.parametrize(("dataset", "error", "message"), DATA_SETS)
def test_what_is_no_data_set(make, dataset, error, message):
    with pytest.raises(error, match=message):
        make(dataset, VIEWS)


def first_of(make, dataset):
    made = make(dataset, VIEWS)
    return made[0] if make is TiedDataset else next(iter(made))


@pytest.mark.parametrize("make", [TiedLoader, TiedDataset])
def test_items_that_only_show_when_they_are_read(make, image_folder):
    path = str(image_folder / "class0" / "00.jpg")
    tensors = TensorDataset(torch.zeros(2, 3, 8, 8), torch.zeros(2))
    for dataset, message in [
        (Items([path]), r"\(image, target\) expected, got str '.*00.jpg'; for images without"),
        (Items([Path(path)]), "expected, got PosixPath .*00.jpg"),
        (Items([{"image": path}]), "expected, got a dict of 'image'"),
        (Items([None]), "expected, got NoneType"),
        (Items([[]]), "expected, got list"),
        (tensors, "remove the data set's own ToTensor, or use ArrayDataset"),
    ]:
        with pytest.raises(TypeError, match=message):
            first_of(make, dataset)
    with pytest.raises(ValueError, match="remove it, that is make the ImageFolder without transf"):
        make(ImageFolder(image_folder, transforms.ToTensor()), VIEWS)


@pytest.mark.parametrize("make", [TiedLoader, TiedDataset])
def test_folders_that_are_no_image_folders(make, tmp_path, image_folder):
    with pytest.raises(ValueError, match=r"has no class folders.*such as cat/1\.jpg"):
        make(image_folder / "class0", VIEWS)
    for split in ("train", "val"):
        (tmp_path / split).symlink_to(image_folder)
    with pytest.raises(ValueError, match="has the folders train, val, which look like splits"):
        make(str(tmp_path), VIEWS)
    assert len(make(str(tmp_path / "train"), VIEWS)) == 12
    (tmp_path / "a.tar").touch()
    with pytest.raises(ValueError, match=r"is a file: for a tar file use TarShards\(path\)"):
        make(tmp_path / "a.tar", VIEWS)


def test_folders_need_torchvision(image_folder):
    code = """
import sys
sys.modules["torchvision"] = None
from tied_augment import TiedLoader, TwoView, View
try:
    TiedLoader(sys.argv[1], TwoView(View(32)))
except ImportError as error:
    print(error)
"""
    run = ready_process.run("-c", code, image_folder)
    assert run.returncode == 0, run.stderr
    assert "a folder is read as torchvision's ImageFolder, which needs torchvision" in run.stdout


def test_wrong_arguments_of_a_data_set(image_folder):
    folder = ImageFolder(image_folder)
    for arguments, error, message in [
        ({"views": None}, TypeError, r"TwoView, Views or a View, got None: give TwoView\(View"),
        ({"views": [View(32)]}, TypeError, r"got list: give Views\(\*views\)"),
        ({"views": TwoView}, TypeError, "got the class TwoView"),
        ({"seed": "1"}, TypeError, "seed must be an integer"),
        ({"threads": 0}, ValueError, "threads must be from 1"),
        ({"threads": "2"}, TypeError, "threads must be an integer"),
        ({"on_error": None}, ValueError, "on_error must be"),
    ]:
        with pytest.raises(error, match=message):
            TiedDataset(folder, **({"views": VIEWS} | arguments))
    tied = TiedDataset(folder, VIEWS)
    with pytest.raises(TypeError, match="makes its own views"):
        TiedDataset(tied, VIEWS)
    with pytest.raises(TypeError, match="epoch must be an integer"):
        tied.set_epoch("1")
    for index in ("0", 1.5, slice(2)):
        with pytest.raises(TypeError, match="index must be an integer, got"):
            tied[index]
    with pytest.raises(TypeError, match="give it to TiedLoader"):
        TiedDataset(Stream([]), VIEWS)


@pytest.mark.parametrize("make", [TiedLoader, TiedDataset])
def test_a_tied_data_set_is_not_split_or_joined(make, image_folder):
    tied = TiedDataset(ImageFolder(image_folder), VIEWS)
    for around in (
        Subset(tied, [1, 2]),
        ConcatDataset([tied, tied]),
        Subset(Subset(tied, [1]), [0]),
    ):
        with pytest.raises(TypeError, match="split or join data sets before TiedDataset"):
            make(around, VIEWS)
    with pytest.raises(TypeError, match="split or join data sets before TiedDataset"):
        first_of(make, Items([tied[0]]))


def test_wrong_arguments_of_a_sampler():
    for arguments, error, message in [
        ((5,), TypeError, "dataset must have a length, got int"),
        ((range(3), "yes"), TypeError, "shuffle must be True or False"),
        ((range(3), True, -1), ValueError, "seed must be from 0"),
        ((range(3), True, "1"), TypeError, "seed must be an integer"),
    ]:
        with pytest.raises(error, match=message):
            EpochSampler(*arguments)
    with pytest.raises(ValueError, match="epoch must be from 0"):
        EpochSampler(range(3)).set_epoch(-1)
    assert repr(EpochSampler(range(3), seed=4)) == "EpochSampler(shuffle=True, seed=4)"
    assert repr(EpochSampler(range(3))) == "EpochSampler(shuffle=True, seed=0)"


def test_an_epoch_without_a_batch_is_warned_of(image_folder, caplog):
    loader = TiedLoader(ImageFolder(image_folder), VIEWS, 128, drop_last=True)
    assert list(loader) == list(loader) == []
    [warning] = [record.getMessage() for record in caplog.records]
    assert "an epoch has no batch" in warning
    assert TiedLoader(ImageFolder(image_folder), VIEWS, 8, drop_last=np.True_).drop_last is True
