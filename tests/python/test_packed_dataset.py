"""PackedDataset: the samples of the image folder that was packed, read natively."""

import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from loader_sets import VIEWS, assert_same, epoch_of
from packed_sets import UNREADABLE, changed, jpeg, pack_folder, write_good, write_mixed
from torch.utils.data import ConcatDataset, DataLoader, Subset
from torchvision.datasets import ImageFolder

from tied_augment import DecodeError, PackedDataset, TarShards, TiedDataset, TiedLoader, decode
from tied_augment.located import Located, locate
from tied_augment.packed import unpack


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good")
    write_good(root / "source")
    return root / "source", pack_folder(root / "source", root / "packed")


@pytest.fixture
def copied(good, tmp_path):
    """A packed data set that a test may change."""
    return shutil.copytree(good[1], tmp_path / "packed")


def test_it_has_the_samples_of_the_image_folder(tmp_path):
    files = write_mixed(tmp_path / "source")
    folder = ImageFolder(tmp_path / "source", allow_empty=True)
    dataset = PackedDataset(pack_folder(tmp_path / "source", tmp_path / "packed"))
    assert len(dataset) == len(folder) == len(files)
    assert dataset.classes == folder.classes
    assert dataset.class_to_idx == folder.class_to_idx
    assert dataset.targets == folder.targets
    paths = [os.path.relpath(path, tmp_path / "source") for path, _ in folder.samples]
    assert dataset.names == paths
    for index, (path, target) in enumerate(folder.samples):
        data, label = dataset[index]
        assert type(data) is bytes
        assert label == target
        assert dataset.original(index) == Path(path).read_bytes()
        if os.path.basename(path) not in UNREADABLE:
            assert np.array_equal(decode(data), decode(path))


def test_items(good):
    dataset = PackedDataset(str(good[1]))
    assert repr(dataset) == f"PackedDataset('{good[1]}': 24 samples, 3 classes)"
    assert dataset[-1] == dataset[23] == dataset[np.int64(23)]
    for index in (24, -25):
        with pytest.raises(IndexError, match=f"index {index} of a data set of 24 samples"):
            dataset[index]
    assert unpack(dataset[0][0]) == dataset.original(0)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_those_of_the_image_folder(good, threads):
    source, packed = good
    for options in (
        {},
        {"shuffle": True, "seed": 5},
        {"shuffle": True, "world_size": 2, "rank": 1},
    ):
        loaders = [
            TiedLoader(dataset, VIEWS, 7, threads=threads, **options)
            for dataset in (str(source), PackedDataset(packed), packed)
        ]
        assert all(isinstance(locate(loader.dataset), Located) for loader in loaders)
        for _ in range(2):
            want, *got = (epoch_of(loader) for loader in loaders)
            for batches in got:
                assert_same(batches, want)


def test_subsets_and_joined_sets_are_read_natively(good):
    folder, dataset = ImageFolder(good[0]), PackedDataset(good[1])
    chosen = [5, 3, 3, 20]
    pairs = [
        (Subset(folder, chosen), Subset(dataset, chosen)),
        (ConcatDataset([folder, folder]), ConcatDataset([dataset, Subset(dataset, range(24))])),
    ]
    for theirs, ours in pairs:
        located = locate(ours)
        assert isinstance(located, Located)
        assert list(located.names) == [
            os.path.relpath(path, good[0]) for path in locate(theirs).paths
        ]
        assert_same(epoch_of(TiedLoader(ours, VIEWS, 4)), epoch_of(TiedLoader(theirs, VIEWS, 4)))


@pytest.mark.parametrize("method", [None, "fork", "spawn"])
def test_tied_datasets_are_those_of_the_image_folder_in_workers_too(good, method):
    def batches(dataset, workers=0, context=None):
        tied = TiedDataset(dataset, VIEWS, seed=3)
        tied.set_epoch(1)
        loader = DataLoader(tied, 5, num_workers=workers, multiprocessing_context=context)
        return [(torch.stack(images), targets) for images, targets in loader]

    # A process that is spawned takes seconds to import torch, so there is one.
    workers = {None: 0, "fork": 2, "spawn": 1}[method]
    assert_same(batches(PackedDataset(good[1]), workers, method), batches(good[0]))
    if method is None:
        assert_same(batches(good[1]), batches(good[0]))


def read_all(dataset):
    return [dataset[index] for index in range(len(dataset))]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_the_same_samples(good, method):
    dataset = PackedDataset(good[1])
    want = read_all(dataset)
    with multiprocessing.get_context(method).Pool(1) as pool:
        # A function of this file would import it, and so torch, which takes seconds.
        assert pool.map(list, [dataset] * 2) == [want] * 2


