"""What the demo measures while it trains: the loss, accuracy and agreement on val, and times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.datasets import ImageFolder

from tied_augment import TwoView, View

__all__ = ["Measure", "Row", "normalise"]


@dataclass(frozen=True)
class Row:
    """What was measured at one point of one run; a line of the CSV.

    Attributes:
        way: the name of the `Way`.
        seed: of the weights, the order and the views.
        epoch: passes over the labelled images so far.
        step: optimizer steps so far.
        train_loss: mean since the last row, the weighted similarity included.
        val_accuracy: top-1 on whole val images, in percent.
        val_agreement: percentage of val images whose two views have the same top-1.
        val_similarity: mean cosine between the features of these views, in eval mode.
        ms_per_step: mean time of a training step since the last row, data included.
        data_share: the fraction of that time spent waiting for images.
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


def normalise(images: Tensor) -> Tensor:
    """Make uint8 pixels float, from -1 to 1."""
    return images.float() / 127.5 - 1


class Measure:
    """The rows of one run.

    Args:
        way: the name of the `Way`.
        seed: the run's seed.
        val: the ImageFolder of the val images.
        view: the view that training uses, in which agreement is measured.
        on_row: called with each row as soon as it is measured.

    Attributes:
        rows: what was measured so far.
    """

    def __init__(
        self, way: str, seed: int, val: Path, view: View, on_row: Callable[[Row], object]
    ) -> None:
        self.rows: list[Row] = []
        self._on_row = on_row
        self._way, self._seed = way, seed
        self._val = _Val(val, view)
        self._steps = 0
        self._reset()

    def timed(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Iterate over `batches`, timing the wait for each and its step."""
        started = time.perf_counter()
        for batch in batches:
            self._data += time.perf_counter() - started
            yield batch
            self._total += time.perf_counter() - started
            started = time.perf_counter()

    def add_loss(self, loss: Tensor) -> None:
        """Record the loss of one step."""
        self._losses.append(loss.item())

    def add_row(self, model: Any, epoch: int) -> None:
        """Judge `model` on val and record it with the means since the last row."""
        steps = len(self._losses)
        self._steps += steps
        accuracy, agreement, similarity = self._val.judge(model)
        self.rows.append(
            Row(
                way=self._way,
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
        self._on_row(self.rows[-1])
        self._reset()

    def _reset(self) -> None:
        self._losses: list[float] = []
        self._data = self._total = 0.0


class _Val:
    """The val images, whole and as pairs of views: the same for every run."""

    def __init__(self, folder: Path, view: View) -> None:
        paths: Sequence[str]
        paths, targets = zip(*ImageFolder(folder).samples, strict=True)
        indices = range(len(paths))
        whole = View(view.size, scale=(1, 1), ratio=(1, 1), interpolation="bicubic", hflip=0.0)
        self._images = normalise(torch.from_numpy(whole.batch(paths, indices)))
        self._targets = torch.tensor(targets)
        self._pairs = normalise(torch.from_numpy(TwoView(view).batch(paths, indices)))

    @torch.no_grad()
    def judge(self, model: Any) -> tuple[float, float, float]:
        """Accuracy on whole images; agreement and mean cosine of the features of view pairs."""
        model.eval()
        hits = model(self._images).argmax(1) == self._targets
        # Every timm model has these methods.
        features = [model.forward_features(view) for view in self._pairs]
        top = [model.forward_head(maps).argmax(1) for maps in features]
        first, second = (model.forward_head(maps, pre_logits=True) for maps in features)
        return (
            100 * hits.float().mean().item(),
            100 * (top[0] == top[1]).float().mean().item(),
            F.cosine_similarity(first, second).mean().item(),
        )
