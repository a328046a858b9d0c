"""TarShards(cache_dir=...): what is kept, for whom, and what a disk may do wrong."""

import gzip
import io
import logging
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
import ready_process
from loader_sets import paths_of
from torch.utils.data import DataLoader

from tied_augment import TarShards, remote

BLOCK = 1000
COUNT = 4


@pytest.fixture(autouse=True)
def reads(monkeypatch):
    """The first bytes of the blocks that were read remotely."""
    monkeypatch.setattr(remote, "_BLOCK", BLOCK)
    starts = []
    read = remote._Source._read

    def counted(self, start, end):
        starts.append(start)
        return read(self, start, end)

    monkeypatch.setattr(remote._Source, "_read", counted)
    return starts


@pytest.fixture
def shards(image_folder, tmp_path):
    """Tar files of one length."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in range(COUNT):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number, path in enumerate(paths_of(image_folder)):
                for ending, content in (
                    ("jpg", Path(path).read_bytes()),
                    ("cls", str(100 * shard + number).encode()),
                ):
                    info = tarfile.TarInfo(f"{number}.{ending}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    return sorted(folder.iterdir())


def url(path):
    return f"file://{path}"


def size_of(shards):
    return shards[0].stat().st_size


def cached(shards, folder, holds, **options):
    """A data set whose cache has room for so many shards."""
    limit = holds * size_of(shards)
    return TarShards(list(map(url, shards)), cache_dir=folder, cache_bytes=limit, **options)


def kept(folder):
    """The names in the cache, without those that are not whole."""
    return {path.name for path in folder.iterdir() if path.suffix == ".shard"}


def test_the_second_epoch_reads_the_copies(shards, tmp_path, reads):
    want = list(TarShards(shards))
    for first in (True, False):
        reads.clear()
        # Another object, as in another run.
        assert list(cached(shards, tmp_path / "cache", COUNT)) == want
        assert bool(reads) == first
    files = list((tmp_path / "cache").iterdir())
    assert sorted(path.read_bytes() for path in files) == sorted(p.read_bytes() for p in shards)


def test_a_changed_shard_is_read_anew(shards, tmp_path, reads):
    list(cached(shards[:1], tmp_path / "cache", 2))
    content = shards[1].read_bytes()
    assert len(content) == size_of(shards)
    shards[0].write_bytes(content)
    os.utime(shards[0], (1, 1))
    assert list(cached(shards[:1], tmp_path / "cache", 2)) == list(TarShards(shards[1]))
    assert len(kept(tmp_path / "cache")) == 2


def test_what_was_used_longest_ago_is_dropped(shards, tmp_path, reads):
    folder = tmp_path / "cache"
    uses = [(0, 1), (1, 1), (2, 1), (1, 0), (2, 0), (1, 0), (0, 1), (1, 0), (2, 1)]
    for number, remotely in uses:
        reads.clear()
        chosen = [shards[number]]
        assert list(cached(chosen, folder, 2)) == list(TarShards(chosen))
        assert reads.count(0) == remotely, number
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 2 * size_of(shards)


def test_a_shard_without_room_is_read_without_the_cache(shards, tmp_path, caplog):
    size = size_of(shards)
    dataset = TarShards(url(shards[0]), cache_dir=tmp_path / "cache", cache_bytes=size - 1)
    want = list(TarShards(shards[0]))
    assert list(dataset) == list(dataset) == want
    assert not list((tmp_path / "cache").iterdir())
    [message] = [record.getMessage() for record in caplog.records]
    assert f"0.tar is not kept: it has {size:,} bytes, cache_bytes={size - 1:,}" in message


@pytest.mark.parametrize("samples", [1, 2])
def test_what_is_not_read_to_its_end_is_not_kept(shards, tmp_path, samples):
    dataset = cached(shards[:1], tmp_path / "cache", 1, samples=samples, buffer=1)
    assert len(list(dataset)) == samples
    stopped = iter(cached(shards[:1], tmp_path / "cache", 1))
    next(stopped)
    stopped.close()
    assert not list((tmp_path / "cache").iterdir())


def test_a_compressed_shard_is_kept_as_it_is(shards, tmp_path, reads):
    paths = [shards[0].with_suffix(".gz")]
    paths[0].write_bytes(gzip.compress(shards[0].read_bytes()))
    for remotely in (1, 0):
        reads.clear()
        assert list(cached(paths, tmp_path / "cache", 1)) == list(TarShards(shards[0]))
        assert reads.count(0) == remotely


DYING = """
import os, signal, sys
from tied_augment import TarShards, remote
remote._BLOCK = 1000
url, folder, limit = sys.argv[1:]
samples = iter(TarShards(url, cache_dir=folder, cache_bytes=int(limit)))
next(samples)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_nothing_that_is_taken_for_whole(shards, tmp_path, reads):
    folder, size = tmp_path / "cache", size_of(shards)
    done = ready_process.run("-c", DYING, url(shards[0]), folder, 2 * size)
    assert done.returncode == -signal.SIGKILL, done.stderr
    [part] = folder.iterdir()
    assert part.suffix == ".part"
    assert part.stat().st_size == size
    for shard in (0, 1):  # the room of one is still taken
        assert list(cached(shards[shard : shard + 1], folder, 2)) == list(TarShards(shards[shard]))
        assert len(kept(folder)) == 1
    os.utime(part, (time.time() - 7200,) * 2)
    list(cached(shards[2:3], folder, 2))
    assert not part.exists()
    assert len(kept(folder)) == 2