def test_it_is_pickled_by_its_path(good, monkeypatch, tmp_path):
    monkeypatch.chdir(good[1].parent)
    dataset = PackedDataset("packed")
    data = pickle.dumps(dataset)
    assert len(data) < 200
    monkeypatch.chdir(tmp_path)
    assert read_all(pickle.loads(data)) == read_all(dataset)


def test_shards_are_webdataset_archives(good):
    dataset = PackedDataset(good[1])
    shards = TarShards(sorted(good[1].glob("*.tar")))
    assert list(shards) == read_all(dataset)


def test_a_broken_sample_is_named_and_can_be_skipped(good, copied):
    dataset = PackedDataset(copied)
    shard, place, length = dataset.places()[1][9].tolist()
    path = copied / "shard-00000.tar"
    assert shard == 0
    modified = path.stat().st_mtime_ns
    data = bytearray(path.read_bytes())
    data[place : place + length] = bytes(length)
    path.write_bytes(data)
    os.utime(path, ns=(modified, modified))
    dataset = PackedDataset(copied)
    wanted = f"{path}, {dataset.names[9]}: .*not an image of a known format"
    tied = TiedDataset(dataset, VIEWS)
    tied.set_epoch(0)
    with pytest.raises(DecodeError, match=wanted):
        tied[9]
    with pytest.raises(DecodeError, match=wanted):
        epoch_of(TiedLoader(dataset, VIEWS, 4))
    if dataset._packed[9]:
        with pytest.raises(DecodeError, match=f"{path}, {dataset.names[9]}: cannot decode packed"):
            dataset.original(9)
    loader = TiedLoader(dataset, VIEWS, 4, on_error="skip")
    got = epoch_of(loader)
    assert loader.skipped == 1
    want = epoch_of(TiedLoader(PackedDataset(good[1]), VIEWS, 4))
    differ = [
        torch.ne(ours, theirs).flatten(2).any(2).any(0)
        for (ours, _), (theirs, _) in zip(got, want, strict=True)
    ]
    assert torch.cat(differ).nonzero().flatten().tolist() == [9]


def test_a_shard_that_has_changed_is_noticed(copied):
    dataset = PackedDataset(copied)
    dataset[3]
    path = copied / "shard-00000.tar"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(OSError, match=f"{path}, .*: .*the archive has changed"):
        dataset[23]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{path}, "):
        dataset[3]
    with pytest.raises(FileNotFoundError, match=f"{path} is missing: copy it anew"):
        PackedDataset(copied)


def test_indices_of_other_shards_are_refused(good, copied, tmp_path):
    write_good(tmp_path / "source", 5, 1)
    other = pack_folder(tmp_path / "source", tmp_path / "other")
    shutil.copy(other / "shard-00000.json", copied)
    with pytest.raises(ValueError, match=r"it has 5 samples, not 24 as packed\.json says"):
        PackedDataset(copied)
    shutil.copy(good[1] / "shard-00000.json", copied)
    data = bytearray((copied / "shard-00000.tar").read_bytes())
    (copied / "shard-00000.tar").write_bytes(data[1024:] + data[:1024])
    with pytest.raises(ValueError, match="is another shard than its index is about: copy both"):
        PackedDataset(copied)
    (copied / "shard-00000.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-00000\.json is missing"):
        PackedDataset(copied)


WRONG_SETS = [
    ({"format": "another"}, "is not an index of a packed data set"),
    ({"version": 0}, r"has version 0 .* unpack it with that one \(tied-augment .*\), and pack it"),
    ({"version": 2, "release": "9.0"}, r"version 2 .* reads 1: upgrade .* packed by 9\.0\)"),
    ({"version": "1"}, "version must be a number"),
    ({"version": True}, "version must be a number"),
    ({"classes": None}, "classes must be a list of str"),
    ({"classes": ["a", "a", "b"]}, "classes must be names, each once"),
    ({"classes": ["class0"]}, "labels must be from -1 to 0"),
    ({"empty": ["other"]}, "classes must be names, each once"),
    ({"classes": ["..", "a", "b"], "empty": [".."]}, "the name '..' is not that of a file"),
    ({"shards": {}}, "shards must be a list of dict"),
    ({"shards": []}, "shards must have numbers of samples"),
    ({"shards": [{"name": "../x.tar", "samples": 24}]}, r"shards must be shard-00000\.tar"),
    ({"shards": [{"name": "shard-00000.tar", "samples": -1}]}, "numbers of samples, above 0"),
    ({"shards": [{"name": "shard-00000.tar", "samples": True}]}, "numbers of samples, above 0"),
    ({"shards": [{"name": "shard-00000.tar", "samples": 23}]}, "it has 24 samples, not 23"),
]


@pytest.mark.parametrize(("fields", "says"), WRONG_SETS, ids=range(len(WRONG_SETS)))
def test_broken_indices_of_sets_are_refused(copied, fields, says):
    changed(copied / "packed.json", **fields)
    with pytest.raises(ValueError, match=says) as raised:
        PackedDataset(copied)
    assert str(raised.value).startswith(str(copied))


