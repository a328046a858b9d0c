"""Fixtures that several test files need: photographs, and folders of them."""

import gc
import os
import subprocess
import sys
from pathlib import Path

# For small tensors, OpenMP's threads spend most of their time waiting for one another. This must be
# set before torch is imported. The processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import unfused
from PIL import Image
from skimage import data

import tied_augment

# Photographs that ship in scikit-image's wheel; nothing is downloaded.
PHOTOS = ("astronaut", "cat", "chelsea", "coffee", "rocket")


def pytest_addoption(parser):
    text = "fail if the package comes from this checkout: the tests are of an installed wheel"
    parser.addoption("--installed", action="store_true", help=text)


def pytest_configure(config):
    package = Path(tied_augment.__file__)
    if config.getoption("installed") and config.rootpath in package.parents:
        raise pytest.UsageError(f"--installed: the package is {package.parent}, of this checkout")


def pytest_ignore_collect(collection_path, config):
    """Leave out the files marked ``integration`` where none is run: their imports take seconds."""
    if collection_path.suffix != ".py" or "not integration" not in config.option.markexpr:
        return None
    return "mark.integration" in collection_path.read_text() or None


def pytest_collection_modifyitems(items):
    """Skip tests marked ``cuda`` where there are too few GPUs for them."""
    wanted = {item: item.get_closest_marker("cuda") for item in items}
    if not any(wanted.values()):
        return
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for item, marker in wanted.items():
        if marker is None:
            continue
        # The warnings of torch's libraries differ between GPUs; they would hide what is tested.
        item.add_marker(pytest.mark.filterwarnings("ignore"))
        needed = marker.kwargs.get("devices", 1)
        if found < needed:
            item.add_marker(pytest.mark.skip(reason=f"needs {needed} GPU(s), {found} found"))


def pytest_collection_finish():
    """Keep what is imported out of garbage collections: a forked process would copy all of it."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def any_device(request):
    """The CPU, and a GPU where there is one."""
    import torch

    return torch.device(request.param)


@pytest.fixture(scope="session", autouse=True)
def pillow_as_on_x86():
    """Pillow has the same pixels on every machine."""
    with unfused.in_pillow(in_numpy=unfused.FUSED):
        yield


@pytest.fixture(scope="session")
def photos():
    """Real photographs, (H, W, 3) uint8."""
    images = []
    for name in PHOTOS:
        image = np.ascontiguousarray(getattr(data, name)()[..., :3])
        assert image.dtype == np.uint8
        images.append(image)
    return images


def write_jpegs(root, photos, count, classes, longest, rng):
    """Writes an ImageFolder of JPEG files, of 40 to ``longest`` pixels a side."""
    for number in range(count):
        photo = Image.fromarray(photos[number % len(photos)])
        folder = root / f"class{number % classes}"
        folder.mkdir(parents=True, exist_ok=True)
        width, height = (int(side) for side in rng.integers(40, longest, 2))
        photo.resize((width, height)).save(folder / f"{number:02}.jpg", quality=90)


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory, photos):
    """An ImageFolder of 3 classes with 4 JPEG files each, of various sizes."""
    root = tmp_path_factory.mktemp("images")
    write_jpegs(root, photos, 12, 3, 200, np.random.default_rng(0))
    return root


@pytest.fixture(scope="session")
def train_folder(tmp_path_factory, photos):
    """A folder for train.py's --data-dir: 4 classes, 32 images to train on, 8 to validate."""
    root = tmp_path_factory.mktemp("train")
    rng = np.random.default_rng(1)
    parts = [photo[:300, :300] for photo in photos]
    for split, count in (("train", 32), ("validation", 8)):
        write_jpegs(root / split, parts, count, 4, 100, rng)
    return root


@pytest.fixture
def disk_of(tmp_path):
    """A function: a size such as "16k", and options of a mount, to a folder on such a disk."""
    disks = []

    def make(size, *options):
        disk = tmp_path / f"{len(disks)}-disk"
        disk.mkdir()
        given = ",".join([f"size={size}", *options])
        mount = ["mount", "-t", "tmpfs", "-o", given, "tmpfs", str(disk)]
        can_mount = sys.platform == "linux" and os.geteuid() == 0
        if not can_mount or subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("mounting a small disk is not allowed here")
        disks.append(disk)
        return disk

    yield make
    for disk in disks:
        subprocess.run(["umount", str(disk)], check=True)
