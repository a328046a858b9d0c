"""TiedLoader among several processes: each gets its part, and all make equally many steps."""

import logging

import numpy as np
import pytest
import torch
import torch.distributed as dist
from loader_sets import VIEWS, Items, Stream, epoch_of, expected, paths_of
from timm.data import ImageDataset, IterableImageDataset
from timm.data.distributed_sampler import OrderedDistributedSampler, RepeatAugSampler
from timm.data.scheduled_sampler import ScheduledBatchSampler
from torch.utils.data import (
    BatchSampler,
    ChainDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler
from torchvision.datasets import ImageFolder

from tied_augment import TarShards, TiedLoader, TwoView, View
from tied_augment.loader import EpochSampler
from tied_augment.timm import create_loader


@pytest.fixture
def numbered(image_folder):
    """12 samples whose targets are their indices."""
    return [(path, index) for index, path in enumerate(paths_of(image_folder))]


def targets_of(loader):
    return [targets.tolist() for _, targets in loader]


def flat(lists):
    return [each for several in lists for each in several]


def padded(order, size):
    return (order * size)[: -(-len(order) // size) * size]


def ranks_of(size, make):
    return [make(rank=rank, world_size=size) for rank in range(size)]


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_take_turns_in_one_order(image_folder, numbered, native, size, shuffle):
    source = Items(numbered)
    if native:
        source = ImageFolder(image_folder)
        source.samples = source.imgs = numbered
    loaders = ranks_of(size, lambda **r: TiedLoader(source, VIEWS, 2, shuffle, seed=4, **r))
    sampler = EpochSampler(range(12), shuffle, seed=4)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        order = padded(list(sampler), size)
        parts = [targets_of(loader) for loader in loaders]
        for rank, (loader, part) in enumerate(zip(loaders, parts, strict=True)):
            assert flat(part) == order[rank::size]
            assert len(part) == len(loader) == len(parts[0])
    dropping = {"batch_size": 2, "shuffle": shuffle, "drop_last": True, "seed": 4}
    for loader in ranks_of(size, lambda **r: TiedLoader(source, VIEWS, **dropping, **r)):
        assert list(map(len, targets_of(loader))) == [2] * (12 // size // 2)
        assert len(loader) == 12 // size // 2


def test_more_ranks_than_samples(numbered):
    loaders = ranks_of(5, lambda **r: TiedLoader(Items(numbered[:2]), VIEWS, 2, **r))
    assert list(map(targets_of, loaders)) == [[[0]], [[1]], [[0]], [[1]], [[0]]]
    dropping = ranks_of(5, lambda **r: TiedLoader(Items(numbered[:2]), VIEWS, drop_last=True, **r))
    assert list(map(targets_of, dropping)) == [[]] * 5


def test_a_samples_views_are_those_of_one_process(numbered):
    order = EpochSampler(range(12), seed=1)
    for rank in range(2):
        loader = TiedLoader(Items(numbered), VIEWS, 3, True, seed=1, rank=rank, world_size=2)
        mine = list(order)[rank::2]
        paths = [path for path, _ in numbered]
        for number, (images, _) in enumerate(loader):
            assert torch.equal(images, expected(paths, mine[3 * number : 3 * number + 3], seed=1))


class Drawing(Sampler):
    """Draws from torch's global state at each index."""

    def __len__(self):
        return 11

    def __iter__(self):
        return (int(torch.randint(12, ())) for _ in range(11))


SAMPLERS = {
    "random": lambda: RandomSampler(range(12)),
    "with replacement": lambda: RandomSampler(range(12), replacement=True, num_samples=15),
    "weighted": lambda: WeightedRandomSampler([1.0] * 12, 9),
    "drawing": Drawing,
    "list": lambda: [5, 3, 3, -1, 0],
}


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
def test_samplers_that_know_of_no_ranks_are_split(numbered, make):
    size = 2
    epochs = []
    for rank in range(size):
        torch.manual_seed(rank)
        state = torch.get_rng_state()
        options = {"seed": 3, "rank": rank, "world_size": size}
        loader = TiedLoader(Items(numbered), VIEWS, 2, sampler=make(), **options)
        epochs.append([flat(targets_of(loader)) for _ in range(2)])
        assert len(loader) == -(-len(epochs[-1][0]) // 2)
        assert torch.equal(torch.get_rng_state(), state)
    for zero, one in zip(*epochs, strict=True):
        assert len(zero) == len(one) == -(-len(make()) // size)
    if isinstance(make(), RandomSampler) and not make().replacement:
        assert sorted(epochs[0][0] + epochs[1][0]) == list(range(12))
    if not isinstance(make(), list):
        assert epochs[0][0] != epochs[0][1]
    else:
        assert epochs[0][0] == [5, 3, 0]
        assert epochs[1][0] == [3, 11, 5]


def test_samples_that_come_again_on_another_rank_get_new_views(numbered):
    order = [3, 3, 5, 3, 5, 3, 7]
    for rank in range(2):
        loader = TiedLoader(Items(numbered), VIEWS, 9, sampler=order, rank=rank, world_size=2)
        [(images, targets)] = epoch_of(loader)
        whole = [*order, 3]
        assert targets.tolist() == whole[rank::2]
        for position, index in enumerate(targets.tolist()):
            before = whole[: 2 * position + rank].count(index)
            path = numbered[index][0]
            wanted = [VIEWS.first(path, index, 0, 0, 2 * before + view) for view in range(2)]
            assert torch.equal(images[:, position], torch.from_numpy(np.stack(wanted)))


@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_of_a_batch_sampler_take_turns(numbered, drop_last):
    batches = BatchSampler(range(12), 5, drop_last)
    options = {"batch_sampler": batches, "world_size": 2}
    loaders = [TiedLoader(Items(numbered), VIEWS, rank=rank, **options) for rank in range(2)]
    first, second, third = [*range(5)], [*range(5, 10)], [10, 11]
    wanted = [[first], [second]] if drop_last else [[first, third], [second, first]]
    assert list(map(targets_of, loaders)) == wanted
    assert [len(loader) for loader in loaders] == [len(each) for each in wanted]
    assert loaders[0].batch_sampler is batches
    scheduled = ScheduledBatchSampler(SequentialSampler(range(12)), [3, 2], drop_last=False)
    views = [TwoView(View(16)), TwoView(View(32))]
    for rank in range(2):
        loader = TiedLoader(
            Items(numbered), views, batch_sampler=scheduled, rank=rank, world_size=2
        )
        plan = list(scheduled)[rank::2]
        for batch, (images, targets) in zip(plan, loader, strict=False):
            assert targets.tolist() == [index for index, _ in batch]
            assert images.shape[-1] == (16, 32)[batch[0][1]]


class Fixed(list):
    """A sampler of a user's own, with attributes that say that it is split already."""

    def __init__(self, **attributes):
        super().__init__([4, 2])
        vars(self).update(attributes)


@pytest.mark.parametrize("given", [{}, {"rank": 1, "world_size": 2}, {"world_size": 1}])
def test_what_is_distributed_already_is_not_split_again(numbered, monkeypatch, given):
    ranks(monkeypatch, 1, 2)
    one = (2, 1)
    samplers = [
        DistributedSampler(range(12), *one, seed=4),
        OrderedDistributedSampler(range(12), *one),
        RepeatAugSampler(range(12), *one, num_repeats=2),
        Fixed(world_size=2, rank=1),
        Fixed(num_processes=2, process_index=1),
        Fixed(splits_by_rank=True),
    ]
    for sampler in samplers:
        loader = TiedLoader(Items(numbered), VIEWS, 5, sampler=sampler, **given)
        assert flat(targets_of(loader)) == list(sampler)
        assert loader.sampler is sampler
        assert f"rank 1 of 2, split by {type(sampler).__name__}" in repr(loader)
    batches = BatchSampler(samplers[0], 4, False)
    loader = TiedLoader(Items(numbered), VIEWS, batch_sampler=batches, **given)
    assert targets_of(loader) == list(batches)
    scheduled = ScheduledBatchSampler(samplers[0], [3, 2], drop_last=False)
    views = [TwoView(View(16)), TwoView(View(32))]
    loader = TiedLoader(Items(numbered), views, batch_sampler=scheduled, **given)
    assert len(list(loader)) == len(list(scheduled)) == len(loader)


def test_accelerates_batches_are_not_split_again(numbered, monkeypatch):
    ranks(monkeypatch, 1, 2)
    frameworks = "the frameworks are no dependencies of the tests"
    accelerate = pytest.importorskip("accelerate.data_loader", reason=frameworks)
    batches = accelerate.BatchSamplerShard(BatchSampler(range(12), 2, False), 2, 1)
    loader = TiedLoader(Items(numbered), VIEWS, batch_sampler=batches)
    assert targets_of(loader) == list(batches) == [[2, 3], [6, 7], [10, 11]]


def test_timms_loader_splits_where_timm_does(image_folder, monkeypatch):
    ranks(monkeypatch, 1, 2)
    options = {"use_prefetcher": False, "distributed": False}
    alone = create_loader(ImageDataset(str(image_folder)), 32, 4, True, **options)
    assert len(list(alone)) == len(alone) == 3
    options["distributed"] = True
    shared = create_loader(ImageDataset(str(image_folder)), 32, 2, True, **options)
    assert len(list(shared)) == len(shared) == 3


def test_two_splits_that_disagree_are_refused(numbered, tmp_path):
    sampler = DistributedSampler(range(12), 3, 1)
    with pytest.raises(ValueError, match=r"DistributedSampler splits the data .* as rank 1 of 3"):
        TiedLoader(Items(numbered), VIEWS, sampler=sampler, rank=1, world_size=2)
    with pytest.raises(ValueError, match=r"TarShards splits the data .* give rank and world_size"):
        TiedLoader(TarShards("a.tar"), VIEWS, rank=1, world_size=2)
    shards = TarShards(["a.tar", "b.tar"], rank=1, world_size=2)
    assert "rank 1 of 2, split by TarShards" in repr(TiedLoader(shards, VIEWS))
    for wrong, error, message in [
        ({"rank": 0}, ValueError, "go together"),
        ({"world_size": 2}, ValueError, "go together"),
        ({"rank": 2, "world_size": 2}, ValueError, "rank must be from 0 to world_size - 1 = 1"),
        ({"rank": -1, "world_size": 2}, ValueError, "rank must be from 0"),
        ({"rank": 0, "world_size": 0}, ValueError, "world_size must be from 1"),
        ({"rank": "0", "world_size": 2}, TypeError, "rank must be an integer"),
    ]:
        with pytest.raises(error, match=message):
            TiedLoader(Items(numbered), VIEWS, **wrong)


class SizedStream(Stream):
    def __len__(self):
        return len(self.items)


@pytest.mark.parametrize("drop_last", [False, True])
def test_streams_are_split_sample_by_sample(numbered, drop_last):
    paths = [path for path, _ in numbered]
    options = {"batch_size": 2, "drop_last": drop_last, "seed": 2, "world_size": 5}
    loaders = [TiedLoader(SizedStream(numbered), VIEWS, rank=rank, **options) for rank in range(5)]
    whole = [*range(10)] if drop_last else [*range(12), 0, 1, 2]
    for rank, loader in enumerate(loaders):
        assert "a stream that must have the same order on all ranks" in repr(loader)
        batches = epoch_of(loader)
        mine = whole[rank::5]
        assert flat(targets.tolist() for _, targets in batches) == mine
        assert len(batches) == len(loader) == (1 if drop_last else 2)
        # Numbered by the place in the whole stream.
        places = [rank + 5 * turn for turn in range(len(mine))]
        images = torch.cat([images for images, _ in batches], 1)
        pixels = VIEWS.batch([paths[target] for target in mine], places, 0, 2)
        assert torch.equal(images, torch.from_numpy(pixels))
    short = [TiedLoader(Stream(numbered[:1]), VIEWS, 2, rank=r, world_size=3) for r in range(3)]
    assert list(map(targets_of, short)) == [[[0]]] * 3
    assert targets_of(TiedLoader(Stream([]), VIEWS, rank=1, world_size=2)) == []


def ranks(monkeypatch, rank, size):
    """As in a process group."""
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: rank)
    monkeypatch.setattr(dist, "get_world_size", lambda: size)


class Marked(SizedStream):
    splits_by_rank = True


def test_streams_that_split_themselves_are_not_split_again(numbered, monkeypatch):
    class Reader:
        def __iter__(self):
            return iter([(path, target) for path, target in numbered])

        def __len__(self):
            return 12

    ranks(monkeypatch, 1, 2)
    timms = IterableImageDataset("", reader=Reader())
    timms.transform = lambda path: path
    monkeypatch.setattr(IterableImageDataset, "__iter__", lambda self: iter(self.reader))
    for stream in (Marked(numbered), timms, ChainDataset([Marked(numbered)])):
        loader = TiedLoader(stream, VIEWS, 5)
        assert flat(targets_of(loader)) == [*range(12)], type(stream)
        assert f"rank 1 of 2, split by {type(stream).__name__}" in repr(loader)
    assert len(TiedLoader(Marked(numbered), VIEWS, 5)) == 3
    for stream in (Stream(numbered), ChainDataset([Stream(numbered)])):
        assert flat(targets_of(TiedLoader(stream, VIEWS, 5))) == [1, 3, 5, 7, 9, 11]
    [(images, _)] = epoch_of(TiedLoader(Marked(numbered), VIEWS, 12))
    pixels = VIEWS.batch([path for path, _ in numbered], range(1, 25, 2), 0, 0)
    assert torch.equal(images, torch.from_numpy(pixels))


def test_a_batch_without_a_good_sample_is_no_step_less(numbered, caplog):
    """Else the other ranks would wait for ever for this one."""
    bad = [(b"no image", -1)]
    # Rank 1 has the odd places: its second batch is bad.
    samples = [*numbered[:5], *bad, numbered[6], *bad, *numbered[8:10]]
    steps = []
    for rank in range(2):
        options = {"rank": rank, "world_size": 2, "on_error": "skip"}
        loader = TiedLoader(Stream(samples), VIEWS, 2, **options)
        steps.append(targets_of(loader))
        begun, resumed = (TiedLoader(Stream(samples), VIEWS, 2, **options) for _ in range(2))
        next(iter(begun))
        resumed.load_state_dict(begun.state_dict())
        assert targets_of(resumed) == steps[-1][1:]
    assert steps == [[[0, 2], [4, 6], [8]], [[1, 3], [3, 1], [9]]]
    hopeless = TiedLoader(Stream(bad * 60), VIEWS, 2, on_error="skip", rank=0, world_size=2)
    with pytest.raises(RuntimeError, match="20 samples in a row"):
        list(hopeless)


def test_the_process_group_is_asked_at_each_iteration(numbered, monkeypatch, caplog):
    loader = TiedLoader(Items(numbered), VIEWS, 5)
    assert len(loader) == 3
    assert "rank 0 of 1: all samples" in repr(loader)
    ranks(monkeypatch, 1, 2)
    assert len(loader) == 2
    assert "rank 1 of 2: 1 of every 2 samples" in repr(loader)
    with caplog.at_level(logging.INFO, "tied_augment.loader"):
        assert targets_of(loader) == [[1, 3, 5, 7, 9], [11]]
        list(loader)
    [line] = [record.getMessage() for record in caplog.records]
    assert "rank 1 of 2: 1 of every 2 samples" in line
    assert "Items" in line
    everything = TiedLoader(Items(numbered), VIEWS, 12, world_size=1)
    assert targets_of(everything) == [[*range(12)]]


def test_processes_without_a_group_are_warned_of(numbered, monkeypatch, caplog):
    def warnings(loader):
        caplog.clear()
        list(loader)
        list(loader)
        return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]

    monkeypatch.setenv("WORLD_SIZE", "2")
    [warning] = warnings(TiedLoader(Items(numbered), VIEWS, 6))
    assert "WORLD_SIZE is 2, but there is no process group" in warning
    assert "init_process_group" in warning
    assert warnings(TiedLoader(Items(numbered), VIEWS, 6, world_size=1)) == []
    assert warnings(TiedLoader(Items(numbered), VIEWS, 6, rank=0, world_size=2)) == []
    sampler = DistributedSampler(range(12), 2, 1)
    assert warnings(TiedLoader(Items(numbered), VIEWS, 6, sampler=sampler)) == []
    ranks(monkeypatch, 0, 3)
    [warning] = warnings(TiedLoader(Items(numbered), VIEWS, 6, sampler=sampler))
    assert "for 2 processes, but there are 3" in warning
    for value in ("1", "", "two"):
        monkeypatch.setenv("WORLD_SIZE", value)
        monkeypatch.setattr(dist, "is_initialized", lambda: False)
        assert warnings(TiedLoader(Items(numbered), VIEWS, 6)) == []
