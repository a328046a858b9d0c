"""TiedLoader: state_dict and load_state_dict give exactly the batches that would have come."""

import pickle

import pytest
import torch
from loader_sets import Stream, assert_equal, epoch_of
from timm.data.distributed_sampler import RepeatAugSampler
from timm.data.scheduled_sampler import ScheduledBatchSampler
from torch.utils.data import BatchSampler, RandomSampler
from torch.utils.data.distributed import DistributedSampler
from torchvision.datasets import ImageFolder

from tied_augment import TiedLoader, TwoView, View
from tied_augment.loader.samplers import seeded
from tied_augment.loader.state import State

VIEWS = TwoView(View(16))


def shuffled(dataset, **arguments):
    return TiedLoader(dataset, VIEWS, 5, shuffle=True, seed=3, **arguments)


def random_sampler(dataset, **arguments):
    return TiedLoader(dataset, VIEWS, 5, sampler=RandomSampler(dataset), **arguments)


def own_generator(dataset, **arguments):
    sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(1))
    return TiedLoader(dataset, VIEWS, 5, sampler=sampler, **arguments)


def distributed(dataset, **arguments):
    return TiedLoader(dataset, VIEWS, 2, sampler=DistributedSampler(dataset, 2, 1), **arguments)


def repeated(dataset, **arguments):
    return TiedLoader(dataset, VIEWS, 2, sampler=RepeatAugSampler(dataset, 2, 1), **arguments)


def scheduled(dataset, **arguments):
    sampler = ScheduledBatchSampler(RandomSampler(dataset), [3, 2], seed=1, drop_last=False)
    views = [VIEWS, TwoView(View(24))]
    return TiedLoader(dataset, views, batch_sampler=sampler, **arguments)


def stream(dataset, **arguments):
    return TiedLoader(Stream(dataset.samples), VIEWS, 5, **arguments)


def tell(loader, epoch):
    """As timm's train.py does before an epoch."""
    for sampler in (loader.batch_sampler, loader.sampler):
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)


def ranked(dataset, **arguments):
    place = {"rank": 1, "world_size": 2}
    return TiedLoader(dataset, VIEWS, 2, shuffle=True, seed=3, **place, **arguments)


def ranked_random(dataset, **arguments):
    sampler = RandomSampler(dataset, replacement=True)
    return TiedLoader(dataset, VIEWS, 2, sampler=sampler, rank=0, world_size=2, **arguments)


def ranked_batches(dataset, **arguments):
    batches = BatchSampler(RandomSampler(dataset), 2, drop_last=False)
    return TiedLoader(dataset, VIEWS, batch_sampler=batches, rank=1, world_size=2, **arguments)


def ranked_stream(dataset, **arguments):
    return TiedLoader(Stream(dataset.samples), VIEWS, 2, rank=1, world_size=2, **arguments)


MAKERS = [shuffled, random_sampler, own_generator, distributed, repeated, scheduled, stream]
MAKERS += [ranked, ranked_random, ranked_batches, ranked_stream]


@pytest.mark.parametrize("make", MAKERS)
def test_resume_at_every_batch(image_folder, make):
    dataset = ImageFolder(image_folder)
    total = len(list(make(dataset)))
    assert total >= 3
    for done in range(total + 1):
        torch.manual_seed(done)
        loader = make(dataset, prefetch=3)
        list(loader)
        tell(loader, 1)
        iteration = iter(loader)
        for _ in range(done):
            next(iteration)
        state = pickle.loads(pickle.dumps(loader.state_dict()))
        assert (state["epoch"], state["batches"]) == (1, done)
        following = epoch_of(iteration)
        random_state = torch.get_rng_state()
        tell(loader, 2)
        next_epoch = epoch_of(loader)

        torch.manual_seed(99)
        resumed = make(dataset, threads=1, prefetch=1)
        resumed.load_state_dict(state)
        assert_state(resumed.state_dict(), state)
        assert_equal(epoch_of(resumed), following)
        torch.set_rng_state(random_state)
        tell(resumed, 2)
        assert_equal(epoch_of(resumed), next_epoch)


def assert_state(got, want):
    assert got.keys() == want.keys()
    assert {k: v for k, v in got.items() if k != "random"} == {
        k: v for k, v in want.items() if k != "random"
    }
    assert all(torch.equal(got["random"][k], v) for k, v in want["random"].items())


@pytest.mark.parametrize("make", MAKERS)
def test_states_between_epochs(image_folder, make):
    dataset = ImageFolder(image_folder)
    loader = make(dataset)
    for epoch in range(3):
        torch.manual_seed(epoch)
        state = loader.state_dict()
        assert (state["epoch"], state["batches"]) == (epoch, 0)
        tell(loader, epoch)
        batches = epoch_of(loader)
        resumed = make(dataset)
        resumed.load_state_dict(state)
        tell(resumed, epoch)
        assert_equal(epoch_of(resumed), batches)


