"""tied_augment.timm.create_loader takes timm's arguments and gives what timm's loader would."""

import inspect

import numpy as np
import pytest
import timm.data
import torch
import torch.distributed as dist
from timm.data import FastCollateMixup, ImageDataset, IterableImageDataset
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.data.loader import PrefetchLoader, fast_collate
from torch.utils.data import BatchSampler, DataLoader, IterableDataset
from torch.utils.data.distributed import DistributedSampler
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, TiedLoader, TwoView, View
from tied_augment.timm import create_loader
from tied_augment.timm.loader import refuse_no_batches

CPU = torch.device("cpu")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def tied(folder, **options):
    arguments = {"input_size": (3, 32, 32), "batch_size": 5, "is_training": True, "device": CPU}
    return create_loader(ImageDataset(str(folder)), **(arguments | options))


def raw(folder, epoch=0, seed=0, **options):
    """The batches that the loader below timm's PrefetchLoader must give."""
    view = View.from_timm(input_size=32, **options)
    loader = TiedLoader(
        ImageDataset(str(folder)),
        TwoView(view),
        5,
        shuffle=True,
        drop_last=True,
        seed=seed,
        repeat_targets=True,
        layout="flat",
    )
    loader.set_epoch(epoch)
    return list(loader)


def normalised(pixels, mean=IMAGENET_DEFAULT_MEAN, std=IMAGENET_DEFAULT_STD):
    """As timm's PrefetchLoader computes it."""
    mean, std = (
        torch.tensor([255 * v for v in values], device=pixels.device).view(1, 3, 1, 1)
        for values in (mean, std)
    )
    return pixels.float().sub_(mean).div_(std)


def test_every_option_of_timm_is_taken(image_folder):
    given = {
        name: parameter.default
        for name, parameter in inspect.signature(timm.data.create_loader).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    del given["is_training"]
    loader = tied(image_folder, **(given | {"device": CPU}))
    assert len(list(loader)) == 2


def test_other_options_are_refused(image_folder):
    with pytest.raises(TypeError, match="threads, wrokers: num_workers is the number of threads"):
        tied(image_folder, wrokers=1, threads=2)


def test_batches_are_normalised_on_the_device_by_timm(image_folder, any_device):
    place = {"device": any_device, "pin_memory": any_device.type == "cuda"}
    options = {"auto_augment": "rand-m9-mstd0.5-inc1", "interpolation": "random"}
    loader = tied(image_folder, mean=MEAN, std=STD, num_workers=2, seed=4, **options, **place)
    assert isinstance(loader, PrefetchLoader)
    for epoch in range(2):
        pixels = raw(image_folder, epoch, 4, mean=MEAN, std=STD, **options)
        for (images, targets), (wanted, wanted_targets) in zip(loader, pixels, strict=True):
            assert torch.equal(images, normalised(wanted.to(any_device), MEAN, STD))
            assert torch.equal(targets, wanted_targets.to(any_device))
            assert targets.dtype == torch.int64
            assert torch.equal(targets[:5], targets[5:])


def test_without_prefetcher_batches_are_normalised_floats(image_folder):
    loader = tied(image_folder, use_prefetcher=False, mean=MEAN, std=STD)
    assert isinstance(loader, TiedLoader)
    images, targets = next(iter(loader))
    assert images.dtype == torch.float32
    assert images.shape == (10, 3, 32, 32)
    wanted = raw(image_folder)[0][0].float().div(255)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (MEAN, STD))
    assert torch.equal(images, wanted.sub_(mean).div_(std))
    assert targets.shape == (10,)


@pytest.mark.parametrize("prefetcher", [True, False])
def test_the_attributes_that_train_py_reads(image_folder, prefetcher):
    loader = tied(image_folder, use_prefetcher=prefetcher)
    assert len(loader) == len(list(loader)) == 2
    assert len(loader.dataset) == 12
    assert isinstance(loader.batch_sampler, BatchSampler)


def test_the_prefetcher_has_the_switch_for_mixing(image_folder):
    loader = tied(image_folder)
    assert loader.mixup_enabled is False
    loader.mixup_enabled = False


@pytest.mark.parametrize("prefetcher", [True, False])
def test_train_py_sets_the_epoch_of_what_has_one(image_folder, prefetcher):
    loader = tied(image_folder, use_prefetcher=prefetcher, mean=(0.0,) * 3, std=(1.0,) * 3)
    # As `_set_loader_epoch` in timm's main branch.
    for owner in (loader.dataset, loader.batch_sampler, loader.sampler):
        if hasattr(owner, "set_epoch"):
            owner.set_epoch(6)
    images, _ = next(iter(loader))
    wanted, _ = raw(image_folder, 6)[0]
    assert torch.equal((255 * images).round().byte(), wanted)


