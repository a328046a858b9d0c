"""Pickling an idle TiedLoader, for processes that are spawned, and what its repr says."""

import copy
import pickle
import zlib

import pytest
import ready_process
import torch
from loader_sets import Items, Stream, assert_same, epoch_of, paths_of
from torch.utils.data import RandomSampler
from torchvision.datasets import ImageFolder

from tied_augment import ArrayDataset, TiedDataset, TiedLoader, TwoView, View, Views

VIEWS = TwoView(View(32))

PROGRAM = """
import pickle, sys, zlib
with open(sys.argv[1], "rb") as file:
    loader = pickle.load(file)
print(*[zlib.crc32(images.numpy()) for images, _ in loader])
"""


def test_a_spawned_process_gives_the_same_batches(image_folder, tmp_path):
    loader = TiedLoader(ImageFolder(image_folder), VIEWS, 5, shuffle=True, seed=4)
    list(loader)  # the next epoch is 1
    pickled = tmp_path / "loader.pickle"
    pickled.write_bytes(pickle.dumps(loader))
    done = ready_process.run("-c", PROGRAM, pickled)
    assert done.returncode == 0, done.stderr
    assert [int(word) for word in done.stdout.split()] == [
        zlib.crc32(images.numpy()) for images, _ in loader
    ]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_begins_where_the_loader_would(image_folder, photos, copied):
    paths = paths_of(image_folder)
    folder = ImageFolder(image_folder)
    generator = torch.Generator().manual_seed(1)
    items = [(path, number) for number, path in enumerate(paths)]
    arrays = ArrayDataset(torch.randint(256, (9, 40, 30, 3), dtype=torch.uint8).numpy(), range(9))
    for loader in (
        TiedLoader(folder, VIEWS, 5, shuffle=True),
        TiedLoader(TiedDataset(folder, VIEWS, seed=3), batch_size=5, world_size=2, rank=1),
        TiedLoader(folder, VIEWS, 5, sampler=RandomSampler(folder, generator=generator)),
        TiedLoader(Items(items), VIEWS, 5),
        TiedLoader(Stream(items), VIEWS, 5),
        TiedLoader(arrays, VIEWS, 4, shuffle=True),
    ):
        assert_same(epoch_of(copied(loader)), epoch_of(copied(loader)))
        for _ in range(2):  # before the first epoch, and between epochs
            twin = copied(loader)
            assert repr(twin) == repr(loader)
            assert_same(epoch_of(twin), epoch_of(loader))
        loader.load_state_dict(_state_after_one(loader))
        assert_same(epoch_of(copied(loader)), epoch_of(loader))


def _state_after_one(loader):
    iteration = iter(loader)
    next(iteration)
    state = loader.state_dict()
    iteration.close()
    return state


def test_an_iteration_under_way_stays_where_it_is(image_folder):
    loader = TiedLoader(ImageFolder(image_folder), VIEWS, 5, shuffle=True)
    iteration = iter(loader)
    first = next(iteration)
    twin = pickle.loads(pickle.dumps(loader))
    rest = list(iteration)
    assert len(rest) == 2
    assert_same(epoch_of(twin), epoch_of(loader))  # of epoch 1
    loader.set_epoch(0)
    assert_same(epoch_of(loader), [first, *rest])


@pytest.mark.parametrize(
    ("views", "options", "form"),
    [
        (VIEWS, {}, "uint8 (2, B, 3, 32, 32)"),
        (VIEWS, {"layout": "flat", "output": "float32"}, "float32 (2B, 3, 32, 32)"),
        (View((8, 12)), {"channels_last": True}, "uint8 (B, 3, 8, 12), channels_last"),
        (Views(*2 * [View(32)], View(8)), {}, "uint8 2 x (B, 3, 32, 32), 1 x (B, 3, 8, 8)"),
        (
            Views(*2 * [View(32)], View(8)),
            {"layout": "flat", "output": "bfloat16"},
            "bfloat16 (2B, 3, 32, 32), (1B, 3, 8, 8)",
        ),
    ],
)
def test_repr_says_what_a_batch_is(image_folder, views, options, form):
    text = repr(TiedLoader(ImageFolder(image_folder), views, 5, **options))
    assert text.startswith(f"TiedLoader(ImageFolder, {views!r}, batch_size=5, EpochSampler, seed=0")
    assert f"; {form}; " in text
