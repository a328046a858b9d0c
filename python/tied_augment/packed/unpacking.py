"""Gives back the files of a packed data set; can be killed and started again.

A file gets its name when all of it is written. So whatever has the name of a sample is whole, and
the next run keeps it after comparing its SHA-256. Nothing else need be remembered.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tied_augment.packed.checking import Checked, check_samples, original, shard_indices
from tied_augment.packed.index import PackedSet, Shard, check_names
from tied_augment.packed.lock import lock

__all__ = ["unpack_samples"]

# No sample ends so: only images are packed.
_PART = "unpacking-*.part"


def unpack_samples(packed: PackedSet, out: Path, threads: int) -> Iterator[Checked]:
    """Write those of the files that were packed that are not there.

    Args:
        packed: the data set.
        out: where to; it may have files of the data set, as an interrupted run leaves them.
        threads: how many samples are unpacked at a time.

    Raises:
        ValueError: `out` has other files, another process is unpacking into it, or two samples
            have the same file.
        OSError: a file can't be written. What has been written is kept.
    """
    os.makedirs(out, exist_ok=True)
    with _alone(out):
        _check_files(packed, out)
        for name in packed.empty:
            os.makedirs(out / name, exist_ok=True)

        def give_back(shard: Shard, position: int) -> Checked:
            path, length = out / shard.names[position], shard.lengths[position]
            if _is_there(path, shard.sha256[position]):
                return Checked(1, length, 0, kept=True)
            content = original(packed.folder / shard.name, shard, position)
            _write(out, path, content)
            return Checked(1, length, len(content))

        yield from check_samples(packed, threads, give_back)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No other process unpacks into `out` meanwhile, and no unfinished file is left."""
    folder = os.open(out, os.O_RDONLY)
    try:
        lock(folder, f"another process is unpacking into {out}: let it end")
        _remove_parts(out)
        try:
            yield
        finally:
            _remove_parts(out)
    finally:
        os.close(folder)


def _remove_parts(out: Path) -> None:
    for part in out.glob(_PART):
        os.unlink(part)


def _check_files(packed: PackedSet, out: Path) -> None:
    """Refuse samples of the same file, and files in `out` that are not of samples."""
    names: list[str] = []
    unknown = False
    for shard in shard_indices(packed):
        if isinstance(shard, Shard):
            names += shard.names
        else:
            unknown = True
    check_names(names)
    known = set(names)
    for folder, _, files in os.walk(out):
        for file in files:
            name = os.path.relpath(os.path.join(folder, file), out)
            if name not in known and not unknown:
                raise ValueError(
                    f"{out} is not empty: {name} is not of {packed.folder}; give a folder that is "
                    "empty, or does not exist, or that an interrupted run has left"
                )


def _is_there(path: Path, sha256: str) -> bool:
    """Whether the file of a sample is there. Removes what `_write` has left if it was interrupted.

    Raises:
        ValueError: there is another file of this name.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    if hashlib.sha256(content).hexdigest() == sha256:
        return True
    if not content:
        path.unlink()
        return False
    raise ValueError(
        f"{path} is there and is another file: remove it and run the same command again, or give "
        "an empty folder"
    )


def _write(out: Path, path: Path, content: bytes) -> None:
    part = out / _PART.replace("*", str(threading.get_ident()))
    part.write_bytes(content)
    os.makedirs(path.parent, exist_ok=True)
    # Not over another file, whatever the system takes for the same name.
    open(path, "xb").close()
    os.replace(part, path)
