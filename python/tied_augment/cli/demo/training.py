"""The demo's training: one loop, run three ways. Read `train` as the reference loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, TiedLoss, TiedModel, TwoView, View

__all__ = ["BATCH", "MODEL", "VIEW", "WAYS", "Row", "Way", "train"]

MODEL = "test_mambaout"
BATCH = 25
# Digits must not be flipped.
VIEW = View(32, scale=(0.2, 1.0), hflip=0.0)
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.05
CURVE_POINTS = 8
# Pairs of val images whose features are compared, for the curve only.
PROBES = 200


@dataclass(frozen=True)
class Way:
    """One of the compared ways to train.

    Attributes:
        name: as the table and the plot call it.
        tied_weight: the weight of the similarity; None to train on the first view alone.
    """

    name: str
    tied_weight: float | None

    @property
    def images_per_step(self) -> int:
        """How many views the model sees in one optimizer step."""
        return BATCH if self.tied_weight is None else 2 * BATCH


WAYS = (
    Way("one view", None),
    Way("two views, weight 0", 0.0),
    Way("two views, tied", 1.0),
)


@dataclass(frozen=True)
class Row:
    """What was measured at one point of one run; a line of the CSV.

    Attributes:
        way: the name of the `Way`.
        seed: of the weights, the order and the views.
        epoch: epochs done.
        step: optimizer steps done.
        train_loss: mean since the last row, the weighted similarity included.
        val_accuracy: top-1 on whole val images, in percent.
        val_similarity: mean cosine of the features of two views of val images, in eval mode.
        ms_per_step: mean time of a training step since the last row, data included.
        data_share: the part of that time spent waiting for images.
    """

    way: str
    seed: int
    epoch: int
    step: int
    train_loss: float
    val_accuracy: float
    val_similarity: float
    ms_per_step: float
    data_share: float


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
    way: Way, seed: int, data: Path, epochs: int, threads: int, on_step: Callable[[], object]
) -> list[Row]:
    """Train `MODEL` from scratch, and measure it about `CURVE_POINTS` times.

    Args:
        way: how.
        seed: of the weights, the order and the views; the same for all ways.
        data: the folder with ``train`` and ``val``.
        epochs: passes over the training images; all ways make equally many steps.
        threads: threads for one batch of views.
        on_step: called after every optimizer step.
    """
    torch.manual_seed(seed)
    folder = ImageFolder(data / "train")
    dataset: TiedDataset | OneView
    if way.tied_weight is None:
        dataset = OneView(folder, VIEW, seed, threads)
    else:
        dataset = TiedDataset(folder, TwoView(VIEW), seed=seed, threads=threads)
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(dataset, BATCH, shuffle=True, drop_last=True, generator=order)
    model = TiedModel(timm.create_model(MODEL, num_classes=len(folder.classes)))
    criterion = TiedLoss(tied_weight=way.tied_weight or 0.0)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=epochs * len(loader)
    )
    measure = _Measure(way, seed, data)

    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        model.train()
        for views, target in measure.waiting(loader):
            if way.tied_weight is None:
                loss = F.cross_entropy(model.model(normalise(views)), target)
            else:
                logits, features = model([normalise(view) for view in views])
                loss = criterion(logits, features, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            measure.stepped(loss)
            on_step()
        if (epoch + 1) % max(1, epochs // CURVE_POINTS) == 0 or epoch + 1 == epochs:
            measure.add_row(model, epoch + 1)
    return measure.rows


def normalise(images: Tensor) -> Tensor:
    """Make uint8 pixels float, from -1 to 1."""
    return images.float() / 127.5 - 1


class _Measure:
    """The rows of one run, and the clock that is read for them."""

    def __init__(self, way: Way, seed: int, data: Path) -> None:
        self.rows: list[Row] = []
        self._way, self._seed = way, seed
        self._val = _Val(data / "val")
        self._steps = 0
        self._reset()

    def waiting(self, loader: DataLoader[Any]) -> Any:
        """Iterate over `loader`, timing how long each batch is waited for."""
        started = time.perf_counter()
        for batch in loader:
            self._data += time.perf_counter() - started
            yield batch
            self._total += time.perf_counter() - started
            started = time.perf_counter()

    def stepped(self, loss: Tensor) -> None:
        self._losses.append(loss.item())

    def add_row(self, model: TiedModel, epoch: int) -> None:
        steps = len(self._losses)
        self._steps += steps
        accuracy, similarity = self._val.judge(model)
        self.rows.append(
            Row(
                way=self._way.name,
                seed=self._seed,
                epoch=epoch,
                step=self._steps,
                train_loss=sum(self._losses) / steps,
                val_accuracy=accuracy,
                val_similarity=similarity,
                ms_per_step=1000 * self._total / steps,
                data_share=self._data / self._total,
            )
        )
        self._reset()

    def _reset(self) -> None:
        self._losses: list[float] = []
        self._data = self._total = 0.0


class _Val:
    """The val images, whole and as pairs of views: the same for every run."""

    def __init__(self, folder: Path) -> None:
        paths: Sequence[str]
        paths, targets = zip(*ImageFolder(folder).samples, strict=True)
        whole = View(VIEW.size, scale=(1, 1), ratio=(1, 1), interpolation="bicubic", hflip=0.0)
        self.images = normalise(torch.from_numpy(whole.batch(paths)))
        self.targets = torch.tensor(targets)
        # The files are sorted by class: a stride takes some of each.
        probes = paths[:: max(1, len(paths) // PROBES)]
        self.pairs = normalise(torch.from_numpy(TwoView(VIEW).batch(probes)))

    @torch.no_grad()
    def judge(self, model: nn.Module) -> tuple[float, float]:
        """Top-1 accuracy in percent, and the mean cosine of the features of view pairs."""
        model.eval()
        hits = torch.cat([model(images).argmax(1) for images in self.images.split(256)])
        first, second = (_features(model, view) for view in self.pairs)
        accuracy = 100 * (hits == self.targets).float().mean()
        return accuracy.item(), F.cosine_similarity(first, second).mean().item()


def _features(model: Any, images: Tensor) -> Tensor:
    """What the classifier gets; every timm model has these methods."""
    features: Tensor = model.forward_head(model.forward_features(images), pre_logits=True)
    return features
