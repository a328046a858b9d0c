"""Data sets for the loader's tests, and what a loader over them must give."""

import io
import tarfile

import torch
from torch.utils.data import IterableDataset
from torchvision.datasets import ImageFolder

from tied_augment import TwoView, View

VIEWS = TwoView(View(32))


class Items:
    """A plain map-style data set."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        item = self.items[index]
        if isinstance(item, Exception):
            raise item
        return item


class Stream(IterableDataset):
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


def add_member(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def add_sparse_member(tar, name, content, hole):
    """Add `content` and a hole of so many zeros, in the sparse format of GNU tar."""
    size = len(content) + hole
    stored = b"2\n0\n%d\n%d\n0\n" % (len(content), size)
    stored = stored.ljust(tarfile.BLOCKSIZE, b"\0") + content
    member = tarfile.TarInfo(f"GNUSparseFile.0/{name}")
    member.size = len(stored)
    about = {"major": 1, "minor": 0, "name": name, "realsize": size}
    member.pax_headers = {f"GNU.sparse.{key}": str(value) for key, value in about.items()}
    tar.addfile(member, io.BytesIO(stored))


def write_tar(path, samples, json_target=False):
    """Write (bytes, target) as a webdataset."""
    with tarfile.open(path, "w") as tar:
        for number, (content, target) in enumerate(samples):
            ending, text = ("json", f'{{"a": {target}}}') if json_target else ("cls", str(target))
            for name, part in (("jpg", content), (ending, text.encode())):
                add_member(tar, f"{number:03}.{name}", part)


def paths_of(folder):
    return [path for path, _ in ImageFolder(folder).samples]


def expected(samples, indices, epoch=0, seed=0, views=VIEWS):
    """(2, B, 3, h, w)."""
    chosen = [samples[index] for index in indices]
    return torch.from_numpy(views.batch(chosen, indices, epoch, seed))


def epoch_of(loader):
    return [(images.clone(), targets.clone()) for images, targets in loader]


def assert_same(got, want):
    """That there are batches, and that they are the same."""
    assert len(want) > 0
    assert_equal(got, want)


def assert_equal(got, want):
    """That batches are the same, of which there may be none."""
    assert len(got) == len(want)
    for (images, targets), (wanted, wanted_targets) in zip(got, want, strict=True):
        assert images.dtype == wanted.dtype
        assert torch.equal(images, wanted)
        assert torch.equal(targets, wanted_targets)
