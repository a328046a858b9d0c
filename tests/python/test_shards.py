"""TarShards: WebDataset's layout as a stream, by itself and under TiedLoader."""

import gzip
import io
import logging
import os
import tarfile
from pathlib import Path

import pytest
import torch
from loader_sets import add_sparse_member
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

import tied_augment.ranks
from tied_augment import TarShards, TiedLoader, TwoView, View
from tied_augment.ranks import Ranks

VIEWS = TwoView(View(16))


def add(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="module")
def shards(tmp_path_factory, image_folder):
    """Four shards of three samples; the targets are 0 to 11."""
    folder = tmp_path_factory.mktemp("shards")
    contents = [Path(path).read_bytes() for path, _ in ImageFolder(image_folder).samples]
    for shard in range(4):
        with tarfile.open(folder / f"{shard}.tar", "w:gz" if shard == 2 else "w") as tar:
            for number in range(3 * shard, 3 * shard + 3):
                add(tar, f"d.1/{number:04}.json", b"{}")
                add(tar, f"d.1/{number:04}.JPG", contents[number])
                add(tar, f"d.1/{number:04}.cls", f"{number}\n".encode())
    return sorted(folder.iterdir()), contents


def as_rank(monkeypatch, rank, ranks):
    monkeypatch.setattr(tied_augment.ranks, "_of_process_group", lambda: Ranks(rank, ranks))


def targets_of(dataset):
    return [target for _, target in dataset]


def test_samples_come_in_order(shards):
    paths, contents = shards
    assert list(TarShards(paths)) == [(content, i) for i, content in enumerate(contents)]
    assert [target for _, target in TarShards(paths, target=None)] == [-1] * 12
    with pytest.raises(TypeError, match="samples="):
        len(TarShards(paths))


def test_the_order_follows_from_seed_and_epoch(shards):
    paths, contents = shards
    dataset = TarShards(paths, buffer=5, seed=1)
    orders = []
    for epoch in range(4):
        dataset.set_epoch(epoch)
        order = targets_of(dataset)
        assert order == targets_of(dataset)
        assert sorted(order) == list(range(12))
        assert all(content == contents[i] for content, i in dataset)
        orders.append(tuple(order))
    assert len(set(orders)) == 4
    assert tuple(targets_of(TarShards(paths, buffer=5, seed=2))) not in orders


def test_ranks_read_shards_of_their_own(shards, monkeypatch):
    paths, _ = shards
    for buffer in (0, 4):
        for epoch in range(3):
            seen = []
            for rank in range(2):
                as_rank(monkeypatch, rank, 2)
                dataset = TarShards(paths, buffer=buffer)
                dataset.set_epoch(epoch)
                seen.append(set(targets_of(dataset)))
            assert not seen[0] & seen[1]
            assert seen[0] | seen[1] == set(range(12))
    as_rank(monkeypatch, 4, 5)
    with pytest.raises(ValueError, match="4 shards can't be split among 5 ranks"):
        iter(TarShards(paths))


def loaded(dataset, workers):
    """The targets that a DataLoader gives."""
    loader = DataLoader(dataset, 2, num_workers=workers, collate_fn=list)
    return [target for batch in loader for _, target in batch]


# On one core torch finds two workers too many.
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("buffer", [0, 4])
def test_workers_share_the_shards(shards, workers, buffer):
    paths, _ = shards
    dataset = TarShards(paths, buffer=buffer)
    assert sorted(loaded(dataset, workers)) == list(range(12))
    # `samples` counts for all workers together; each begins its own shards anew.
    assert len(loaded(TarShards(paths, samples=9, buffer=buffer), workers)) == 9
    assert len(loaded(TarShards(paths, samples=25, buffer=buffer), workers)) == 25
    few = TarShards(paths, samples=2, buffer=buffer)
    given = loaded(few, workers)
    assert len(given) == len(set(given)) == 2
    for rank in range(2):
        place = {"rank": rank, "world_size": 2}
        mine = targets_of(TarShards(paths, **place))
        assert sorted(loaded(TarShards(paths, **place), workers)) == mine


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_know_their_rank_and_the_epoch(shards, context, monkeypatch):
    """Those that are spawned know of no process group, those that live on see no new object."""
    paths, _ = shards
    as_rank(monkeypatch, 1, 2)
    dataset = TarShards(paths, buffer=9)
    options = {"batch_size": 3, "collate_fn": list, "num_workers": 1, "persistent_workers": True}
    loader = DataLoader(dataset, multiprocessing_context=context, **options)
    orders = []
    for epoch in (0, 1, 5):
        dataset.set_epoch(epoch)
        targets = [target for batch in loader for _, target in batch]
        orders.append(targets)
        assert targets == targets_of(dataset)
    assert len(set(map(tuple, orders))) == 3


