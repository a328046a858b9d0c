"""Any number of views in `TiedLoader` and `TiedDataset`: layouts, sizes, memory, a single view."""

import numpy as np
import pytest
import torch
from loader_sets import Items, Stream, paths_of
from PIL import Image
from timm.data.loader import fast_collate
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder

from tied_augment import (
    TiedDataset,
    TiedLoader,
    TiedLoss,
    TiedModel,
    TwoView,
    View,
    Views,
    render,
)

VIEW = View(32, auto_augment="rand-m9-mstd0.5-inc1")
SMALL = View((20, 12), scale=(0.05, 0.25), vflip=0.5)
THREE = Views(VIEW, VIEW, View(32, hflip=1.0))
CROPS = Views(*2 * [VIEW], *3 * [SMALL], View(32))
# The runs of consecutive views of one size in CROPS.
RUNS = [slice(0, 2), slice(2, 5), slice(5, 6)]
DTYPES = {"uint8": torch.uint8, "float32": torch.float32, "bfloat16": torch.bfloat16}


def normalised(pixels, dtype):
    """What ToTensor and Normalize make of uint8 images, in `dtype`."""
    if dtype == torch.uint8:
        return pixels
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    return ((pixels.float() / 255 - mean) / std).to(dtype)


def made(views, paths, indices, output="uint8"):
    """Each view of a batch, by its single `View`."""
    chosen = [paths[index] for index in indices]
    batches = [view.batch(chosen, indices, view=v) for v, view in enumerate(views.views)]
    return [normalised(torch.from_numpy(batch), DTYPES[output]) for batch in batches]


def same(got, wanted):
    assert len(got) == len(wanted) > 0
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("output", DTYPES)
def test_views_of_several_sizes_are_a_list(image_folder, output, channels_last, threads):
    paths = paths_of(image_folder)
    options = {"output": output, "channels_last": channels_last, "threads": threads}
    loader = TiedLoader(ImageFolder(image_folder), CROPS, 5, **options)
    flat = TiedLoader(ImageFolder(image_folder), CROPS, 5, layout="flat", **options)
    starts = []
    for start, (images, targets), (runs, _) in zip((0, 5, 10), loader, flat, strict=True):
        indices = range(start, min(start + 5, 12))
        wanted = made(CROPS, paths, indices, output)
        assert isinstance(images, list)
        same(images, wanted)
        same(runs, [torch.cat(wanted[run]) for run in RUNS])
        assert len(targets) == len(indices)
        order = torch.channels_last if channels_last else torch.contiguous_format
        assert all(view.is_contiguous(memory_format=order) for view in [*images, *runs])
        # One block of memory, each view after the other, for both layouts.
        assert len({view.untyped_storage().data_ptr() for view in images}) == 1
        pieces = [view.numel() for view in images]
        assert [view.storage_offset() for view in images] == np.cumsum([0, *pieces[:-1]]).tolist()
        assert images[0].untyped_storage().nbytes() == sum(pieces) * images[0].itemsize
        starts.append(images)
    assert len(starts) == 3


@pytest.mark.parametrize("output", DTYPES)
def test_views_of_one_size_are_one_tensor(image_folder, output):
    paths = paths_of(image_folder)
    dataset = ImageFolder(image_folder)
    loader = TiedLoader(dataset, THREE, 4, output=output, repeat_targets=True)
    flat = TiedLoader(dataset, THREE, 4, output=output, layout="flat")
    pairs = TiedLoader(dataset, TwoView(VIEW), 4, output=output)
    batches = zip(range(0, 12, 4), loader, flat, pairs, strict=True)
    for start, (images, targets), (rows, once), (both, _) in batches:
        wanted = made(THREE, paths, range(start, start + 4), output)
        assert images.shape == (3, 4, 3, 32, 32)
        same(images, wanted)
        assert torch.equal(rows, images.flatten(0, 1))
        assert torch.equal(both, images[:2])
        assert torch.equal(targets, torch.cat([once] * 3))


def test_one_of_several_and_a_single_view_differ_by_an_axis(image_folder):
    dataset = ImageFolder(image_folder)
    single, _ = next(iter(TiedLoader(dataset, VIEW, 4)))
    one, _ = next(iter(TiedLoader(dataset, Views(VIEW), 4)))
    assert one.shape == (1, 4, 3, 32, 32)
    assert torch.equal(one[0], single)


def test_repeated_targets_fit_the_rows_of_several_sizes(image_folder):
    dataset = ImageFolder(image_folder)
    options = {"layout": "flat", "repeat_targets": True, "shuffle": True}
    images, targets = next(iter(TiedLoader(dataset, CROPS, 4, **options)))
    assert len(targets) == sum(len(run) for run in images) == 6 * 4
    assert torch.equal(targets, targets[:4].repeat(6))


def test_collate_fn_gets_every_view(image_folder):
    paths = paths_of(image_folder)
    wanted = made(CROPS, paths, range(4))
    for layout in ("views", "flat"):
        options = {"layout": layout, "collate_fn": list, "return_index": True}
        items = next(iter(TiedLoader(ImageFolder(image_folder), CROPS, 4, **options)))
        for position, (views, target, index) in enumerate(items):
            assert isinstance(views, tuple)
            same(views, [view[position] for view in wanted])
            assert (target, index) == (ImageFolder(image_folder).samples[position][1], position)