READER = """
import random, sys
from tied_augment import TarShards, remote
remote._BLOCK = 1000
folder, limit, *urls = sys.argv[1:]
for epoch in range(3):
    random.shuffle(urls)
    for url in urls:
        samples = TarShards(url, cache_dir=folder, cache_bytes=int(limit))
        assert list(samples) == list(TarShards(url.removeprefix("file://"))), url
"""


@pytest.mark.parametrize("holds", [1, COUNT])
def test_several_processes_share_a_cache(shards, tmp_path, holds):
    folder, size = tmp_path / "cache", size_of(shards)
    code = ["-c", READER, folder, holds * size, *map(url, shards)]
    readers = [ready_process.start(*code) for _ in range(3)]
    while any(reader.poll() is None for reader in readers):
        # Every file that has a shard's name is whole at any time.
        for path in folder.glob("*.shard"):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            assert content in [shard.read_bytes() for shard in shards]
    errors = [reader.communicate()[1] for reader in readers]
    assert [reader.returncode for reader in readers] == [0] * 3, errors
    assert not list(folder.glob("*.part"))
    assert sum(path.stat().st_size for path in folder.iterdir()) <= holds * size


def test_workers_share_a_cache(shards, tmp_path, reads):
    dataset = cached(shards, tmp_path / "cache", COUNT)
    want = sorted(TarShards(shards))
    for context in ("fork", "spawn"):
        loader = DataLoader(
            dataset, None, num_workers=2, multiprocessing_context=context, collate_fn=list
        )
        assert sorted(map(tuple, loader)) == want
    reads.clear()
    assert sorted(dataset) == want
    assert not reads


def test_a_full_disk_does_not_end_the_run(shards, disk_of, caplog):
    small_disk = disk_of("16k")
    assert size_of(shards) > 16384
    dataset = cached(shards, small_disk, COUNT)
    with caplog.at_level(logging.WARNING, "tied_augment.loader"):
        assert list(dataset) == list(dataset) == list(TarShards(shards))
    assert not list(small_disk.iterdir())
    [message] = [record.getMessage() for record in caplog.records]
    assert "disk can't be written to: No space left on device; shards are read without" in message


def test_a_folder_that_is_gone_does_not_end_the_run(shards, tmp_path, caplog):
    dataset = cached(shards, tmp_path / "cache", COUNT)
    (tmp_path / "cache").rmdir()
    assert list(dataset) == list(TarShards(shards))
    assert "No such file or directory; shards are read without it" in caplog.text


def test_arguments_that_make_no_sense(shards, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cases = [
        ({"cache_dir": tmp_path}, ValueError, "go together"),
        ({"cache_bytes": 5}, ValueError, "go together"),
        ({"cache_dir": tmp_path, "cache_bytes": 0}, ValueError, "cache_bytes must be from 1"),
        ({"cache_dir": tmp_path, "cache_bytes": 1.5}, TypeError, "cache_bytes must be an int"),
        ({"cache_dir": 3, "cache_bytes": 5}, TypeError, "cache_dir must be the path of a folder"),
        ({"cache_dir": tmp_path / "file", "cache_bytes": 5}, OSError, "cache_dir .*can't be made"),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            TarShards(url(shards[0]), **arguments)
    with pytest.raises(ValueError, match="for a network disk give 'file:///mnt"):
        TarShards(shards, cache_dir=tmp_path / "cache", cache_bytes=5)
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written_to_is_refused(shards, disk_of):
    disk = disk_of("16k", "ro")
    arguments = {"cache_dir": disk, "cache_bytes": 5}
    with pytest.raises(PermissionError, match=f"cache_dir {disk} can't be written to"):
        TarShards(url(shards[0]), **arguments)
    arguments["cache_dir"] = disk / "cache"
    with pytest.raises(OSError, match=r"cache can't be made: .*Read-only file system"):
        TarShards(url(shards[0]), **arguments)


def test_a_disk_that_becomes_read_only_does_not_end_the_run(shards, disk_of, caplog):
    disk = disk_of("1m")
    dataset = cached(shards, disk, COUNT)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert list(dataset) == list(dataset) == list(TarShards(shards))
    [message] = [record.getMessage() for record in caplog.records]
    assert "can't be written to: Read-only file system; shards are read without it" in message
