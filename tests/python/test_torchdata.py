"""TiedDataset under torchdata's StatefulDataLoader: what is resumed, and what the user must do."""

import pytest
import torch
from loader_sets import VIEWS
from torchdata.stateful_dataloader import StatefulDataLoader
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),
]

EPOCHS, BATCHES = 3, 4
ENDED = BATCHES  # the state after the epoch's end


def made(folder, workers, persistent, seed):
    torch.manual_seed(seed)
    dataset = TiedDataset(ImageFolder(folder), VIEWS, seed=5, return_index=True)
    options = {"num_workers": workers, "persistent_workers": persistent}
    return dataset, StatefulDataLoader(dataset, 3, shuffle=True, **options)


def values(batch):
    (first, second), targets, indices = batch
    return torch.stack((first, second)).clone(), targets.clone(), indices.clone()


@pytest.fixture(scope="module", params=[(0, False), (2, False), (2, True)], ids=str)
def run(request, image_folder):
    """A run that is not interrupted: its batches, and the loader's state after each."""
    dataset, loader = made(image_folder, *request.param, seed=1)
    batches, states = [], []
    for epoch in range(EPOCHS):
        dataset.set_epoch(epoch)
        given, saved = [], []
        for batch in loader:
            given.append(values(batch))
            saved.append(loader.state_dict())
        batches.append(given)
        states.append([*saved, loader.state_dict()])
    return request.param, batches, states


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("done", [0, 2, BATCHES - 1, ENDED])
def test_a_resumed_run_gives_the_batches_of_one_that_was_not_interrupted(
    run, image_folder, epoch, done
):
    options, batches, states = run
    dataset, loader = made(image_folder, *options, seed=99)
    loader.load_state_dict(states[epoch][done])
    if done == ENDED:
        epoch, done = epoch + 1, -1
    for number in range(epoch, EPOCHS):
        dataset.set_epoch(number)
        wanted = batches[number][done + 1 :] if number == epoch else batches[number]
        got = [values(batch) for batch in loader]
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            for part, want in zip(one, other, strict=True):
                assert torch.equal(part, want)


def test_without_set_epoch_the_views_are_others(run, image_folder):
    """The state has the order of the epoch, not its number."""
    options, batches, states = run
    _, loader = made(image_folder, *options, seed=99)
    loader.load_state_dict(states[1][0])
    pixels, _, indices = values(next(iter(loader)))
    assert torch.equal(indices, batches[1][1][2])
    assert not torch.equal(pixels, batches[1][1][0])
