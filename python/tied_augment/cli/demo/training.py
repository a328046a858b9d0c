"""The demo's training: one loop, run four ways. Read `train` as the reference loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, TiedLoss, TiedModel, TwoView, View
from tied_augment.cli.demo.measure import Measure, Row, normalise

__all__ = ["BATCH", "MODEL", "SIMILARITY", "VIEW", "WAYS", "Way", "train"]

MODEL = "test_resnet"
BATCH, UNLABELLED_BATCH = 25, 50
# No flips, which make other digits or none.
VIEW = View(16, scale=(0.3, 1.0), hflip=0.0)
SIMILARITY = "js"
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
CURVE_POINTS = 8
# The target that cross entropy ignores.
NO_LABEL = -100


@dataclass(frozen=True)
class Way:
    """One of the compared ways to train.

    Attributes:
        name: as the table and the plot call it.
        tied_weight: the weight of the similarity; None to train on the first view alone.
        unlabelled: whether each batch also has unlabelled images. They do not enter the cross
            entropy, so only the similarity can learn from them.
    """

    name: str
    tied_weight: float | None
    unlabelled: bool = False

    @property
    def images_per_step(self) -> int:
        """The number of views that the model gets per optimizer step."""
        if self.tied_weight is None:
            return BATCH
        return 2 * (BATCH + UNLABELLED_BATCH * self.unlabelled)


WAYS = (
    Way("one view", None),
    Way("two views", 0.0),
    Way("unlabelled too, weight 0", 0.0, unlabelled=True),
    Way("unlabelled too, tied", 3.0, unlabelled=True),
)


class OneView(Dataset[tuple[Tensor, int]]):
    """The baseline: the first views of a `TiedDataset`, without the work for the second."""

    def __init__(self, folder: ImageFolder, view: View, seed: int, threads: int) -> None:
        self.samples, self.view, self.seed, self.threads = folder.samples, view, seed, threads
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        paths, targets = zip(*(self.samples[index] for index in indices), strict=True)
        views = self.view.batch(paths, indices, self.epoch, self.seed, threads=self.threads)
        return list(zip(torch.from_numpy(views), targets, strict=True))

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def train(
    way: Way,
    seed: int,
    data: Path,
    epochs: int,
    threads: int,
    on_step: Callable[[], object],
    on_row: Callable[[Row], object],
) -> list[Row]:
    """Train `MODEL` from scratch, and measure it about `CURVE_POINTS` times.

    Args:
        way: how.
        seed: of the weights, the order and the views; the same for all ways.
        data: the folder with ``train``, ``unlabelled`` and ``val``.
        epochs: passes over the labelled images; all ways make equally many steps.
        threads: threads for one batch of views.
        on_step: called after every optimizer step.
        on_row: called with each row as soon as it is measured.
    """
    torch.manual_seed(seed)
    labelled, unlabelled = _datasets(way, seed, data, threads)
    loader, more = _loader(labelled, BATCH, seed), _loader(unlabelled, UNLABELLED_BATCH, seed)
    model = TiedModel(timm.create_model(MODEL, num_classes=10))
    criterion = TiedLoss(tied_weight=way.tied_weight or 0.0, similarity=SIMILARITY)
    optimizer = torch.optim.SGD(
        model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=epochs * len(loader)
    )
    measure = Measure(way.name, seed, data / "val", VIEW, on_row)

    for epoch in range(epochs):
        labelled.set_epoch(epoch)
        unlabelled.set_epoch(epoch)
        model.train()
        batches = _joined(loader, more) if way.unlabelled else loader
        for views, target in measure.timed(batches):
            if way.tied_weight is None:
                loss = F.cross_entropy(model.model(normalise(views)), target)
            else:
                logits, features = model([normalise(view) for view in views])
                loss = criterion(logits, features, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            measure.add_loss(loss)
            on_step()
        if (epoch + 1) % max(1, epochs // CURVE_POINTS) == 0 or epoch + 1 == epochs:
            measure.add_row(model, epoch + 1)
    return measure.rows


def _datasets(
    way: Way, seed: int, data: Path, threads: int
) -> tuple[TiedDataset | OneView, TiedDataset]:
    """The labelled images, as `way` wants their views, and the unlabelled ones."""
    train = ImageFolder(data / "train")
    others = ImageFolder(data / "unlabelled", target_transform=lambda _: NO_LABEL)
    unlabelled = TiedDataset(others, TwoView(VIEW), seed=seed, threads=threads)
    if way.tied_weight is None:
        return OneView(train, VIEW, seed, threads), unlabelled
    return TiedDataset(train, TwoView(VIEW), seed=seed, threads=threads), unlabelled


def _loader(dataset: Dataset[Any], batch: int, seed: int) -> DataLoader[Any]:
    order = torch.Generator().manual_seed(seed)
    return DataLoader(dataset, batch, shuffle=True, drop_last=True, generator=order)


def _joined(labelled: DataLoader[Any], unlabelled: DataLoader[Any]) -> Iterator[Any]:
    """Each batch of `labelled` followed by one of `unlabelled`, in each view and the targets."""
    for (views, target), (others, no_label) in zip(labelled, unlabelled, strict=False):
        pairs = zip(views, others, strict=True)
        yield [torch.cat(pair) for pair in pairs], torch.cat([target, no_label])
