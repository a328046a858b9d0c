"""TiedLoader: order, epochs, samplers and the form of batches."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from loader_sets import VIEWS, Items, Stream, assert_same, epoch_of, expected, paths_of
from timm.data.distributed_sampler import RepeatAugSampler
from timm.data.scheduled_sampler import ScheduledBatchSampler
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SubsetRandomSampler,
    default_collate,
)
from torch.utils.data.distributed import DistributedSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

from tied_augment import ArrayDataset, TiedDataset, TiedLoader, TwoView, View
from tied_augment.loader import memory, output


def test_batches_are_the_views_of_the_samples_in_order(image_folder):
    dataset = ImageFolder(image_folder)
    loader = TiedLoader(dataset, VIEWS, 5, seed=7)
    assert len(loader) == 3
    for epoch in range(3):
        batches = epoch_of(loader)
        assert [len(targets) for _, targets in batches] == [5, 5, 2]
        for number, (images, targets) in enumerate(batches):
            indices = range(5 * number, min(5 * number + 5, 12))
            assert torch.equal(images, expected(paths_of(image_folder), indices, epoch, 7))
            assert images.is_contiguous()
            assert targets.tolist() == [dataset.targets[index] for index in indices]
            assert targets.dtype == torch.int64


@pytest.mark.parametrize(("threads", "prefetch"), [(1, 1), (1, 4), (2, 2), (3, 1), (7, 9)])
def test_nothing_depends_on_threads_and_prefetch(image_folder, threads, prefetch):
    arguments = {"batch_size": 5, "shuffle": True, "seed": 3}
    reference = TiedLoader(ImageFolder(image_folder), VIEWS, threads=1, prefetch=1, **arguments)
    loader = TiedLoader(
        ImageFolder(image_folder), VIEWS, threads=threads, prefetch=prefetch, **arguments
    )
    for _ in range(2):
        assert_same(epoch_of(loader), epoch_of(reference))


def test_torchs_samplers_decide_the_order(image_folder):
    dataset = ImageFolder(image_folder)
    paths = paths_of(image_folder)

    def generator():
        return torch.Generator().manual_seed(5)

    makers = [
        lambda: RandomSampler(dataset, generator=generator()),
        lambda: SubsetRandomSampler([1, 5, 7, 9], generator=generator()),
        lambda: DistributedSampler(dataset, 2, 1, seed=4),
        lambda: [3, -1, torch.tensor(5), np.int64(2)],
    ]
    for make in makers:
        loader = TiedLoader(dataset, VIEWS, 4, sampler=make())
        order = [int(index) % 12 for index in make()]
        batches = epoch_of(loader)
        assert sum(len(targets) for _, targets in batches) == len(order)
        for number, (images, _) in enumerate(batches):
            indices = order[4 * number : 4 * number + 4]
            assert torch.equal(images, expected(paths, indices))
    sampler = BatchSampler(range(12), 5, drop_last=True)
    loader = TiedLoader(dataset, VIEWS, batch_sampler=sampler)
    assert len(loader) == len(epoch_of(loader)) == 2
    assert loader.batch_sampler is sampler
    assert len(TiedLoader(dataset, VIEWS, 5, drop_last=True)) == 2


def views_number(path, index, first):
    """Views number `first` and `first` + 1 of a sample in epoch 0."""
    pixels = [VIEWS.first(path, index, view=first + view) for view in range(2)]
    return torch.from_numpy(np.stack(pixels))


@pytest.mark.parametrize("native", [True, False])
def test_samples_that_come_again_get_new_views(image_folder, native):
    dataset = ImageFolder(image_folder)
    paths = paths_of(image_folder)
    source = dataset if native else Items(dataset.samples)
    order = [3, 3, 5, 3, 5, 7]
    for number, (images, _) in enumerate(TiedLoader(source, VIEWS, 2, sampler=order)):
        for position, index in enumerate(order[2 * number : 2 * number + 2]):
            before = order[: 2 * number + position].count(index)
            wanted = views_number(paths[index], index, 2 * before)
            assert torch.equal(images[:, position], wanted)
    seen = []
    for rank in range(2):
        sampler = RepeatAugSampler(dataset, 2, rank, num_repeats=3)
        order = list(sampler)
        loader = TiedLoader(source, VIEWS, len(order), sampler=sampler)
        [(images, _)] = epoch_of(loader)
        for position, index in enumerate(order):
            first = 2 * (2 * order[:position].count(index) + rank)
            assert torch.equal(images[:, position], views_number(paths[index], index, first))
        seen += [(index, first) for index in order]
    assert len({index for index, _ in seen}) < len(seen)


@pytest.mark.parametrize(("views", "most"), [(TwoView(View(8)), 1 << 15), (View(8), 1 << 16)])
@pytest.mark.parametrize("place", [{}, {"rank": 0, "world_size": 2}])
def test_views_do_not_repeat(views, most, place):
    """The core has 16 bits for the number of a view."""
    dataset = ArrayDataset(np.zeros((1, 9, 9, 3), np.uint8), [0])

    def batches(draws):
        options = {"batch_size": 1 << 12, "sampler": [0] * draws}
        return list(TiedLoader(dataset, views, **options, **place))

    assert batches(most)
    with pytest.raises(ValueError, match=f"sample 0 comes more than {most} times in an epoch"):
        batches(most + (2 if place else 1))


def test_scheduled_batches_change_their_size(image_folder):
    dataset = ImageFolder(image_folder)
    choices = [TwoView(View(16)), TwoView(View(32))]
    sampler = ScheduledBatchSampler(range(12), [4, 2], seed=1, drop_last=False)
    loader = TiedLoader(dataset, choices, batch_sampler=sampler)
    assert len(loader) == len(sampler)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        plan = list(sampler)
        assert {choice for batch in plan for _, choice in batch} == {0, 1}
        for batch, (images, _) in zip(plan, loader, strict=True):
            indices = [index for index, _ in batch]
            views = choices[batch[0][1]]
            assert torch.equal(
                images, expected(paths_of(image_folder), indices, epoch, views=views)
            )


def test_epochs_follow_what_is_told(image_folder):
    dataset = ImageFolder(image_folder)
    paths = paths_of(image_folder)
    sampler = DistributedSampler(dataset, 1, 0, shuffle=False)
    loader = TiedLoader(dataset, VIEWS, 12, sampler=sampler)

    first = [expected(paths, [0], epoch) for epoch in range(50)]

    def epoch_now():
        [(images, _)] = epoch_of(loader)
        found = [epoch for epoch in range(50) if torch.equal(images[:, :1], first[epoch])]
        assert len(found) == 1
        return found[0]

    assert [epoch_now() for _ in range(3)] == [0, 1, 2]
    sampler.set_epoch(40)
    assert [epoch_now() for _ in range(2)] == [40, 41]
    loader.set_epoch(7)
    assert sampler.epoch == 7
    assert [epoch_now() for _ in range(2)] == [7, 8]
    tied = TiedDataset(dataset, VIEWS)
    loader = TiedLoader(tied, batch_size=12)
    assert epoch_now() == 0
    loader.dataset.set_epoch(30)
    assert [epoch_now() for _ in range(2)] == [30, 31]
    loader.dataset.set_epoch(40)
    loader.set_epoch(32)  # no news to the sampler
    assert epoch_now() == 32


def test_iterations_that_give_nothing_are_no_epochs(image_folder):
    """Lightning makes an iteration and drops it before the first epoch."""
    reference = TiedLoader(ImageFolder(image_folder), VIEWS, 5, True)
    whole = [epoch_of(reference) for _ in range(3)]
    loader = TiedLoader(ImageFolder(image_folder), VIEWS, 5, True)
    for epoch in range(2):
        iter(loader)
        iter(loader)
        assert_same(epoch_of(loader), whole[epoch])
    iter(loader)
    loader.set_epoch(1)
    assert_same(epoch_of(loader), whole[1])
    iter(loader)
    loader.sampler.set_epoch(0)
    assert_same(epoch_of(loader), whole[0])
    next(iter(loader))
    assert_same(epoch_of(loader), whole[2])
    loader.set_epoch(1)
    next(iter(loader))
    resumed = TiedLoader(ImageFolder(image_folder), VIEWS, 5, True)
    resumed.load_state_dict(loader.state_dict())
    iter(resumed)
    assert_same(epoch_of(resumed), whole[1][1:])


def test_every_epoch_has_an_order_of_its_own(image_folder):
    loader = TiedLoader(ImageFolder(image_folder), VIEWS, 4, shuffle=True, seed=1)
    orders = []
    for _ in range(4):
        iteration = list(iter(loader.sampler))
        list(loader)
        orders.append(tuple(loader.sampler))
        assert sorted(iteration) == list(range(12))
    assert len(set(orders)) == 4
    other = TiedLoader(ImageFolder(image_folder), VIEWS, 4, shuffle=True, seed=2)
    assert tuple(other.sampler) not in orders


def test_two_ranks_see_disjoint_complete_sets(image_folder):
    dataset = ImageFolder(image_folder)
    for shuffle in (False, True):
        seen = []
        for rank in range(2):
            loader = TiedLoader(
                Items([(path, i) for i, path in enumerate(paths_of(image_folder))]),
                VIEWS,
                4,
                sampler=DistributedSampler(dataset, 2, rank, shuffle=shuffle),
            )
            seen.append({i for _, targets in loader for i in targets.tolist()})
        assert not seen[0] & seen[1]
        assert seen[0] | seen[1] == set(range(12))


@pytest.mark.parametrize("output", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_normalised_output_is_torchvisions(image_folder, output, channels_last):
    mean, std = View.mean, View.std
    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    dataset = ImageFolder(image_folder)
    arguments = {"output": output, "mean": mean, "std": std, "channels_last": channels_last}
    loader = TiedLoader(dataset, VIEWS, 5, **arguments)
    plain = epoch_of(TiedLoader(dataset, VIEWS, 5))
    for (images, _), (pixels, _) in zip(loader, plain, strict=True):
        flat = pixels.flatten(0, 1)
        wanted = torch.stack([normalise(p.permute(1, 2, 0).numpy()) for p in flat])
        wanted = wanted.to(getattr(torch, output)).view(pixels.shape)
        assert images.dtype == wanted.dtype
        assert torch.equal(images, wanted)
        for view in images:
            assert view.is_contiguous(memory_format=torch.channels_last) == channels_last


@pytest.mark.parametrize("channels_last", [False, True])
def test_large_batches_are_normalised_alike(channels_last):
    images = np.random.default_rng(0).integers(0, 256, (12, 70, 70, 3), np.uint8)
    dataset = ArrayDataset(images, [0] * 12)
    form = {"output": "float32", "channels_last": channels_last}
    large = epoch_of(TiedLoader(dataset, TwoView(View(257)), 12, **form))  # with streaming stores
    small = epoch_of(TiedLoader(dataset, TwoView(View(257)), 3, **form))
    assert large[0][0].nbytes >= 16 << 20
    assert torch.equal(large[0][0], torch.cat([views for views, _ in small], 1))


def test_the_form_of_a_batch(image_folder):
    dataset = ImageFolder(image_folder)
    plain = epoch_of(TiedLoader(dataset, VIEWS, 5))
    flat = epoch_of(TiedLoader(dataset, VIEWS, 5, layout="flat"))
    last = epoch_of(TiedLoader(dataset, VIEWS, 5, channels_last=True))
    flat_last = epoch_of(TiedLoader(dataset, VIEWS, 5, channels_last=True, layout="flat"))
    twice = epoch_of(TiedLoader(dataset, VIEWS, 5, repeat_targets=True))
    for i, (images, targets) in enumerate(plain):
        assert images.shape[:2] == (2, len(targets))
        assert torch.equal(flat[i][0], images.flatten(0, 1))
        assert torch.equal(last[i][0], images)
        assert torch.equal(flat_last[i][0], images.flatten(0, 1))
        assert flat_last[i][0].is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(twice[i][1], torch.cat([targets, targets]))
    for layout in ("views", "flat"):
        one = epoch_of(TiedLoader(dataset, View(32), 5, layout=layout))
        assert torch.equal(one[0][0], plain[0][0][0])
        options = {"layout": layout, "collate_fn": lambda batch: batch}
        [view, _], *_ = next(iter(TiedLoader(dataset, View(32), 5, **options)))
        assert torch.equal(view, plain[0][0][0, 0])
    collated = list(TiedLoader(dataset, VIEWS, 5, collate_fn=default_collate))
    dataloader = TiedDataset(dataset, VIEWS)
    dataloader.set_epoch(0)
    wanted = list(DataLoader(dataloader, 5))
    for ([first, second], targets), ([one, two], wanted_targets) in zip(
        collated, wanted, strict=True
    ):
        assert torch.equal(first, one)
        assert torch.equal(second, two)
        assert torch.equal(targets, wanted_targets)


def test_torchs_default_device_is_not_used(image_folder):
    wanted = epoch_of(TiedLoader(ImageFolder(image_folder), VIEWS, 5, output="float32"))
    samplers = {"world_size": 2, "rank": 1, "sampler": RandomSampler(range(12))}
    ranked = flat_targets(TiedLoader(ImageFolder(image_folder), VIEWS, 5, **samplers))
    tied = TiedDataset(ImageFolder(image_folder), VIEWS)
    torch.set_default_device("meta")
    try:
        loader = TiedLoader(ImageFolder(image_folder), VIEWS, 5, output="float32")
        images = [images for images, _ in loader]
        options = {"collate_fn": list} | samplers
        again = TiedLoader(ImageFolder(image_folder), VIEWS, 5, **options)
        targets = [target for batch in again for _, target in batch]
        views, _ = tied[0]
    finally:
        torch.set_default_device(None)
    assert all(torch.equal(a, b) for a, (b, _) in zip(images, wanted, strict=True))
    assert targets == ranked
    assert views[0].device.type == "cpu"


def flat_targets(loader):
    return [target for _, targets in loader for target in targets.tolist()]


def test_batches_stay_as_they_are(image_folder):
    """Memory is used again only when no tensor, view or array of a batch is left."""
    loader = TiedLoader(ImageFolder(image_folder), VIEWS, 2, prefetch=3)
    kept, copies, parts = [], [], []
    for _ in range(3):
        for images, _ in loader:
            kept.append(images)
            copies.append(images.clone())
            parts.append(images[1:].numpy())
            del images
    for part, copy in zip(parts, copies, strict=True):
        assert np.array_equal(part, copy[1:].numpy())
    kept.clear()
    for _ in loader:
        pass
    for part, copy in zip(parts, copies, strict=True):
        assert np.array_equal(part, copy[1:].numpy())


def test_pinned_batches_are_views_of_torchs_own_tensor(monkeypatch):
    """Else torch does not know of a transfer from a part of a batch, and lends it too early."""
    made = []

    def empty(*size, pin_memory, **options):
        made.append(torch.zeros(*size, **options))
        return made[-1]

    monkeypatch.setattr(memory.torch, "empty", empty)
    lent = memory.BatchMemory(keep=2, pin=True).lend(2 * 4 * 3 * 8 * 8)
    form = output.Output(torch.uint8, (0,) * 3, (1,) * 3, channels_last=False, layout="flat")
    images = form.images(lent, output.Shape(((8, 8), (8, 8)), single=False), 4)
    assert images.untyped_storage()._cdata == made[0].untyped_storage()._cdata


def test_memory_is_lent_to_several_threads_at_once():
    blocks = memory.BatchMemory(keep=4, pin=False)

    def lend(number):
        for turn in range(2000):
            size = 1 + (number + turn) % 3
            lent = blocks.lend(size)
            assert lent.numel() == size
            lent[:] = number
            assert (lent == number).all()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lend, range(4)))


def test_bad_arguments_are_refused(image_folder):
    dataset = ImageFolder(image_folder)
    cases = [
        (ValueError, "threads", {"threads": 0}),
        (TypeError, "threads", {"threads": 1.5}),
        (ValueError, "prefetch", {"prefetch": 0}),
        (ValueError, "batch_size", {"batch_size": 0}),
        (ValueError, "seed", {"seed": -1}),
        (ValueError, "on_error", {"on_error": "ignore"}),
        (ValueError, "output", {"output": "float64"}),
        (ValueError, "layout", {"layout": "pairs"}),
        (ValueError, "std", {"output": "float32", "std": (1, 0, 1)}),
        (ValueError, "shuffle", {"shuffle": True, "sampler": [1]}),
        (ValueError, "batch_sampler", {"batch_sampler": [[1]], "drop_last": True}),
    ]
    for error, message, arguments in cases:
        with pytest.raises(error, match=message):
            TiedLoader(dataset, VIEWS, **arguments)
    with pytest.raises(TypeError, match="views"):
        TiedLoader(dataset)
    with pytest.raises(ValueError, match="own order"):
        TiedLoader(Stream([]), VIEWS, shuffle=True)
    with pytest.raises(ValueError, match="transform"):
        TiedLoader(ImageFolder(image_folder, transforms.ToTensor()), VIEWS)
    with pytest.raises(IndexError, match="index 12 of a data set of 12"):
        list(TiedLoader(dataset, VIEWS, sampler=[12]))
    loader = TiedLoader(dataset, VIEWS, 4)
    for wrong in (-1, 1 << 32, "1"):
        with pytest.raises((ValueError, TypeError), match="epoch"):
            loader.set_epoch(wrong)
