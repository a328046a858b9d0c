"""Files that grow, shrink or are replaced while a loader reads them: an error, or pixels.

`src/file.rs` tests what is read of each. Here the same happens at random moments, to every reader.
"""

import contextlib
import gc
import itertools
import os
import re
import tarfile
import threading

import numpy as np
import pytest
from image_files import encoded, picture
from loader_sets import write_tar
from packed_sets import pack_folder
from timm.data import ImageDataset
from torchvision.datasets import ImageFolder

from tied_augment import TarShards, TiedLoader, TwoView, View, decode
from tied_augment.packed import PackedDataset

VIEWS = TwoView(View(32))
ROUNDS = 25


class Changing:
    """Changes a file for as long as the ``with`` lasts, in one of the ways."""

    def __init__(self, path, change):
        self.path, self.whole = path, path.read_bytes()
        self.change = getattr(self, change)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.path.write_bytes(self.whole)

    def run(self):
        for number in itertools.count():
            if self.stop.is_set():
                return
            self.change(number)

    def grow(self, number):
        size = len(self.whole)
        with self.path.open("r+b") as file:
            file.truncate(size // 2)
            file.seek(size // 2)
            for at in range(size // 2, size, 1 + size // 16):
                file.write(self.whole[at : at + 1 + size // 16])
                file.flush()

    def shrink(self, number):
        with self.path.open("r+b") as file:
            file.write(self.whole)
            file.flush()
            for part in (3, 2, 1, 0):
                file.truncate(len(self.whole) * part // 4)

    def replace(self, number):
        new = self.path.with_name("new")
        new.write_bytes(self.whole if number % 2 else self.whole[: len(self.whole) // 2])
        os.replace(new, self.path)


CHANGES = ["grow", "shrink", "replace"]


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        path = tmp_path / "images" / "class" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = picture(np.random.default_rng(number), 300, 400, "RGB")
        path.write_bytes(encoded(image, "JPEG", quality=95))
    return tmp_path / "images"


def attempts(work):
    """Calls ``work`` often, which may fail as files do."""
    for _ in range(ROUNDS):
        # DecodeError is an OSError.
        with contextlib.suppress(OSError, tarfile.TarError):
            work()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_single_files(tmp_path, kind, change):
    path = tmp_path / "image"
    image = picture(np.random.default_rng(0), 200, 300, "P" if kind == "GIF" else "RGB")
    path.write_bytes(encoded(image, kind))
    with Changing(path, change):
        attempts(lambda: decode(str(path)))
    assert decode(str(path)).shape == (200, 300, 3)


def test_a_replaced_file_is_one_or_the_other(tmp_path):
    path = tmp_path / "image"
    images = [picture(np.random.default_rng(seed), 200, 300, "RGB") for seed in (1, 2)]
    one, other = (encoded(image, "PNG") for image in images)
    path.write_bytes(one)

    class Replacing(Changing):
        def replace(self, number):
            new = self.path.with_name("new")
            new.write_bytes((one, other)[number % 2])
            os.replace(new, self.path)

    found = set()
    with Replacing(path, "replace"):
        for _ in range(10 * ROUNDS):
            got = decode(str(path))
            same = [np.array_equal(got, image) for image in images]
            assert sum(same) == 1
            found.add(same[0])
    assert found == {True, False}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder(folder, change):
    dataset = ImageFolder(folder)
    loader = TiedLoader(dataset, VIEWS, 3, threads=2)
    with Changing(folder / "class" / "1.jpg", change):
        attempts(lambda: list(loader))
    assert len(list(loader)) == 1


# timm leaves its archives open.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("change", CHANGES)
def test_an_archive(folder, tmp_path, change):
    archive = tmp_path / "images.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, arcname=".")
    loader = TiedLoader(ImageDataset(str(archive)), VIEWS, 3, threads=2)
    assert len(list(loader)) == 1
    with Changing(archive, change):
        attempts(lambda: list(loader))
    loader = None
    gc.collect()  # so that the warning comes here


@pytest.mark.parametrize("change", CHANGES)
def test_a_packed_data_set(folder, tmp_path, change):
    packed = tmp_path / "packed"
    pack_folder(folder, packed)
    loader = TiedLoader(PackedDataset(packed), VIEWS, 3, threads=2)
    assert len(list(loader)) == 1
    with Changing(next(packed.glob("*.tar")), change):
        attempts(lambda: list(loader))


@pytest.mark.parametrize("change", CHANGES)
def test_shards(folder, tmp_path, change):
    shard = tmp_path / "shard.tar"
    write_tar(shard, [(path.read_bytes(), 0) for path in sorted(folder.rglob("*.jpg"))])
    loader = TiedLoader(TarShards([str(shard)]), VIEWS, 3, threads=2)
    assert len(list(loader)) == 1

    def read():
        try:
            list(loader)
        except ValueError as error:  # the shard ends after an image, before its class
            if not re.search(r"shard\.tar: no 00\d\.cls for the target", str(error)):
                raise

    with Changing(shard, change):
        attempts(read)
