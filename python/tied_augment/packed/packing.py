"""Packs a data set into shards, on all cores.

Threads read, pack and check the files; the caller's thread writes the shards in order. The same
source gives the same bytes, whatever the number of threads, and whether or not the work was
interrupted: finished shards are kept, and the work goes on after them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tied_augment import _core
from tied_augment.packed.images import pack, unpack
from tied_augment.packed.index import (
    BEGUN,
    FORMAT,
    INDEX,
    RELEASE,
    VERSION,
    Shard,
    read_set,
    read_shard,
    shard_name,
)
from tied_augment.packed.lock import lock
from tied_augment.packed.origin import Origin, Sample, origin_of
from tied_augment.packed.shard import Entry, ShardWriter, remove_parts, write_json

__all__ = ["Summary", "pack_data_set"]


@dataclass
class Summary:
    """What a packed data set is made of.

    Attributes:
        files: the number of samples.
        before: bytes of their files.
        after: bytes of the shards and their indices.
        shards: the number of shards.
        left_out: files that are not images by their names.
        unchanged: why files are stored as they were, and how many for each cause.
        broken: names of images that can't be decoded, with the cause.
        packed_now: bytes of the files that this run packed.
    """

    files: int = 0
    before: int = 0
    after: int = 0
    shards: int = 0
    left_out: int = 0
    unchanged: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    packed_now: int = 0

    def add(self, shard: Shard, folder: Path) -> None:
        """Count a finished shard."""
        self.files += len(shard.names)
        self.before += shard.sizes
        self.after += shard.bytes + (folder / shard.name).with_suffix(".json").stat().st_size
        self.shards += 1
        for cause in shard.unchanged.values():
            self.unchanged[cause] = self.unchanged.get(cause, 0) + 1
        for position, cause in shard.broken.items():
            self.broken[shard.names[int(position)]] = cause


def pack_data_set(
    paths: Sequence[Path],
    folder: Path,
    shard_bytes: int,
    threads: int,
    progress: Callable[[int, int], Callable[[int], object]],
) -> Summary:
    """Pack a data set, or go on with one.

    Args:
        paths: what to pack, as `origin_of` takes it.
        folder: where to; it is made.
        shard_bytes: a shard is ended by the sample that fills it to so many bytes.
        threads: how many files are packed at a time.
        progress: called with the bytes of all files, and of those that are done; it returns what
            is to be called with the bytes of each file that follows.

    Raises:
        ValueError: there is nothing to pack, `folder` has something else in it, or what is packed
            has changed since it was begun.
        OSError: a file can't be read or written. What has been written is kept.
    """
    origin = origin_of(paths)
    os.makedirs(folder, exist_ok=True)
    with _begun(folder, paths, origin):
        return _pack(origin, folder, shard_bytes, threads, progress)


@contextmanager
def _begun(folder: Path, paths: Sequence[Path], origin: Origin) -> Iterator[None]:
    """Note what `folder` is of, or check that. No other process packs into it meanwhile."""
    path = folder / BEGUN
    note = {
        "format": FORMAT,
        "version": VERSION,
        "release": RELEASE,
        "source": str(paths[0].absolute()),
        "samples": len(origin.samples),
        "digest": origin.digest(),
    }
    known = path if path.is_file() else folder / INDEX
    if known.is_file():
        _check_same(known, note)
    elif any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: give a folder that is, or that does not exist")
    if not path.exists():
        write_json(path, note)
    with open(path, "rb") as file:
        lock(file, f"another process is packing into {folder}: let it end")
        yield
        os.unlink(path)


def _check_same(path: Path, note: dict[str, object]) -> None:
    try:
        begun = json.loads(path.read_bytes())
        source, release, digest = (begun[name] for name in ("source", "release", "digest"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is broken: empty {path.parent} and pack anew") from error
    remedy = f"empty {path.parent}, or give another folder"
    if release != note["release"]:
        raise ValueError(
            f"{path.parent} was packed by tied-augment {release}, this is {RELEASE}: {remedy}"
        )
    if digest != note["digest"]:
        same = "which has changed since" if source == note["source"] else f"not {note['source']}"
        raise ValueError(f"{path.parent} was packed from {source}, {same}: {remedy}")


def _pack(
    origin: Origin,
    folder: Path,
    shard_bytes: int,
    threads: int,
    progress: Callable[[int, int], Callable[[int], object]],
) -> Summary:
    summary = Summary(left_out=origin.left_out)
    counts = []
    for shard in _finished(folder, origin):
        summary.add(shard, folder)
        counts.append(len(shard.names))
    rest = origin.samples[summary.files :]
    total = summary.before + sum(sample.size for sample in rest)
    advance = progress(total, summary.before)
    remove_parts(folder, len(counts))
    entries = _entries(rest, threads)
    entry = next(entries, None)
    while entry is not None:
        with ShardWriter(folder, len(counts), summary.files) as writer:
            while entry is not None and (not writer.bytes or writer.bytes < shard_bytes):
                writer.add(entry)
                summary.packed_now += entry.size
                advance(entry.size)
                entry = next(entries, None)
            writer.finish()
        summary.add(writer.shard, folder)
        counts.append(len(writer.shard.names))
    content = {
        "format": FORMAT,
        "version": VERSION,
        "release": RELEASE,
        "source": json.loads((folder / BEGUN).read_bytes())["source"],
        "digest": origin.digest(),
        "samples": summary.files,
        "classes": origin.classes,
        "empty": origin.empty,
        "shards": [
            {"name": shard_name(number), "samples": count} for number, count in enumerate(counts)
        ],
    }
    write_json(folder / INDEX, content)
    return summary


def _finished(folder: Path, origin: Origin) -> Iterator[Shard]:
    """The shards that are there as a whole."""
    if (folder / INDEX).is_file():
        names = read_set(folder).shards
    else:
        names = []
        while (folder / shard_name(len(names))).with_suffix(".json").is_file():
            names.append(shard_name(len(names)))
    first = 0
    for name in names:
        shard = read_shard(folder, name, origin.classes, first)
        wanted = origin.samples[first : first + len(shard.names)]
        if [(sample.name, sample.label) for sample in wanted] != list(
            zip(shard.names, shard.labels, strict=True)
        ):
            raise ValueError(f"{folder / name} has other samples: empty {folder} and pack anew")
        first += len(shard.names)
        yield shard


def _entries(samples: Sequence[Sample], threads: int) -> Iterator[Entry]:
    """The samples as they are stored, in order, made by threads."""
    pool = ThreadPoolExecutor(threads, "tied-pack")
    waiting: deque[Future[Entry]] = deque()
    try:
        for sample in samples:
            waiting.append(pool.submit(_entry, sample))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _entry(sample: Sample) -> Entry:
    data = sample.read()
    digest = hashlib.sha256(data).hexdigest()
    packed, cause = _packed(data)
    broken = None
    if packed is None:
        try:
            _core.decode(data, None)
        except (OSError, RuntimeError) as error:
            broken = str(error)
    content = data if packed is None else packed
    return Entry(sample.name, sample.label, content, len(data), digest, cause, broken)


def _packed(data: bytes) -> tuple[bytes | None, str | None]:
    """The packed image, or why there is none. It has been unpacked and compared."""
    try:
        packed = pack(data)
        if unpack(packed) == data:
            return packed, None
        return None, "unpacked, it is another file"
    except ValueError as error:
        return None, str(error).removeprefix("the file cannot be packed: ")
    except (OSError, RuntimeError) as error:
        return None, str(error)