def test_resume_after_skipped_samples(image_folder):
    dataset = ImageFolder(image_folder)
    dataset.samples[1] = ("/nowhere/1.jpg", 0)
    loader = TiedLoader(dataset, VIEWS, 3, on_error="skip")
    iteration = iter(loader)
    next(iteration)
    state = loader.state_dict()
    following = epoch_of(iteration)
    resumed = TiedLoader(dataset, VIEWS, 3, on_error="skip")
    resumed.load_state_dict(state)
    assert_equal(epoch_of(resumed), following)


class Failing:
    """A data set whose own code can't read sample 1."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        if index == 1:
            raise OSError("lost")
        return self.samples[index]


def test_resume_after_errors_of_a_data_sets_own_code(image_folder):
    dataset = Failing(ImageFolder(image_folder).samples)
    iteration = iter(loader := TiedLoader(dataset, VIEWS, 3, on_error="skip"))
    next(iteration)
    state = loader.state_dict()
    following = epoch_of(iteration)
    resumed = TiedLoader(dataset, VIEWS, 3, on_error="skip")
    resumed.load_state_dict(state)
    assert_equal(epoch_of(resumed), following)


def test_resuming_twice(image_folder):
    dataset = ImageFolder(image_folder)
    loader = shuffled(dataset)
    whole = epoch_of(loader)
    loader = shuffled(dataset)
    next(iter(loader))
    for done in (1, 2):
        state = loader.state_dict()
        assert state["batches"] == done
        loader = shuffled(dataset)
        loader.load_state_dict(state)
        iteration = iter(loader)
        assert_equal([next(iteration)], whole[done : done + 1])


def test_samplers_that_do_not_repeat_themselves_are_found_out(image_folder):
    dataset = ImageFolder(image_folder)
    loader = TiedLoader(dataset, VIEWS, 2, sampler=[1, 2, 3, 4])
    next(iter(loader))
    state = loader.state_dict()
    for other in ([2, 1, 3, 4], []):
        resumed = TiedLoader(dataset, VIEWS, 2, sampler=other)
        resumed.load_state_dict(state)
        with pytest.raises(RuntimeError, match="the sampler does not give the batches"):
            iter(resumed)
    with pytest.raises(ValueError, match="seed"):
        TiedLoader(dataset, VIEWS, 2, seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match="not a state of a TiedLoader"):
        loader.load_state_dict({})


ACROSS = {
    "shuffle": lambda data, **place: TiedLoader(data, VIEWS, 2, shuffle=True, seed=3, **place),
    "batches": lambda data, **place: TiedLoader(
        data, VIEWS, batch_sampler=BatchSampler(RandomSampler(data), 2, drop_last=False), **place
    ),
    "distributed": lambda data, rank, world_size: TiedLoader(
        data, VIEWS, 2, sampler=DistributedSampler(data, world_size, rank)
    ),
    "stream": lambda data, **place: TiedLoader(Stream(data.samples), VIEWS, 2, **place),
}


@pytest.mark.parametrize("make", ACROSS.values(), ids=ACROSS)
@pytest.mark.parametrize("saving", [0, 1, 2])
def test_every_rank_goes_on_from_the_state_of_one(image_folder, make, saving):
    """Lightning saves the state of rank 0 alone, and gives it to all."""
    dataset = ImageFolder(image_folder)
    ranks = [make(dataset, rank=rank, world_size=3) for rank in range(3)]
    iterations = [iter(loader) for loader in ranks]
    for iteration in iterations:
        next(iteration)
    state = ranks[saving].state_dict()
    for rank, iteration in enumerate(iterations):
        resumed = make(dataset, rank=rank, world_size=3)
        resumed.load_state_dict(state)
        rest = epoch_of(iteration)
        assert rest
        assert_equal(epoch_of(resumed), rest)


def test_another_order_is_found_out_on_every_rank(image_folder):
    dataset = ImageFolder(image_folder)
    order = list(range(len(dataset)))

    def make(order, rank):
        return TiedLoader(dataset, VIEWS, 2, sampler=order, rank=rank, world_size=2)

    saved = make(order, 0)
    next(iter(saved))
    # Rank 1 draws nothing else, but the others do.
    other = make([order[2], *order[1:2], order[0], *order[3:]], 1)
    other.load_state_dict(saved.state_dict())
    with pytest.raises(RuntimeError, match="does not give the batches"):
        iter(other)


@pytest.mark.parametrize(
    ("world_size", "checksum_of", "follows_from_the_seed"),
    [(1, None, False), (2, None, True), (2, 0, False)],
)
def test_the_random_state_of_an_earlier_version(world_size, checksum_of, follows_from_the_seed):
    """Of several processes with one order it was each one's own, and not that of the order."""
    own = torch.Generator().manual_seed(9).get_state()
    fields = {"epoch": 3, "batches": 2, "checksum": 0, "sampler_epoch": 3, "seed": 5}
    fields |= {"version": 4, "world_size": world_size, "checksum_of": checksum_of}
    found = State.of_dict(fields | {"random": {"global": own}}, seed=5, batch_size=7)
    assert found.entries == 2 * 7 * world_size
    wanted = seeded(5, 3) if follows_from_the_seed else own
    assert torch.equal(found.random["global"], wanted)
    assert State.of_dict(fields | {"random": {}}, seed=5, batch_size=7).random == {}
