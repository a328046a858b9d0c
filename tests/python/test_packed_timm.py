"""Packed data sets in timm: the samples, the targets and the runs of the image folder."""

import os
import pickle

import pytest
import torch
from commands import error_of
from loader_sets import VIEWS, assert_same, epoch_of
from packed_sets import jpeg, pack_folder, write_mixed
from timm.data import create_dataset as timms
from timm_launch import ALL, launch, run_alone
from torch.utils.data import DataLoader

from tied_augment import TiedDataset, TiedLoader
from tied_augment.cli import main
from tied_augment.located import Located, locate
from tied_augment.timm import create_dataset
from tied_augment.timm.errors import LaunchError


@pytest.fixture(scope="module")
def packed(tmp_path_factory, train_folder):
    return pack_folder(train_folder, tmp_path_factory.mktemp("packed") / "set")


def assert_same_items(ours, theirs):
    assert len(ours) == len(theirs) > 0
    assert ours.reader.class_to_idx == theirs.reader.class_to_idx
    for index in range(len(theirs)):
        (image, target), (wanted, wanted_target) = ours[index], theirs[index]
        assert target == wanted_target
        assert image.mode == wanted.mode
        assert image.tobytes() == wanted.tobytes()


# Pillow leaves it to the garbage collector to close the files that timm has opened.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestDataSets:
    def test_splits(self, packed, train_folder):
        for split in ("train", "validation", "val"):
            ours = create_dataset("", str(packed), split)
            theirs = timms("", str(train_folder), split)
            assert_same_items(ours, theirs)
            assert ours.filenames() == theirs.filenames()
            assert ours.filename(3, basename=True) == theirs.filename(3, basename=True)
            assert ours.filename(3, absolute=True) == os.path.join(
                ours.reader.dataset.root, theirs.filename(3)
            )

    def test_order_and_classes_are_timms(self, tmp_path):
        files = write_mixed(tmp_path / "source")
        for name in files:
            # Its data sets skip what can't be decoded, with another sample in its place.
            if "/empty" in name or "/noise" in name or "/cut" in name:
                (tmp_path / "source" / name).unlink()
        out = pack_folder(tmp_path / "source", tmp_path / "packed")
        for options in (
            {},
            {"class_map": {"9": 4, "10": 2}},
            {"input_key": ".jpg;.JPG"},
            {"input_img_mode": "L"},
        ):
            ours = create_dataset("", str(out), "train", **options)
            assert_same_items(ours, timms("", str(tmp_path / "source"), "train", **options))
        (tmp_path / "map.txt").write_text("9\n10\n")
        for name in ("source", "packed"):
            (tmp_path / name / "map.txt").write_text("9\n10\n")
        ours = create_dataset("", str(out), class_map="map.txt")
        assert_same_items(ours, timms("", str(tmp_path / "source"), class_map="map.txt"))

    def test_other_data_sets_are_timms(self, train_folder):
        ours = create_dataset("", str(train_folder), split="train")
        assert_same_items(ours, timms("", str(train_folder), split="train"))

    def test_batches_are_those_of_the_folder(self, packed, train_folder):
        ours = create_dataset("", str(packed), "train")
        theirs = timms("", str(train_folder), "train")
        assert isinstance(locate(ours), Located)
        want = epoch_of(TiedLoader(theirs, VIEWS, 8, shuffle=True))
        assert_same(epoch_of(TiedLoader(ours, VIEWS, 8, shuffle=True)), want)
        again = pickle.loads(pickle.dumps(ours))
        assert_same(epoch_of(TiedLoader(again, VIEWS, 8, shuffle=True)), want)
        batches = []
        for dataset in (ours, theirs):
            tied = TiedDataset(dataset, VIEWS)
            tied.set_epoch(2)
            loader = DataLoader(tied, 8, num_workers=1)
            batches.append([(torch.stack(images), targets) for images, targets in loader])
        assert_same(*batches)


def test_targets_that_are_numbers(tmp_path, packed):
    source = packed / "train"
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg((40, 50), number))
    (tmp_path / "list.txt").write_text("0.jpg\t5\n1.jpg\t0\n2.jpg\t2\n")
    out = pack_folder(tmp_path / "list.txt", tmp_path / "set")
    dataset = create_dataset("", str(out))
    assert [dataset[index][1] for index in range(3)] == [5, 0, 2]
    with pytest.raises(ValueError, match="numbers as targets, which a class_map can't change"):
        create_dataset("", str(out), class_map={"a": 1})
    with pytest.raises(ValueError, match="has no images that end in"):
        create_dataset("", str(source), search_split=False, class_map={"other": 1})


@pytest.mark.parametrize("script", ALL, ids=lambda path: path.parent.name + "/" + path.name)
@pytest.mark.parametrize("options", [[], ["--tied-loader", "timm"]], ids=" ".join)
def test_runs_are_those_of_the_folder(script, options, packed, train_folder, tmp_path):
    ours = launch(script, packed, tmp_path / "packed", *options)
    theirs = launch(script, train_folder, tmp_path / "folder", *options)
    loader = "timm's loader" if options else "native loader"
    assert f"Tied-Augment: {loader}" in ours.text
    assert ours.steps
    assert ours.summary == theirs.summary
    weights, wanted = (run.checkpoint()["state_dict"] for run in (ours, theirs))
    assert weights.keys() == wanted.keys()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


def test_a_baseline_reads_packed_folders_too(packed, train_folder, tmp_path):
    script = ALL[0]
    ours = launch(script, packed, tmp_path / "packed", tied=False)
    theirs = launch(script, train_folder, tmp_path / "folder", tied=False, run=run_alone)
    assert ours.summary == theirs.summary


def test_an_incomplete_folder_is_named(packed, tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "packing.json").write_text("{}")
    with pytest.raises(LaunchError, match="train is not complete: run the tied-augment pack"):
        launch(ALL[0], tmp_path, tmp_path / "out")


def test_preview_of_a_packed_folder(packed, train_folder, tmp_path, capsys):
    for name, folder in (("packed", packed), ("folder", train_folder)):
        out = tmp_path / f"{name}.png"
        assert main(["preview", str(folder / "train"), "--out", str(out)]) == 0
        assert f"{folder / 'train'}: 4 of 32 images" in capsys.readouterr().out
    assert (tmp_path / "packed.png").read_bytes() == (tmp_path / "folder.png").read_bytes()
    (tmp_path / "packing.json").write_text("{}")
    assert "is not complete" in error_of(capsys, "preview", tmp_path)
    for name in ("preview", "bench"):
        says = error_of(capsys, name, packed)
        assert f"has packed data sets (train, validation): give one, {packed / 'train'}" in says


def test_bench_of_a_packed_folder(packed, capsys):
    argv = ["bench", str(packed / "train"), "-b", "8", "--seconds", "0.1", "--threads", "1"]
    assert main([*argv, "--size", "32"]) == 0
    text = capsys.readouterr().out
    assert f"{packed / 'train'}: 32 images" in text
    assert "failed" not in text
    assert "only Python" not in text
