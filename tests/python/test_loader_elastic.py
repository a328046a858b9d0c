"""TiedLoader: an epoch that was saved on some processes goes on with another number of them."""

from itertools import chain

import pytest
import torch
from datasets import Dataset, Features, Image, Value
from loader_sets import Items, Stream, paths_of
from packed_sets import pack_folder, write_good
from torch.utils.data import BatchSampler, RandomSampler, Subset, WeightedRandomSampler
from torch.utils.data.distributed import DistributedSampler

from tied_augment import PackedDataset, TiedLoader, TwoView, View
from tied_augment.loader import EpochSampler
from tied_augment.loader.data import is_stream

VIEWS = TwoView(View(8))
COUNT = 53
SEED = 3


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Each kind of data set, of the same samples, whose targets are their indices."""
    root = tmp_path_factory.mktemp("elastic")
    write_good(root / "source", COUNT)
    samples = [(path, index) for index, path in enumerate(paths_of(root / "source"))]
    packed = PackedDataset(pack_folder(root / "source", root / "packed"))
    more = [samples[0], *samples, samples[0]]
    features = Features({"image": Image(), "label": Value("int64")})
    columns = {"image": [path for path, _ in samples], "label": list(range(COUNT))}
    arrow = Dataset.from_dict(columns, features=features)
    return {
        "list": samples,
        "python": Items(samples),
        "subset": Subset(more, range(1, COUNT + 1)),
        "packed": packed,
        "hugging face": arrow,
        "hugging face stream": arrow.to_iterable_dataset(num_shards=2),
        "stream": Stream(samples),
    }


@pytest.fixture(scope="module")
def whole_epochs(sets):
    """The samples of the first two epochs of one process."""
    loaders = loaders_of(1, maker(sets["list"], 5))
    return [steps_of(loaders)[0] for _ in range(2)]


def loaders_of(size, make, state=None):
    """Those of all ranks, each with a global random state of its own."""
    loaders = []
    for rank in range(size):
        loader = make(rank=rank, world_size=size)
        if state is not None:
            loader.load_state_dict(state)
        loaders.append(loader)
    return loaders


def begun(loaders):
    iterations = []
    for rank, loader in enumerate(loaders):
        torch.manual_seed(1000 * len(loaders) + rank)
        iterations.append(iter(loader))
    return iterations


def step(iterations):
    """The samples of a step in the order of all: index and views; none at the end."""
    batches = [next(iteration, None) for iteration in iterations]
    if None in batches:
        assert set(map(type, batches)) == {type(None)}, "the ranks' epochs differ in length"
        return []
    ranks = [
        list(zip(indices.tolist(), images.clone().unbind(1), strict=True))
        for images, _, indices in batches
    ]
    return list(chain.from_iterable(zip(*ranks, strict=True)))


def steps_of(loaders, limit=COUNT):
    """The samples of up to `limit` steps, and the state after them."""
    iterations = begun(loaders)
    samples = []
    for _ in range(limit):
        came = step(iterations)
        if not came:
            break
        samples += came
    states = [loader.state_dict() for loader in loaders]
    for state in states[1:]:
        assert_equal_states(state, states[0])
    return samples, states[-1]


def assert_equal_states(one, other):
    assert {**one, "random": None} == {**other, "random": None}
    if one["world_size"] > 1:  # in a single process a sampler draws from the global state
        assert one["random"].keys() == other["random"].keys()
        assert all(torch.equal(other["random"][key], one["random"][key]) for key in one["random"])


def order_of(epoch):
    sampler = EpochSampler(range(COUNT), True, SEED)
    sampler.set_epoch(epoch)
    return list(sampler)


def maker(dataset, batch_size, **options):
    options = {
        "shuffle": not is_stream(dataset),
        "seed": SEED,
        "threads": 1,
        "return_index": True,
    } | options

    def make(**place):
        return TiedLoader(dataset, VIEWS, batch_size, **options, **place)

    return make


def counts(samples, expected):
    """How many samples were to come, came, came again, and did not come."""
    came = [index for index, _ in samples]
    return {
        "expected": len(expected),
        "delivered": len(came),
        "repeated": len(came) - len(set(came)),
        "lost": len(set(expected) - set(came)),
    }


def assert_in_order(samples, wanted, fill):
    """That these are the samples of one process, then `fill` of the first ones again."""
    found = counts(samples, [index for index, _ in wanted])
    print(found)
    total = len(wanted)
    assert found == {"expected": total, "delivered": total + fill, "repeated": fill, "lost": 0}
    assert [index for index, _ in samples] == [index for index, _ in wanted + wanted[:fill]]
    for (_, views), (_, wanted_views) in zip(samples, wanted, strict=False):
        assert torch.equal(views, wanted_views)


@pytest.mark.parametrize("before", range(1, 9))
@pytest.mark.parametrize("after", range(1, 9))
def test_any_number_of_ranks_goes_on_from_any_other(sets, whole_epochs, before, after):
    whole, next_epoch = whole_epochs
    assert [index for index, _ in whole] == order_of(0)
    for batch_size, limit in ((2, 2), (3, 0), (1, COUNT + 1)):
        samples, state = steps_of(loaders_of(before, maker(sets["list"], batch_size)), limit)
        if len(samples) >= COUNT:  # over
            assert_in_order(samples, whole, len(samples) - COUNT)
            assert (state["epoch"], state["batches"]) == (1, 0)
            continue
        make = maker(sets["list"], 3)
        loaders = loaders_of(after, make, state)
        rest, _ = steps_of(loaders)
        assert_in_order(samples + rest, whole, (len(samples) - COUNT) % after)
        # The next epoch is as if the run had never had another number.
        following, _ = steps_of(loaders)
        assert_in_order(following, next_epoch, -COUNT % after)
        assert [len(loader) for loader in loaders] == [len(make(rank=0, world_size=after))] * after


KINDS = ["list", "python", "subset", "packed", "hugging face", "stream", "hugging face stream"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(3, 2, 5), (1, 4, 1), (8, 1, 3), (2, 2, 7)])
def test_every_kind_of_data_set_goes_on_several_times(sets, kind, sizes):
    whole, _ = steps_of(loaders_of(1, maker(sets[kind], 4)))
    assert sorted(index for index, _ in whole) == list(range(COUNT))
    samples, state = [], None
    for size, batch_size, limit in zip(sizes, (2, 3, 2), (2, 2, COUNT), strict=True):
        done = len(samples)
        came, state = steps_of(loaders_of(size, maker(sets[kind], batch_size), state), limit)
        samples += came
    fill = (done - COUNT) % sizes[-1]
    if is_stream(
        sets[kind]
    ):  # samples are numbered as they come, also those that fill the last group
        assert [index for index, _ in samples] == list(range(COUNT + fill))
        samples, fill = samples[:COUNT], 0
    assert_in_order(samples, whole, fill)


@pytest.mark.parametrize("kind", ["list", "stream"])
def test_after_the_last_batch_there_is_nothing_left(sets, kind):
    for before in (1, 3, 8):
        loaders = loaders_of(before, maker(sets[kind], 4))
        _, state = steps_of(loaders, -(-COUNT // before // 4))
        assert state["entries"] >= COUNT
        for after in (1, 2, 3, 8):
            assert steps_of(loaders_of(after, maker(sets[kind], 2), state))[0] == []


@pytest.mark.parametrize("kind", ["list", "stream"])
def test_drop_last_leaves_out_less_than_a_step(sets, kind):
    whole, _ = steps_of(loaders_of(1, maker(sets[kind], 1)))
    for before, after in ((3, 2), (2, 4), (1, 5), (5, 1)):
        samples, state = steps_of(loaders_of(before, maker(sets[kind], 2, drop_last=True)), 2)
        rest, _ = steps_of(loaders_of(after, maker(sets[kind], 3, drop_last=True), state))
        samples += rest
        assert 0 <= COUNT - len(samples) < 3 * after
        assert_in_order(samples, whole[: len(samples)], 0)


SAMPLERS = {
    "random": lambda: RandomSampler(range(COUNT)),
    "own generator": lambda: RandomSampler(
        range(COUNT), generator=torch.Generator().manual_seed(5)
    ),
    "with replacement": lambda: WeightedRandomSampler([1.0] * COUNT, COUNT),
}


@pytest.mark.parametrize("make_sampler", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (4, 2), (2, 2)])
def test_samplers_of_torch_keep_their_order(sets, make_sampler, before, after):
    """Also that of a single process, which follows from torch's global random state."""

    def make(batch_size):
        return lambda **place: maker(
            sets["list"], batch_size, shuffle=False, sampler=make_sampler()
        )(**place)

    whole, _ = steps_of(loaders_of(before, make(2)))
    samples, state = steps_of(loaders_of(before, make(2)), 3)
    rest, second = steps_of(loaders_of(after, make(3), state), 2)
    last, _ = steps_of(loaders_of(3, make(1), second))
    samples += rest
    fill = (len(samples) - COUNT) % 3
    samples += last
    assert len(samples) == COUNT + fill
    for (index, views), (wanted, wanted_views) in zip(samples[:COUNT], whole, strict=False):
        assert index == wanted
        assert torch.equal(views, wanted_views)  # of the same repeat of the sample


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2), (2, 1)])
def test_batches_of_a_batch_sampler_are_dealt_on(sets, before, after):
    def make(**place):
        batches = BatchSampler(EpochSampler(range(COUNT), True, SEED), 4, False)
        return maker(sets["list"], 1, shuffle=False, batch_sampler=batches)(**place)

    def batches_of(loaders, limit):
        iterations = begun(loaders)
        steps = [[next(each)[2].tolist() for each in iterations] for _ in range(limit)]
        return list(chain.from_iterable(steps)), loaders[-1].state_dict()

    order = order_of(0)
    wanted = [order[start : start + 4] for start in range(0, COUNT, 4)]
    done, state = batches_of(loaders_of(before, make), 2)
    steps = -(-(len(wanted) - len(done)) // after)
    rest, _ = batches_of(loaders_of(after, make, state), steps)
    fill = steps * after - (len(wanted) - len(done))
    assert done + rest == wanted + wanted[:fill]


def test_skipped_samples_are_replaced_as_in_one_process(sets):
    samples = list(sets["list"])
    for bad in (0, 7, 8, 30):
        samples[bad] = ("/nowhere", bad)
    options = {"on_error": "skip"}
    whole, _ = steps_of(loaders_of(1, maker(samples, 5, **options)))
    assert len(whole) == COUNT
    for before, after in ((2, 3), (3, 1), (1, 4)):
        came, state = steps_of(loaders_of(before, maker(samples, 2, **options)), 3)
        rest, _ = steps_of(loaders_of(after, maker(samples, 3, **options), state))
        came += rest
        assert [index for index, _ in came[:COUNT]] == [index for index, _ in whole]
        for (_, views), (_, wanted) in zip(came, whole, strict=False):
            assert torch.equal(views, wanted)


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2), (4, 1)])
def test_a_stream_with_bad_samples_loses_no_good_one(sets, before, after):
    samples = list(sets["list"])
    bad = {4, 21, 22, 23, 24, 25, 26, 40}  # 21 to 26: all of some rank's batch of 2
    for number in bad:
        samples[number] = (b"no image", -1)
    options = {"on_error": "skip"}
    came, state = steps_of(loaders_of(before, maker(Stream(samples), 2, **options)), 2)
    rest, _ = steps_of(loaders_of(after, maker(Stream(samples), 2, **options), state))
    found = {index for index, _ in came + rest}
    assert set(range(COUNT)) - bad <= found
    assert not bad & found