def test_streams_and_replaced_samples(image_folder, tmp_path):
    paths = paths_of(image_folder)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    items = [(path, number) for number, path in enumerate(paths)]
    items[2] = (str(bad), 2)
    for dataset in (Items(items), Stream(items)):
        loader = TiedLoader(dataset, CROPS, 6, on_error="skip", return_index=True)
        batches = list(loader)
        assert loader.skipped == 1
        for images, targets, index in batches:
            assert index.dtype == torch.int64
            assert torch.equal(index, targets)
            same(images, made(CROPS, paths, index.tolist()))
        assert 2 not in batches[0][2]
    tied = TiedDataset(Items(items), CROPS, on_error="skip", return_index=True)
    tied.set_epoch(0)
    views, target, index = tied[2]
    assert target == index == 3
    same(views, [view[0] for view in made(CROPS, paths, [3])])


def test_a_data_set_of_views_in_a_dataloader(image_folder):
    paths = paths_of(image_folder)
    for views in (THREE, CROPS):
        tied = TiedDataset(ImageFolder(image_folder), views, return_index=True)
        tied.set_epoch(0)
        images, _, index = next(iter(DataLoader(tied, 5)))
        same(images, made(views, paths, range(5)))
        assert index.tolist() == [0, 1, 2, 3, 4]
        assert index.dtype == torch.int64
        ours = next(iter(TiedLoader(tied, batch_size=5)))
        same(ours[0], images)
        assert torch.equal(ours[2], index)
        assert len(next(iter(TiedLoader(tied, batch_size=5, return_index=False)))) == 2
    tied = TiedDataset(ImageFolder(image_folder), THREE)
    tied.set_epoch(0)
    rows, _ = next(iter(DataLoader(tied, 5, collate_fn=fast_collate)))
    assert torch.equal(rows, torch.cat(made(THREE, paths, range(5))))


def test_a_data_set_of_a_single_view(image_folder):
    tied = TiedDataset(ImageFolder(image_folder), VIEW)
    tied.set_epoch(0)
    wanted = torch.from_numpy(VIEW.batch(paths_of(image_folder), range(12)))
    image, target = tied[7]
    assert torch.equal(image, wanted[7])
    assert target == ImageFolder(image_folder).samples[7][1]
    images, _ = next(iter(DataLoader(tied, 5)))
    assert torch.equal(images, wanted[:5])
    assert torch.equal(next(iter(TiedLoader(tied, batch_size=5)))[0], wanted[:5])
    items = next(iter(TiedLoader(tied, batch_size=5, collate_fn=list)))
    assert torch.equal(torch.stack([image for image, _ in items]), wanted[:5])
    tied.transform = TwoView(VIEW)
    assert len(tied[0][0]) == 2
    with pytest.raises(TypeError, match=r"got list: give Views\(\*views\)"):
        TiedDataset(ImageFolder(image_folder), [VIEW, VIEW])


def test_indices_are_those_of_the_data_set(image_folder):
    subset = Subset(ImageFolder(image_folder), [9, 4, 2, 7])
    batches = list(TiedLoader(subset, THREE, 2, shuffle=True, return_index=True, seed=3))
    found = torch.cat([index for *_, index in batches])
    assert sorted(found.tolist()) == [0, 1, 2, 3]
    for images, _, index in batches:
        chosen = [paths_of(image_folder)[subset.indices[i]] for i in index.tolist()]
        wanted = THREE.batch(chosen, index.tolist(), seed=3)
        assert torch.equal(images, torch.from_numpy(wanted))
    kept = batches[0][2].clone()
    batches[1][2].fill_(-1)  # each is its own
    assert torch.equal(batches[0][2], kept)


def test_a_list_of_views_is_refused_with_the_remedy(image_folder):
    with pytest.raises(ValueError, match=r"views of every image give .* or Views\(\*views\)"):
        TiedLoader(ImageFolder(image_folder), [VIEW, VIEW, VIEW])
    with pytest.raises(TypeError, match="return_index must be True or False, got 1"):
        TiedLoader(ImageFolder(image_folder), VIEW, return_index=1)


def test_three_views_train_a_tied_model(image_folder):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    plain = nn.Sequential(body, nn.Flatten(), nn.Linear(4, 3))
    model = TiedModel(plain, num_views=3)
    loss_fn = TiedLoss(num_views=3)
    loaders = [
        TiedLoader(ImageFolder(image_folder), THREE, 6, output="float32", layout=layout)
        for layout in ("views", "flat")
    ]
    for (images, targets), (rows, _) in zip(*loaders, strict=True):
        logits, features = model(images)
        assert logits.shape == (18, 3)
        loss = loss_fn(logits, features, targets)
        again, _ = model(rows)
        assert torch.equal(again, logits)
        parts = features.chunk(3)
        distances = [((parts[i] - parts[j]) ** 2).mean() for i, j in ((0, 1), (0, 2), (1, 2))]
        similarity = torch.stack(distances).mean()
        wanted = nn.functional.cross_entropy(logits, targets.repeat(3)) + similarity
        assert torch.allclose(loss, wanted, rtol=1e-5)
        loss.backward()
    assert plain[2].weight.grad.abs().sum() > 0


def test_the_plans_of_a_batch_follow_from_its_indices(image_folder, tmp_path):
    """The recipe of docs/views.md, also for the sample in place of a broken one."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image file, but bytes of text")
    paths = [*paths_of(image_folder)[:5], str(broken), *paths_of(image_folder)[5:]]
    options = {"shuffle": True, "seed": 42, "return_index": True, "on_error": "skip"}
    loader = TiedLoader([(path, 0) for path in paths], CROPS, 5, **options)
    seen = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        for images, _, index in loader:
            for b, i in enumerate(index.tolist()):
                with Image.open(paths[i]) as file:
                    shape = file.height, file.width
                for v, plan in enumerate(CROPS.plan(shape, index=i, epoch=epoch, seed=42)):
                    assert np.array_equal(images[v][b].numpy(), render(paths[i], plan))
                seen.append(i)
    assert sorted(seen) == sorted(2 * [i for i in range(13) if i != 5] + 2 * [6])
