"""Called without an index, as data sets call their transforms, a view is a new draw."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tied_augment import TwoView, View

TWO = TwoView(View(24))


@pytest.fixture(scope="module")
def equal_images(tmp_path_factory, photos):
    """An ImageFolder of 12 copies of one photograph: views differ only by their draws."""
    root = tmp_path_factory.mktemp("equal")
    (root / "cats").mkdir()
    for number in range(12):
        Image.fromarray(photos[1]).save(root / "cats" / f"{number:02}.png")
    return root


def epoch_of(folder, workers, transform=TWO):
    dataset = ImageFolder(folder, transform=transform)
    loader = DataLoader(dataset, batch_size=3, num_workers=workers)
    return [views for views, _ in loader]


def distinct(images):
    return len({np.asarray(image).tobytes() for image in images})


@pytest.mark.parametrize("workers", [0, 2])
def test_as_a_transform_every_image_of_every_epoch_has_its_own_views(equal_images, workers):
    torch.manual_seed(3)
    epochs = [epoch_of(equal_images, workers) for _ in range(2)]
    views = [image for epoch in epochs for pair in epoch for batch in pair for image in batch]
    assert len(views) == 2 * 12 * 2
    assert distinct(views) == len(views)


@pytest.mark.parametrize("workers", [0, 2])
def test_torchs_seed_repeats_the_draws(equal_images, workers):
    def run(seed):
        torch.manual_seed(seed)
        return torch.stack([torch.stack(pair) for pair in epoch_of(equal_images, workers)])

    assert torch.equal(run(5), run(5))
    assert not torch.equal(run(5), run(6))


def test_a_transform_gives_pairs_that_collate_to_two_batches(equal_images):
    first, second = epoch_of(equal_images, 0)[0]
    assert first.shape == second.shape == (3, 3, 24, 24)
    assert first.dtype == torch.uint8
    one = epoch_of(equal_images, 0, View(24))[0]
    assert one.shape == (3, 3, 24, 24)


@pytest.mark.parametrize("views", [TWO, TWO.first], ids=["TwoView", "View"])
def test_every_call_without_an_index_is_a_new_draw(photos, views):
    calls = [np.stack(views(photos[0])) for _ in range(4)]
    assert distinct(calls) == 4
    batches = [views.batch([photos[0]] * 3) for _ in range(2)]
    images = [image for batch in batches for image in batch.reshape(-1, 3, 24, 24)]
    assert distinct(images) == len(images)
    assert views.plan((300, 300)) != views.plan((300, 300))


def test_with_an_index_nothing_is_drawn_from_torch(photos):
    state = torch.get_rng_state()
    TWO(photos[0], index=1)
    TWO.batch(photos, range(len(photos)), epoch=3)
    TWO.plan((9, 9), 7)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_torch_numpys_seed_repeats_the_draws():
    program = """
import sys
import numpy as np
from tied_augment import TwoView, View
image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
two = TwoView(View(16))
def run(seed):
    np.random.seed(seed)
    return [np.stack(two(image)) for _ in range(3)]
assert np.array_equal(run(1), run(1))
assert not np.array_equal(run(1), run(2))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
