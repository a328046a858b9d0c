"""Runs that are stopped and resumed: equal, bit for bit, to those that were not stopped."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from loader_sets import write_tar
from timm_launch import BY_CRITERION, BY_TASK, REAL, launch, rewritten
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tied_augment.timm.mixup import FirstViewFastCollateMixup
from tied_augment.timm.seeds import EpochSeeds

pytestmark = pytest.mark.integration

# Everything is drawn: order, views, mixing, erasing, dropout.
DRAWS = ["--mixup", "0.4", "--cutmix", "1", "--reprob", "0.5", "--drop", "0.2"]
DRAWS += ["--aa", "rand-m9-mstd0.5"]
LOADERS = {
    "native": [],
    "timm, workers 0": ["--tied-loader", "timm"],
    "timm, workers 2": ["--tied-loader", "timm", "--workers", "2"],
}


def check_resume(script, train_folder, tmp_path, options):
    options = [*DRAWS, *options, "--epochs", "3"]
    # What a run leaves that is killed in its third epoch. It has the schedules of three epochs.
    last, left = tmp_path / "whole" / "run" / "last.pth.tar", tmp_path / "left.pth.tar"
    keep = f"    if epoch == 2:\n        __import__('shutil').copy({str(last)!r}, {str(left)!r})\n"
    first_line = "    second_order =" if script in REAL else "    log = shared.StepLog("
    keeping = rewritten(script, tmp_path, (first_line, keep + first_line))
    whole = launch(keeping, train_folder, tmp_path / "whole", *options)
    resumed = launch(script, train_folder, tmp_path / "resumed", *options, "--resume", str(left))
    assert resumed.summary == whole.summary[2:]
    before, after = (run.checkpoint()["state_dict"] for run in (whole, resumed))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert before.keys() == after.keys()


@pytest.mark.parametrize("mode", ["batch", "elem"])
@pytest.mark.parametrize("prefetcher", [[], ["--no-prefetcher"]], ids=["", "no-prefetcher"])
@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
def test_a_resumed_run_is_the_unbroken_one(loader, prefetcher, mode, train_folder, tmp_path):
    check_resume(BY_TASK, train_folder, tmp_path, [*loader, *prefetcher, "--mixup-mode", mode])


@pytest.mark.parametrize("script", [BY_CRITERION, *REAL], ids=lambda path: path.stem)
def test_so_it_is_with_every_script(script, train_folder, tmp_path):
    check_resume(script, train_folder, tmp_path, LOADERS["timm, workers 2"])


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
def test_sizes_that_change_are_resumed(loader, train_folder, tmp_path):
    sizes = ["--train-img-sizes", "32", "48"]
    check_resume(BY_TASK, train_folder, tmp_path, [*loader, *sizes])


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io:pytest.PytestWarning")
def test_a_webdataset_is_resumed(train_folder, tmp_path):
    files = ImageFolder(train_folder).samples
    samples = [(Path(path).read_bytes(), target) for path, target in files]
    for shard in range(3):
        write_tar(tmp_path / f"train-{shard}.tar", samples[shard::3])
    split = f"train-{{0..2}}.tar|{len(samples)}"
    options = ["--dataset", "wds/", "--train-split", split, "--val-split", split]
    check_resume(BY_TASK, tmp_path, tmp_path, options)
    gc.collect()  # the library never closes its files, which would fail the next test


# --- mixing by itself


class Pairs:
    def __len__(self):
        return 24

    def __getitem__(self, index):
        image = np.full((3, 8, 8), 10 * index, np.uint8)
        return (image, image), index % 4


def shares(epoch, workers, seed=1, rank=0):
    """Lambda of each batch of an epoch, of 4 pairs each."""
    seeds = EpochSeeds(seed, rank)
    collate = FirstViewFastCollateMixup(mixup_alpha=1.0, num_classes=4, mode="elem", seeds=seeds)
    seeds.begin(epoch)
    loader = DataLoader(Pairs(), 4, num_workers=workers, collate_fn=collate)
    return torch.stack([target[:4, -1] for _, target in loader])


# torch warns on a machine with one core.
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_mixing_follows_from_seed_rank_epoch_and_batch():
    expected = shares(3, 0)
    assert len(expected.unique()) == expected.numel()
    assert torch.equal(shares(3, 2), expected)
    assert torch.equal(shares(3, 4), expected)
    for other in (shares(4, 0), shares(3, 0, seed=2), shares(3, 0, rank=1)):
        assert not torch.isin(other, expected).any()


def test_mixing_leaves_numpys_state_alone():
    seeds = EpochSeeds(0, 0)
    seeds.begin(0)
    state = np.random.get_state()[1].copy()
    with seeds.mixing():
        np.random.rand(700)
    assert (np.random.get_state()[1] == state).all()


def test_epochs_begin_with_states_of_their_own():
    drawn = []
    for seed, rank, epoch in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0)]:
        EpochSeeds(seed, rank).begin(epoch)
        drawn.append((torch.rand(()).item(), np.random.rand()))
    assert drawn[0] == drawn[4]
    assert len(set(drawn)) == 4