TARGETS = {
    "int": [3, 0, 2],
    "float": [0.5, 1.9, -1.5],
    "bool": [True, False, True],
    "int32": list(np.array([3, 0, 2], np.int32)),
    "float32": list(np.array([3.5, 0.0, 2.0], np.float32)),
    "tensors": list(torch.tensor([0.5, 1.0, 2.9])),
    "dense": list(torch.rand(3, 4)),
    "arrays": list(np.eye(3)),
}


@pytest.mark.parametrize("prefetcher", [True, False])
@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_targets_are_those_of_timms_loader(image_folder, targets, prefetcher):
    images = [image for image, _ in ImageFolder(image_folder)]

    class Pairs(IterableDataset):  # timm does not shuffle these
        transform = None

        def __iter__(self):
            for image, target in zip(images, targets, strict=False):
                yield self.transform(image) if self.transform else image, target

    options = {"use_prefetcher": prefetcher, "device": CPU}
    theirs = timm.data.create_loader(Pairs(), 32, 3, True, num_workers=0, **options)
    [(_, wanted)] = theirs
    [(_, got)] = create_loader(Pairs(), 32, 3, True, **options)
    assert got.dtype == wanted.dtype
    assert torch.equal(got, torch.cat((wanted, wanted)))


def test_a_collate_function_gets_pairs_of_views(image_folder):
    loader = tied(image_folder, use_prefetcher=False, collate_fn=fast_collate)
    loader._output = TiedLoader(loader.dataset, View(32))._output  # uint8, as under the prefetcher
    for (images, targets), (wanted, wanted_targets) in zip(loader, raw(image_folder), strict=True):
        assert torch.equal(images, wanted)
        assert torch.equal(targets, wanted_targets)


def test_mixing_while_collating(image_folder):
    class FirstViewMixed(FastCollateMixup):
        def __call__(self, batch, _=None):
            return super().__call__([(first, target) for (first, _), target in batch])

    mixup = FirstViewMixed(mixup_alpha=1.0, num_classes=3, mode="batch")
    loader = tied(image_folder, batch_size=4, collate_fn=mixup)
    assert loader.mixup_enabled is True
    images, targets = next(iter(loader))
    assert (images.shape, targets.shape) == ((4, 3, 32, 32), (4, 3))
    loader.mixup_enabled = False
    assert mixup.mixup_enabled is False


@pytest.mark.parametrize("prefetcher", [True, False])
def test_random_erasing_spares_the_first_view_with_re_split(image_folder, prefetcher):
    erasing = {"re_prob": 1.0, "re_split": True, "re_mode": "const"}
    erased = tied(image_folder, use_prefetcher=prefetcher, **erasing)
    plain = tied(image_folder, use_prefetcher=prefetcher)
    for (images, _), (wanted, _) in zip(erased, plain, strict=True):
        assert torch.equal(images[:5], wanted[:5])
        assert not torch.equal(images[5:], wanted[5:])


def test_scheduled_sizes(image_folder):
    loader = tied(
        image_folder, input_size_choices=[16, (24, 32)], batch_size_choices=[4, 2], num_batches=6
    )
    shapes = {tuple(images.shape) for images, _ in loader}
    assert shapes == {(8, 3, 16, 16), (4, 3, 24, 32)}
    assert loader.batch_sampler.average_batch_size == 3
    assert len(loader) == 6


# timm leaves its files open.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_evaluation_is_timms_own(image_folder):
    dataset = ImageDataset(str(image_folder))
    ours = create_loader(dataset, (3, 32, 32), 5, device=CPU, num_workers=0)
    theirs = timm.data.create_loader(dataset, (3, 32, 32), 5, device=CPU, num_workers=0)
    for (images, _), (wanted, _) in zip(ours, theirs, strict=True):
        assert torch.equal(images, wanted)


def test_streams(image_folder):
    class Reader:
        def __init__(self):
            self.epochs = []
            self.items = list(ImageFolder(image_folder))

        def __iter__(self):
            return iter(self.items)

        def __len__(self):
            return len(self.items)

        def set_epoch(self, epoch):
            self.epochs.append(epoch)

    reader = Reader()
    dataset = IterableImageDataset("", reader=reader)
    loader = create_loader(dataset, 32, 5, True, device=CPU)
    assert len(loader) == 2
    for _ in range(2):
        assert [len(targets) for _, targets in loader] == [10, 10]
    assert reader.epochs == [0, 1]


