"""What TiedLoader says when the process runs out of file descriptors or memory.

The samples are not to blame, so ``on_error="skip"`` must not take others in their places.
"""

import errno
import sys
import textwrap

import numpy as np
import pytest
import ready_process
from image_files import picture
from PIL import Image

if sys.platform != "linux":
    pytest.skip("the limits of other systems differ", allow_module_level=True)

PRELUDE = """
import ctypes, os, resource, sys, time
from pathlib import Path

# Threads have no memory of their own, and large buffers go back to the system: so a limit is felt
# at once. The numbers are M_ARENA_MAX and M_MMAP_THRESHOLD of glibc's malloc.h.
libc = ctypes.CDLL(None)
assert libc.mallopt(-8, 1) and libc.mallopt(-3, 131072)
libc.malloc_trim(0)

import torch
from torchvision.datasets import ImageFolder
from tied_augment import TiedDataset, TiedLoader, TwoView, View

class Paths:
    def __init__(self, folder):
        self.samples = folder.samples
    def __len__(self):
        return len(self.samples)
    def __getitem__(self, index):
        return self.samples[index]

folder = ImageFolder(sys.argv[1])
views = TwoView(View(16, scale=(0.99, 1)))

def same(one, other):
    return all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, other))
"""

# What timm imports would write of leaks on stderr.
ENDING = """
sys.stdout.flush()
os._exit(0)
"""


def run(code, *arguments):
    """What ``code`` prints, line by line, in a process of its own."""
    code = PRELUDE + textwrap.dedent(code) + ENDING
    done = ready_process.run("-c", code, *arguments, ready="timm")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_no_descriptor_is_left(image_folder):
    code = """
    def attempt(read):
        held = []
        try:
            while True:
                held.append(open("/dev/null"))
        except OSError:
            pass
        try:
            read()
            error = None
        except OSError as raised:
            error = raised
        for file in held:
            file.close()
        print(error.errno, error)

    resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
    for source in (folder, Paths(folder)):
        for on_error in ("raise", "skip"):
            loader = TiedLoader(source, views, 4, on_error=on_error)
            before = list(loader)
            loader.set_epoch(0)
            attempt(lambda: list(loader))
            assert loader.skipped == 0
            loader.set_epoch(0)
            assert same(before, list(loader))
    dataset = TiedDataset(folder, views, on_error="skip")
    attempt(lambda: dataset[0])
    """
    lines = run(code, image_folder)
    assert len(lines) == 5
    for line in lines:
        assert line.startswith(f"{errno.EMFILE} ")
        assert ".jpg: cannot read the file: " in line
        assert "Too many open files" in line
        assert line.endswith("close files, or raise the limit on open files (ulimit -n)")


@pytest.fixture(scope="module", params=["jpg", "progressive.jpg", "png", "webp", "bmp", "tif"])
def one_large(request, tmp_path_factory):
    """An ImageFolder whose third image takes 75 MB, and the ending of its files."""
    kind = request.param
    folder = tmp_path_factory.mktemp("large") / "class"
    folder.mkdir()
    for number, side in enumerate([16, 16, 5000, 16]):
        image = Image.fromarray(np.full((side, side, 3), 90, np.uint8))
        image.save(folder / f"{number}.{kind}", **{"progressive": True} if "pr" in kind else {})
    return folder, kind


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_no_memory_is_left_for_an_image(one_large, on_error):
    folder, kind = one_large
    code = """
    loader = TiedLoader(folder, views, 1, threads=1, prefetch=1, on_error=sys.argv[2])
    iteration = iter(loader)
    next(iteration)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20), -1))
    try:
        list(iteration)
    except MemoryError as error:
        print(error)
    print(loader.skipped)
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    print(len(list(loader)))
    """
    said, skipped, after = run(code, folder.parent, on_error)
    wanted = "75000000 more bytes; use fewer" if kind == "jpg" else ""
    assert said.startswith(f"{folder / f'2.{kind}'}: no memory for {wanted}")
    assert (skipped, after) == ("0", "4")


def test_threads_share_what_memory_is_left(tmp_path):
    """Several decoders of other crates, none of which can report that there is none."""
    folder = tmp_path / "class"
    folder.mkdir()
    image = picture(np.random.default_rng(0), 700, 700, "RGBA")
    kinds = ["png", "webp", "tif", "bmp"]
    for number, kind in enumerate(kinds * 16):
        file = folder / f"{number:02}.{kind}"
        if number < len(kinds):
            image.save(file)
        else:
            file.write_bytes((folder / f"{number % len(kinds):02}.{kind}").read_bytes())
    code = """
    failed = good = 0
    for extra in range(-24, 200, 16):
        loader = TiedLoader(folder, views, 4, threads=4, prefetch=1)
        iteration = iter(loader)
        next(iteration)
        # A decoder that runs already was promised its memory before there was a limit.
        last = -1
        while time.process_time() - last > 0.001:
            last = time.process_time()
            time.sleep(0.2)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        # The threads keep some of it, and give it back.
        resource.setrlimit(resource.RLIMIT_AS, (used + (extra << 20), -1))
        try:
            good += len(list(iteration)) == 15
        except MemoryError as error:
            assert ": no memory for " in str(error), error
            failed += 1
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    assert failed and good and failed + good == 14, (failed, good)
    """
    run(code, tmp_path)
