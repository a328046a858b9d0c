"""The demo's training: one loop, run four ways. Read `train` as the reference loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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

__all__ = [
    "BATCH",
    "MODEL",
    "SIMILARITY",
    "UNLABELLED_BATCH",
    "VIEW",
    "WAYS",
    "Row",
    "Way",
    "train",
]

MODEL = "test_resnet"
BATCH, UNLABELLED_BATCH = 25, 50
# Digits must not be flipped.
VIEW = View(16, scale=(0.3, 1.0), hflip=0.0)
SIMILARITY = "js"
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
CURVE_POINTS = 8
# What cross entropy passes over.
NO_LABEL = -100


@dataclass(frozen=True)
class Way:
    """One of the compared ways to train.

    Attributes:
        name: as the table and the plot call it.
        tied_weight: the weight of the similarity; None to train on the first view alone.
        unlabelled: whether unlabelled images go into every batch. They have no part in the cross
            entropy, so only the similarity can learn from them.
    """

    name: str
    tied_weight: float | None
    unlabelled: bool = False

    @property
    def images_per_step(self) -> int:
        """How many views the model sees in one optimizer step."""
        if self.tied_weight is None:
            return BATCH
        return 2 * (BATCH + UNLABELLED_BATCH * self.unlabelled)


WAYS = (
    Way("one view", None),
    Way("two views", 0.0),
    Way("unlabelled too, weight 0", 0.0, unlabelled=True),
    Way("unlabelled too, tied", 3.0, unlabelled=True),
)


@dataclass(frozen=True)
class Row:
    """What was measured at one point of one run; a line of the CSV.

    Attributes:
        way: the name of the `Way`.
        seed: of the weights, the order and the views.
        epoch: passes over the labelled images done.
        step: optimizer steps done.
        train_loss: mean since the last row, the weighted similarity included.
        val_accuracy: top-1 on whole val images, in percent.
        val_agreement: how many val images have the same top-1 in two views, in percent.
        val_similarity: mean cosine of the features of these views, in eval mode.
        ms_per_step: mean time of a training step since the last row, data included.
        data_share: the part of that time spent waiting for images.
    """

    way: str
    seed: int
    epoch: int
    step: int
    train_loss: float
    val_accuracy: float
    val_agreement: float
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
        data: the folder with ``train``, ``unlabelled`` and ``val``.
        epochs: passes over the labelled images; all ways make equally many steps.
        threads: threads for one batch of views.
        on_step: called after every optimizer step.
    """
    torch.manual_seed(seed)
    folder = ImageFolder(data / "train")
    others = ImageFolder(data / "unlabelled", target_transform=lambda _: NO_LABEL)
    unlabelled = TiedDataset(others, TwoView(VIEW), seed=seed, threads=threads)
    labelled: TiedDataset | OneView
    if way.tied_weight is None:
        labelled = OneView(folder, VIEW, seed, threads)
    else:
        labelled = TiedDataset(folder, TwoView(VIEW), seed=seed, threads=threads)
    loader, more = _loader(labelled, BATCH, seed), _loader(unlabelled, UNLABELLED_BATCH, seed)
    model = TiedModel(timm.create_model(MODEL, num_classes=len(folder.classes)))
    criterion = TiedLoss(tied_weight=way.tied_weight or 0.0, similarity=SIMILARITY)
    optimizer = torch.optim.SGD(
        model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=epochs * len(loader)
    )
    measure = _Measure(way, seed, data)

    for epoch in range(epochs):
        labelled.set_epoch(epoch)
        unlabelled.set_epoch(epoch)
        model.train()
        batches = _joined(loader, more) if way.unlabelled else loader
        for views, target in measure.waiting(batches):
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


def _loader(dataset: Dataset[Any], batch: int, seed: int) -> DataLoader[Any]:
    order = torch.Generator().manual_seed(seed)
    return DataLoader(dataset, batch, shuffle=True, drop_last=True, generator=order)


def _joined(labelled: DataLoader[Any], unlabelled: DataLoader[Any]) -> Iterator[Any]:
    """The batches of `labelled`, each with one of `unlabelled` behind it, view by view."""
    for (views, target), (others, no_label) in zip(labelled, unlabelled, strict=False):
        pairs = zip(views, others, strict=True)
        yield [torch.cat(pair) for pair in pairs], torch.cat([target, no_label])


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

    def waiting(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Iterate over `batches`, timing how long each is waited for."""
        started = time.perf_counter()
        for batch in batches:
            self._data += time.perf_counter() - started
            yield batch
            self._total += time.perf_counter() - started
            started = time.perf_counter()

    def stepped(self, loss: Tensor) -> None:
        self._losses.append(loss.item())

    def add_row(self, model: TiedModel, epoch: int) -> None:
        steps = len(self._losses)
        self._steps += steps
        accuracy, agreement, similarity = self._val.judge(model)
        self.rows.append(
            Row(
                way=self._way.name,
                seed=self._seed,
                epoch=epoch,
                step=self._steps,
                train_loss=sum(self._losses) / steps,
                val_accuracy=accuracy,
                val_agreement=agreement,
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
        self.images = normalise(torch.from_numpy(whole.batch(paths, range(len(paths)))))
        self.targets = torch.tensor(targets)
        self.pairs = normalise(torch.from_numpy(TwoView(VIEW).batch(paths, range(len(paths)))))

    @torch.no_grad()
    def judge(self, model: Any) -> tuple[float, float, float]:
        """Accuracy on whole images; agreement and mean cosine of the features of view pairs."""
        model.eval()
        hits = model(self.images).argmax(1) == self.targets
        # Every timm model has these methods.
        features = [model.forward_features(view) for view in self.pairs]
        top = [model.forward_head(maps).argmax(1) for maps in features]
        first, second = (model.forward_head(maps, pre_logits=True) for maps in features)
        return (
            100 * hits.float().mean().item(),
            100 * (top[0] == top[1]).float().mean().item(),
            F.cosine_similarity(first, second).mean().item(),
        )