def test_streams_have_no_scheduled_sizes(image_folder):
    dataset = IterableImageDataset("", reader=list(ImageFolder(image_folder)))
    with pytest.raises(TypeError, match="map-style"):
        create_loader(dataset, 32, 5, True, input_size_choices=[16])


def test_distributed_samplers(image_folder, tmp_path):
    dist.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        loader = tied(image_folder, distributed=True)
        assert isinstance(loader.sampler, DistributedSampler)
        loader.sampler.set_epoch(3)
        assert len(list(loader)) == 2
        repeated = tied(image_folder, distributed=True, num_aug_repeats=3)
        assert len(list(repeated)) == len(repeated) == 2
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_aug_repeats": 3}, ValueError, "num_aug_repeats needs several processes"),
        ({"num_aug_splits": 2}, ValueError, "num_aug_splits is not supported"),
        ({"batch_size": 13}, ValueError, "batch_size 13 is larger than the 12 samples of the data"),
        ({"num_workers": "2"}, TypeError, "num_workers must be an integer, got '2'"),
        ({"num_workers": -1}, ValueError, "num_workers must be from 0 "),
        ({"mean": 0.5}, ValueError, "mean must be 3 numbers, one per channel, got 0.5"),
        ({"mean": (0.5,)}, ValueError, "mean must be 3 numbers, one per channel"),
        ({"std": (1, 1, 0)}, ValueError, "std must be above 0"),
        ({"re_prob": 2}, ValueError, "re_prob must be a probability"),
        ({"re_prob": 0.5, "re_mode": "x"}, ValueError, "re_mode must be "),
        ({"input_size_choices": 32}, TypeError, "must be a list of sizes, got 32"),
        ({"input_size_choices": []}, ValueError, "must have at least one size"),
        ({"input_size_choices": [32], "batch_size_choices": [4, 2]}, ValueError, "of one length"),
        ({"second": "rand-m9"}, TypeError, "second must be a View, got .rand-m9."),
    ],
)
def test_wrong_arguments_are_refused(image_folder, options, error, message):
    with pytest.raises(error, match=message):
        tied(image_folder, **options)


@pytest.mark.parametrize("dataset", ["folder", ["a.jpg"], None])
def test_what_is_no_data_set_is_refused(dataset):
    with pytest.raises(TypeError, match="dataset must be one, as timm"):
        create_loader(dataset, 32, 4, True)


def test_a_data_set_with_views_is_refused(image_folder):
    dataset = TiedDataset(ImageFolder(image_folder), TwoView(View(32)))
    with pytest.raises(TypeError, match="a TiedDataset, which has views of its own: give create_l"):
        create_loader(dataset, 32, 4, True)


@pytest.mark.parametrize("prefetcher", [True, False])
def test_arrays_tensors_and_names_are_taken(image_folder, prefetcher):
    options = {"use_prefetcher": prefetcher, "device": "cpu"}
    wanted = tied(image_folder, mean=MEAN, std=STD, **options)
    loader = tied(image_folder, mean=np.array(MEAN), std=torch.tensor(STD), **options)
    for (images, _), (expected, _) in zip(loader, wanted, strict=True):
        assert torch.allclose(images, expected)


def test_the_share_of_a_process_must_fill_a_batch(image_folder):
    dataset = ImageDataset(str(image_folder))
    sampler = DistributedSampler(dataset, num_replicas=2, rank=0)
    loader = DataLoader(dataset, 7, sampler=sampler, drop_last=True)
    with pytest.raises(ValueError, match="than the 6 that each process gets of the 12 samples"):
        refuse_no_batches(loader, 7)
    refuse_no_batches(DataLoader(dataset, 6, sampler=sampler, drop_last=True), 6)


def test_the_second_view_may_have_other_options(image_folder):
    second = View.from_timm(input_size=32, color_jitter=None)
    loader = tied(image_folder, second=second, same_crop=True, use_prefetcher=False)
    wanted = tied(image_folder, color_jitter=None, same_crop=True, use_prefetcher=False)
    (images, _), (clean, _) = next(iter(loader)), next(iter(wanted))
    assert torch.equal(images[5:], clean[5:])
    assert not torch.equal(images[:5], clean[:5])