def test_arguments(shards, tmp_path):
    paths, _ = shards
    assert targets_of(TarShards(str(paths[0]))) == targets_of(TarShards(paths[0])) == [0, 1, 2]
    assert targets_of(TarShards(paths, images=".JPG", target=".cls")) == list(range(12))
    assert TarShards("a.tar").splits_by_rank
    for arguments, error, message in [
        ((None,), TypeError, "shards must be paths of tar files, got None"),
        ((b"a.tar",), TypeError, "shards must be paths"),
        (([1],), TypeError, "got 1 among them"),
        ((tmp_path,), ValueError, "must be tar files, .* is a folder"),
        (({"a.tar"},), TypeError, "a set, which has no order: give a list"),
        (({"a.tar": 1},), TypeError, "a dict, which has no order: give a list"),
        (("a-{0..9}.tar",), ValueError, "patterns are not expanded"),
        ((["*.tar"],), ValueError, "patterns are not expanded"),
        (("a.tar", 0), ValueError, "samples must be from 1"),
        (("a.tar", 1.5), TypeError, "samples must be an integer"),
        (("a.tar", None, -1), ValueError, "buffer must be from 0"),
        (("a.tar", None, "9"), TypeError, "buffer must be an integer"),
        (("a.tar", None, 0, 5), TypeError, "images must be an ending"),
        (("a.tar", None, 0, ()), ValueError, "images must be an ending"),
        (("a.tar", None, 0, "jpg", 5), TypeError, "target must be an ending"),
        (("a.tar", None, 0, "jpg", "cls", -1), ValueError, "seed must be from 0"),
    ]:
        with pytest.raises(error, match=message):
            TarShards(*arguments)
    for place, message in [
        ({"rank": 1}, "go together"),
        ({"rank": 2, "world_size": 2}, "rank must be from 0 to world_size - 1 = 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            TarShards("a.tar", **place)
    with pytest.raises(ValueError, match="epoch must be from 0"):
        TarShards("a.tar").set_epoch(-1)


def test_a_fixed_number_of_samples(shards, monkeypatch):
    paths, _ = shards
    assert targets_of(TarShards(paths, samples=14)) == [*range(12), 0, 1]
    assert sorted(targets_of(TarShards(paths, samples=12, buffer=5))) == list(range(12))
    assert len(TarShards(paths, samples=14)) == 14
    as_rank(monkeypatch, 1, 3)
    assert targets_of(TarShards(paths, samples=4)) == [3, 4, 5, 3]


# On one core torch finds two workers too many.
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [2, 3])
def test_ranks_with_unequal_shards_make_equally_many_steps(shards, workers):
    """With as many workers as a rank has shards, those with more would give more short batches."""
    paths, _ = shards
    steps = []
    for rank in range(3):
        dataset = TarShards(paths, samples=6, rank=rank, world_size=3)
        steps.append(len(list(DataLoader(dataset, 4, num_workers=workers, collate_fn=list))))
    assert steps == [2, 2, 2]


@pytest.mark.parametrize(
    ("shards_of", "options", "warned"),
    [
        (4, {"samples": 5}, "give buffer="),
        (1, {"samples": 2, "buffer": 4}, "use more shards"),
        (4, {"samples": 5, "buffer": 4}, None),
        (4, {"samples": 12}, None),
        (4, {"samples": 14}, None),
        (4, {}, None),
    ],
)
def test_samples_that_never_come_are_warned_of(shards, caplog, shards_of, options, warned):
    dataset = TarShards(shards[0][:shards_of], **options)
    for epoch in range(8):
        dataset.set_epoch(epoch)
        list(dataset)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (warned is not None)
    if warned is not None:
        assert "never given" in messages[0]
        assert warned in messages[0]


def test_under_tied_loader(shards):
    paths, contents = shards
    loader = TiedLoader(TarShards(paths, samples=12, buffer=4), VIEWS, 5)
    assert len(loader) == 3
    for epoch in range(4):
        dataset = TarShards(paths, buffer=4)
        dataset.set_epoch(epoch)
        order = targets_of(dataset)
        images = torch.cat([batch for batch, _ in loader], 1)
        wanted = VIEWS.batch([contents[i] for i in order], range(12), epoch)
        assert torch.equal(images, torch.from_numpy(wanted))


def test_what_is_wrong_with_a_shard_is_said(tmp_path, shards):
    with pytest.raises(ValueError, match="at least one"):
        TarShards([])
    with pytest.raises(FileNotFoundError):
        list(TarShards([tmp_path / "nowhere.tar"]))
    for target, message in ((b"cat", "'cat' in a.cls"), (None, "no a.cls")):
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            add(tar, "a.jpg", b"x")
            if target is not None:
                add(tar, "a.cls", target)
        with pytest.raises(ValueError, match=message):
            list(TarShards([tmp_path / "a.tar"]))
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    for samples in (None, 3):
        with pytest.raises(ValueError, match="no samples"):
            list(TarShards([tmp_path / "empty.tar"], samples=samples))
    with tarfile.open(tmp_path / "blank.tar", "w") as tar:
        add(tar, "a.jpg", b"")
        add(tar, "a.cls", b"1")
    assert list(TarShards([tmp_path / "blank.tar"])) == [(b"", 1)]
    truncated = tmp_path / "truncated.tar"
    truncated.write_bytes(shards[0][0].read_bytes()[:3000])
    with pytest.raises((OSError, tarfile.ReadError)):
        list(TarShards([truncated]))


def test_a_fifo_is_refused_before_it_is_opened(tmp_path):
    """Opening it would wait for a writer."""
    early, late = TarShards(tmp_path / "a.tar"), tmp_path / "a.tar"
    os.mkfifo(late)
    with pytest.raises(ValueError, match="is not a regular file"):
        TarShards(late)
    with pytest.raises(OSError, match="is not a regular file"):
        list(early)


def test_a_target_in_bytes_is_refused_with_its_place(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "d/a.jpg", b"x")
        add(tar, "d/a.cls", b"\xff\x00")
    with pytest.raises(ValueError, match=r"a\.tar: b'\\xff\\x00' in d/a\.cls for the target"):
        list(TarShards(tmp_path / "a.tar"))


def test_files_that_are_left_out_are_warned_of(tmp_path, caplog):
    """As in WebDataset, an ending begins at the first dot of a file's name."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("a.gif", "a.cls", "b.heic", "b.cls", "c.c.jpg", "c.c.cls", "d.heic", "d.cls"):
            add(tar, name, b"1")
    dataset = TarShards(tmp_path / "a.tar")
    assert list(dataset) == list(dataset) == [(b"1", 1)]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "a.tar: b is left out" in messages[0]
    assert "none of 'heic', 'cls' is in images=" in messages[0]
    assert "a.tar: c is left out" in messages[1]
    assert "none of 'c.jpg', 'c.cls' is in images=" in messages[1]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_sparse_members_are_read_with_their_holes(tmp_path, mode):
    """A plain file is read by offset, a compressed one as a stream."""
    with tarfile.open(tmp_path / "a.tar", mode) as tar:
        for number in range(3):
            add_sparse_member(tar, f"{number}.jpg", b"content %d" % number, 4000)
            add(tar, f"{number}.cls", b"%d" % number)
    wanted = [(b"content %d" % number + bytes(4000), number) for number in range(3)]
    assert list(TarShards(tmp_path / "a.tar")) == wanted


def test_a_cut_shard_gives_the_same_by_offset_and_as_a_stream(tmp_path, shards, caplog):
    """A plain file is read by offset, a compressed one as a stream."""
    whole = shards[0][0].read_bytes()

    def outcome(path, content):
        path.write_bytes(content)
        caplog.clear()
        came = []
        try:
            came.extend(TarShards(path))
        except (OSError, ValueError, tarfile.TarError) as error:
            return came, type(error), str(error).replace(".gz", "")
        return came, len(caplog.records), ""

    outcomes = set()
    for length in range(0, len(whole), 53):
        plain = outcome(tmp_path / "cut.tar", whole[:length])
        assert plain == outcome(tmp_path / "cut.tar.gz", gzip.compress(whole[:length], 1))
        outcomes.add(plain[1])
    assert {0, 1, tarfile.ReadError} <= outcomes


def test_a_shard_without_an_end_is_warned_of(tmp_path, shards, caplog):
    paths, _ = shards
    whole = paths[0].read_bytes()
    with tarfile.open(paths[0]) as tar:
        members = tar.getmembers()
    last = members[-1]
    assert last.size <= tarfile.BLOCKSIZE
    end = last.offset_data + tarfile.BLOCKSIZE
    assert len(whole) >= end + 1024
    cut = tmp_path / "cut.tar"
    second, third = members[3].offset, members[6].offset
    for length, samples in [(second, 1), (third, 2), (third + 100, 2), (end, 3), (end + 511, 3)]:
        cut.write_bytes(whole[:length])
        caplog.clear()
        dataset = TarShards([cut, paths[1]])
        with caplog.at_level(logging.WARNING, "tied_augment.loader"):
            for _ in range(2):
                assert targets_of(dataset) == [*range(samples), 3, 4, 5]
        [warning] = [record.getMessage() for record in caplog.records]
        assert warning.startswith(f"{cut} lacks the zeros")
    caplog.clear()
    for zeros in (512, 700, 1024):
        cut.write_bytes(whole[: end + zeros])
        assert targets_of(TarShards([cut, *paths[1:]])) == list(range(12))
    assert not caplog.records
    for length in (second + 600, end - 1):
        cut.write_bytes(whole[:length])
        with pytest.raises(tarfile.ReadError, match=r"cut\.tar: unexpected end of data"):
            list(TarShards([cut]))