WRONG_SHARDS = [
    ({"shard": "shard-00001.tar"}, "the index of another shard"),
    ({"first": 7}, "the index of another shard"),
    ({"bytes": 5}, "is misplaced"),
    ({"bytes": 10**9}, "is truncated: it has"),
    ({"bytes": "5"}, "must be numbers"),
    ({"names": ["a"] * 23}, "it has 23 samples, not 24"),
    ({"names": [5] * 24}, "names must be a list of str"),
    ({"names": ["/etc/passwd"] * 24}, "the name '/etc/passwd' is not that of a file within"),
    ({"names": ["a/../../b"] * 24}, "is not that of a file within a folder"),
    ({"names": ["a//b"] * 24}, "is not that of a file within a folder"),
    ({"names": ["a\0b"] * 24}, "is not that of a file within a folder"),
    ({"labels": [3] * 24}, "labels must be from -1 to 2"),
    ({"labels": [-2] * 24}, "labels must be from -1 to 2"),
    ({"labels": [0.5] * 24}, "labels must be a list of int"),
    ({"labels": [0] * 25}, "labels must have one entry for each of 24 samples"),
    ({"offsets": [0] * 24}, "a sample at byte 0 with .* bytes is misplaced"),
    ({"offsets": [1 << 70] * 24}, "offsets and lengths must be from 0 to"),
    ({"lengths": [-1] * 24}, "offsets and lengths must be from 0 to"),
    ({"lengths": [1 << 40] * 24}, "is misplaced"),
    ({"lengths": [7] * 24}, "is another shard than its index is about"),
    ({"packed": [2] * 24}, "packed must be 0 or 1"),
    ({"packed": [True] * 24}, "packed must be a list of int"),
    ({"sha256": ["0"] * 24}, "sha256 must have 64 hexadecimal digits"),
    ({"unchanged": []}, "unchanged must have texts by position"),
    ({"broken": {"24": "x"}}, "broken must have positions from 0 to 23"),
]


@pytest.mark.parametrize(("fields", "says"), WRONG_SHARDS, ids=range(len(WRONG_SHARDS)))
def test_broken_indices_of_shards_are_refused(copied, fields, says):
    changed(copied / "shard-00000.json", **fields)
    with pytest.raises(ValueError, match=says) as caught:
        PackedDataset(copied)
    assert str(copied) in str(caught.value)


@pytest.mark.parametrize("name", ["packed.json", "shard-00000.json"])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"5", b"\xff\xfe", b"[" * 100_000, b"1" * 9999])
def test_files_that_are_no_index_are_refused(copied, name, data):
    (copied / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name} is broken: it "):
        PackedDataset(copied)


def test_random_changes_of_an_index_are_noticed_or_harmless(copied):
    path = copied / "shard-00000.json"
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(300):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            data[rng.integers(len(data))] = rng.integers(32, 127)
        path.write_bytes(data)
        try:
            dataset = PackedDataset(copied)
        except ValueError:
            outcomes.append(False)
            continue
        outcomes.append(True)
        for index in range(len(dataset)):
            data, target = dataset[index]
            assert -1 <= target < 3
    assert {True, False} == set(outcomes)


def test_folders_of_splits_and_folders_that_are_not_complete(good, tmp_path):
    shutil.copytree(good[1], tmp_path / "set" / "train")
    with pytest.raises(ValueError, match="the folders train, which look like splits"):
        TiedLoader(tmp_path / "set", VIEWS)
    (tmp_path / "set" / "train" / "packed.json").rename(tmp_path / "set" / "train" / "packing.json")
    with pytest.raises(FileNotFoundError, match="is not complete: run the tied-augment pack"):
        TiedLoader(tmp_path / "set" / "train", VIEWS)
    with pytest.raises(FileNotFoundError, match="is not a packed data set: it has no packed"):
        PackedDataset(tmp_path)


def test_a_subclass_is_asked_for_its_items(good):
    class Shifted(PackedDataset):
        def __getitem__(self, index):
            data, target = super().__getitem__(index)
            return data, target + 10

    dataset = Shifted(good[1])
    assert isinstance(locate(dataset), str)
    [(_, targets)] = epoch_of(TiedLoader(dataset, VIEWS, 24))
    assert targets.tolist() == [target + 10 for target in dataset.targets]


def test_sets_without_classes(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg((40, 50), number))
    (tmp_path / "list.txt").write_text("".join(f"{n}.jpg\t{5 - n}\n" for n in range(3)))
    dataset = PackedDataset(pack_folder(tmp_path / "list.txt", tmp_path / "packed"))
    [(_, targets)] = epoch_of(TiedLoader(dataset, VIEWS, 3))
    assert targets.tolist() == dataset.targets == [5, 4, 3]
