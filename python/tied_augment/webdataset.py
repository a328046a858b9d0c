"""The samples of one tar file in WebDataset's layout.

The files of a sample follow each other in the archive. They share their path up to the first dot of
the file's name, which is the sample's key; what follows the dot is the file's ending. So
``a/0001.jpg`` and ``a/0001.cls`` are the image and the target of sample ``a/0001``, while
``a/0001.small.jpg`` has the ending ``small.jpg``.

Lives here: `SampleReader`, which reads an archive from front to back. It never decodes an image and
never holds more than one sample.
"""

from __future__ import annotations

import io
import logging
import os
import tarfile
from collections.abc import Iterator
from itertools import groupby
from typing import BinaryIO

from tied_augment.named import NamedSample
from tied_augment.remote import is_remote, open_remote
from tied_augment.shard_cache import ShardCache

__all__ = ["SampleReader"]

_logger = logging.getLogger("tied_augment.loader")

_REST = 1 << 20


class SampleReader:
    """Reads tar files, and warns of what it leaves out.

    Args:
        images: the endings of image files, in lower case.
        target: the ending of the file with the target; None for targets of -1.
        cache: where remote archives are kept; None to read them anew.
    """

    def __init__(
        self, images: frozenset[str], target: str | None, cache: ShardCache | None = None
    ) -> None:
        self._images = images
        self._target = target
        self._cache = cache
        # A warning is given once per archive or set of endings.
        self._cut: set[str] = set()
        self._left_out: set[tuple[str, ...]] = set()

    def samples(self, shard: str) -> Iterator[NamedSample]:
        """The samples of an archive, in its order.

        Raises:
            OSError, tarfile.TarError: the archive can't be read, is not a regular file, or ends
                within a member.
            ImportError: the archive is remote, and fsspec is missing.
            ValueError: a sample without a target.
        """
        # Opening a FIFO would wait for a writer.
        if os.path.exists(shard) and not os.path.isfile(shard):
            raise OSError(f"{shard} is not a regular file")
        try:
            with _opened(shard, self._cache) as file, _archive(shard, file) as archive:
                files = (member for member in archive if member.isfile())
                for key, members in groupby(files, _key):
                    yield from self._sample(archive, members, key, shard)
                self._warn_if_cut(archive, shard)
                while file.read(_REST):
                    pass  # a cache keeps what was read to its end, which is beyond the archive's
        except tarfile.ReadError as error:
            raise tarfile.ReadError(f"{shard}: {error}") from error

    def _sample(
        self, archive: tarfile.TarFile, members: Iterator[tarfile.TarInfo], key: str, shard: str
    ) -> Iterator[NamedSample]:
        """The sample of the files with one key; nothing if there is no image among them."""
        image: bytes | None = None
        target = b""
        endings = []
        for member in members:
            ending = _ending(member)
            endings.append(ending)
            if ending.lower() in self._images:
                image = _content(archive, member)
            elif ending == self._target:
                target = _content(archive, member)
        if image is None:
            self._warn_of_left_out(key, tuple(endings), shard)
        else:
            yield NamedSample((image, self._number(target, key, shard)), f"{shard}, {key}")

    def _number(self, target: bytes, key: str, shard: str) -> int:
        if self._target is None:
            return -1
        try:
            # A UnicodeDecodeError is a ValueError, too.
            return int(target.decode())
        except ValueError:
            what = f"{target[:40]!r} in" if target else "no"
            raise ValueError(f"{shard}: {what} {key}.{self._target} for the target") from None

    def _warn_of_left_out(self, key: str, endings: tuple[str, ...], shard: str) -> None:
        if endings in self._left_out:
            return
        self._left_out.add(endings)
        _logger.warning(
            "%s: %s is left out, and so is all that has the same endings: none of %s is in images=."
            " A file's ending begins at the first dot of its name",
            shard,
            key,
            ", ".join(map(repr, endings)),
        )

    def _warn_if_cut(self, archive: tarfile.TarFile, shard: str) -> None:
        """Warn, once, if an archive that was read to its end lacks the block of zeros there.

        This is not an error: GNU tar accepts such an archive.
        """
        assert archive.fileobj is not None
        # A whole block has been read after the last member if there is one.
        if shard in self._cut or archive.fileobj.tell() - archive.offset >= tarfile.BLOCKSIZE:
            return
        self._cut.add(shard)
        _logger.warning(
            "%s lacks the zeros at a tar file's end: if its writer or a copy was interrupted, "
            "samples are missing, and it must be made again",
            shard,
        )


def _opened(shard: str, cache: ShardCache | None) -> BinaryIO | io.BufferedIOBase:
    return open_remote(shard, cache) if is_remote(shard) else open(shard, "rb")


def _archive(shard: str, file: BinaryIO | io.BufferedIOBase) -> tarfile.TarFile:
    """Open an archive for reading from front to back."""
    if file.seekable():
        try:
            # Quicker than a stream of blocks, but refuses what is compressed.
            return tarfile.open(shard, "r:", file)
        except tarfile.ReadError:
            file.seek(0)
    return tarfile.open(shard, "r|*", file)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The bytes of a member."""
    if member.issparse():
        file = archive.extractfile(member)
        assert file is not None
        return file.read()
    # Quicker than by `extractfile`, whose objects cost more than the reading.
    assert archive.fileobj is not None
    archive.fileobj.seek(member.offset_data)
    content = archive.fileobj.read(member.size)
    if len(content) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return content


def _key(member: tarfile.TarInfo) -> str:
    folder, name = os.path.split(member.name)
    return os.path.join(folder, name.partition(".")[0])


def _ending(member: tarfile.TarInfo) -> str:
    return os.path.basename(member.name).partition(".")[2]