def test_an_order_that_is_another_is_found_out(sets):
    def make(order, batch_size=2):
        return maker(sets["list"], batch_size, shuffle=False, sampler=order)

    order = list(range(20))
    _, state = steps_of(loaders_of(2, make(order)), 3)
    for other in ([1, 0, *order[2:]], order[:5], []):
        for size in (1, 2, 3):
            [loader, *_] = loaders_of(size, make(other), state)
            with pytest.raises(RuntimeError, match="does not give the batches"):
                iter(loader)
    # What was not drawn yet may change.
    steps_of(loaders_of(3, make([*order[:12], 40, 41]), state))


class Marked(Stream):
    splits_by_rank = True
    rank, num_replicas = 1, 2


def test_what_splits_by_itself_needs_as_many(sets):
    def make(size):
        sampler = DistributedSampler(range(COUNT), size, 0)
        return TiedLoader(sets["list"], VIEWS, 2, sampler=sampler)

    loader = make(2)
    next(iter(loader))
    state = loader.state_dict()
    for size in (1, 3):
        resumed = make(size)
        resumed.load_state_dict(state)
        with pytest.raises(
            ValueError, match=f"2 processes, but there are {size}, and DistributedSampler splits"
        ):
            iter(resumed)
    resumed = TiedLoader(sets["list"], VIEWS, 2, shuffle=True, rank=0, world_size=3)
    resumed.load_state_dict(state)
    with pytest.raises(RuntimeError, match="does not give the batches"):
        iter(resumed)

    shared = TiedLoader(sets["list"], VIEWS, 2, shuffle=True, rank=0, world_size=2)
    next(iter(shared))
    loader.load_state_dict(shared.state_dict())
    with pytest.raises(RuntimeError, match="does not give the batches"):
        iter(loader)

    loader = TiedLoader(Marked(sets["list"]), VIEWS, 2)
    next(iter(loader))
    state = loader.state_dict()
    stream = Marked(sets["list"])
    stream.num_replicas = 4
    resumed = TiedLoader(stream, VIEWS, 2)
    resumed.load_state_dict(state)
    with pytest.raises(ValueError, match="Marked splits the data by itself"):
        iter(resumed)


@pytest.mark.parametrize("kind", ["list", "stream"])
@pytest.mark.parametrize("size", [1, 3])
def test_states_of_the_version_before_go_on(sets, kind, size):
    """They knew no entries, and had each rank's own random state."""
    torch.manual_seed(0)
    make = maker(sets[kind], 2)
    loaders = loaders_of(size, make)
    iterations = begun(loaders)
    for _ in range(3):
        step(iterations)
    state = loaders[0].state_dict() | {"version": 4}
    del state["entries"]
    if size > 1 and state["random"]:
        state["random"] = {"global": torch.get_rng_state()}
    rest = []
    while came := step(iterations):
        rest += came
    for after in (size, 2):
        resumed, _ = steps_of(loaders_of(after, make, state))
        most = COUNT - 6 * size
        assert [index for index, _ in resumed[:most]] == [index for index, _ in rest[:most]]
        for (_, views), (_, wanted) in zip(resumed[:most], rest, strict=False):
            assert torch.equal(views, wanted)
