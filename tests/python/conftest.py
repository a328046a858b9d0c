"""What several test files need: real photographs, and folders of them."""

import os

# Before torch is imported, and for the processes that tests start: on tensors of a few numbers
# OpenMP's threads mostly wait for one another, busily.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image
from skimage import data

# Photographs that ship in scikit-image's wheel; nothing is downloaded.
PHOTOS = ("astronaut", "cat", "chelsea", "coffee", "rocket")


@pytest.fixture(scope="session")
def photos():
    """Real photographs, (H, W, 3) uint8."""
    images = []
    for name in PHOTOS:
        image = np.ascontiguousarray(getattr(data, name)()[..., :3])
        assert image.dtype == np.uint8
        images.append(image)
    return images


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory, photos):
    """An ImageFolder of 3 classes with 4 JPEG files each, of various sizes."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(12):
        photo = Image.fromarray(photos[number % len(photos)])
        width, height = rng.integers(40, 200, 2)
        folder = root / f"class{number % 3}"
        folder.mkdir(exist_ok=True)
        photo.resize((int(width), int(height))).save(folder / f"{number:02}.jpg", quality=90)
    return root


@pytest.fixture(scope="session")
def train_folder(tmp_path_factory, photos):
    """What train.py takes for --data-dir: 4 classes, 32 images to train on, 8 to validate."""
    root = tmp_path_factory.mktemp("train")
    rng = np.random.default_rng(1)
    for split, count in (("train", 32), ("validation", 8)):
        for number in range(count):
            photo = Image.fromarray(photos[number % len(photos)][:300, :300])
            folder = root / split / f"class{number % 4}"
            folder.mkdir(parents=True, exist_ok=True)
            width, height = (int(side) for side in rng.integers(40, 100, 2))
            photo.resize((width, height)).save(folder / f"{number:02}.jpg", quality=90)
    return root
