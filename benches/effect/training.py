"""One training of the study: the images of a seed, the loop and what is measured at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import characters
import numpy as np
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from setting import Method, Regime, Run
from sklearn.datasets import load_digits
from torch import nn

from tied_augment import ArrayDataset, Normalize, TiedLoader, TiedLoss, TiedModel, TwoView, View
from tied_augment.loss import Schedule

__all__ = ["Result", "measure", "pretrain", "train"]

MODEL, SIZE, MOST_BATCH = "test_resnet", 32, 64
LEARNING_RATE, FINE_TUNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.05, 0.02, 0.9, 5e-4
SCALE = (0.3, 1.0)
# Of the families, in their arbitrary order: the first for the test, the next for pretraining, and
# each seed draws its training families from the rest.
TEST_FAMILIES, PRETRAINING_FAMILIES, TRAINING_FAMILIES = 120, 70, 2
DIGITS_PER_CLASS = 5
PRETRAINING_EPOCHS, PRETRAINING_SEED = 40, 1000

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Result:
    """A row of results.csv. Accuracies are in percent, on whole images in eval mode.

    Attributes:
        accuracy: top-1 on the test images after the last epoch.
        test_loss: cross entropy there.
        train_accuracy, train_loss: the same on the training images: how far it overfits.
        spread: of the last step's features, as in ``TiedLoss.last``; nan with one view.
    """

    data: str
    regime: str
    method: str
    seed: int
    accuracy: float
    test_loss: float
    train_accuracy: float
    train_loss: float
    spread: float


@dataclass(frozen=True)
class Split:
    """Training and test images ``(N, 40, 40, 3)`` with their classes."""

    images: Images
    targets: list[int]
    test_images: Images
    test_targets: list[int]
    classes: int


def split(data: str, seed: int, folder: Path) -> Split:
    """The images of a seed. The test images of `characters` are the same for all."""
    draw = np.random.default_rng(seed)
    if data == "characters":
        families = characters.load(folder)[:, : len(characters.CAPITALS)]
        pool = np.arange(TEST_FAMILIES + PRETRAINING_FAMILIES, len(families))
        chosen = families[draw.choice(pool, TRAINING_FAMILIES, replace=False)]
        return Split(*_flat(chosen), *_flat(families[:TEST_FAMILIES]), len(characters.CAPITALS))
    digits = load_digits()
    pictures = np.stack([_digit(ink) for ink in digits.images])
    order = draw.permutation(len(pictures))
    rank = np.zeros(len(pictures), int)  # each digit's place among those of its class
    for label in range(10):
        members = order[digits.target[order] == label]
        rank[members] = np.arange(len(members))
    few = rank < DIGITS_PER_CLASS
    targets = digits.target
    return Split(
        pictures[few], targets[few].tolist(), pictures[~few], targets[~few].tolist(), classes=10
    )


def _flat(families: Images) -> tuple[Images, list[int]]:
    """Pictures ``(F, C, 40, 40)`` as RGB images, and their classes."""
    count, classes, *size = families.shape
    return _rgb(families.reshape(-1, *size)), list(range(classes)) * count


def _rgb(gray: Images) -> Images:
    return np.ascontiguousarray(np.repeat(gray[..., None], 3, axis=-1))


def _digit(ink: NDArray[Any]) -> Images:
    """Dark on white, from `ink`, ``(8, 8)``, 0 for paper to 16 for ink."""
    gray = Image.fromarray(np.uint8(255 - ink / 16 * 255))
    side = characters.SIDE
    return _rgb(np.asarray(gray.resize((side, side), Image.Resampling.BICUBIC)))


def train(run: Run, folder: Path) -> Result:
    """Train as `run` says; pictures and the pretrained model are in `folder`."""
    torch.set_num_threads(1)
    torch.manual_seed(run.seed)
    parts = split(run.data, run.seed, folder)
    model = timm.create_model(MODEL, num_classes=parts.classes)
    if run.regime.pretrained:
        state = torch.load(folder / "pretrained.pth")
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
        model.load_state_dict(state, strict=False)
    spread = fit(model, run.method, run.regime, parts.images, parts.targets, run.seed)
    accuracy, test_loss = measure(model, parts.test_images, parts.test_targets)
    train_accuracy, train_loss = measure(model, parts.images, parts.targets)
    return Result(*run.key[:3], run.seed, accuracy, test_loss, train_accuracy, train_loss, spread)


def batches(
    method: Method, regime: Regime, images: Images, targets: list[int], seed: int
) -> TiedLoader:
    """The training images in batches, at least two of them, as views for `method`."""
    view = View(SIZE, scale=SCALE, hflip=0.0, auto_augment=regime.policy)
    return TiedLoader(
        ArrayDataset(images, targets),
        TwoView(view) if method.views == 2 else view,
        batch_size=min(MOST_BATCH, len(images) // 2),
        shuffle=True,
        drop_last=True,
        threads=1,
        seed=seed,
    )


def fit(
    plain: nn.Module, method: Method, regime: Regime, images: Images, targets: list[int], seed: int
) -> float:
    """Train in place with SGD and a one-cycle rate; return the spread of the last features."""
    loader = batches(method, regime, images, targets, seed)
    normalize = Normalize()
    model = TiedModel(plain, normalize=normalize)
    rate = FINE_TUNING_RATE if regime.pretrained else LEARNING_RATE
    optimizer = torch.optim.SGD(
        plain.parameters(), rate, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    epochs = regime.epochs * method.length
    steps = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    warmup = round(regime.warmup * steps)
    criterion = TiedLoss(
        tied_weight=method.weight,
        similarity=method.similarity,
        schedule=Schedule("warmup", warmup_steps=warmup) if warmup else "constant",
        watch_collapse=False,
    )
    plain.train()
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        for views, target in loader:
            if method.views == 2:
                loss = criterion(*model(views), target)
            else:
                loss = F.cross_entropy(plain(normalize(views)), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return float(criterion.last["spread"]) if method.views == 2 else float("nan")


def pretrain(folder: Path) -> None:
    """Train on the small letters of families that are used for nothing else, once per `folder`.

    With one view and RandAugment, so that a tie plays no part in it.
    """
    path = folder / "pretrained.pth"
    if path.exists():
        return
    torch.set_num_threads(1)
    torch.manual_seed(PRETRAINING_SEED)
    families = characters.load(folder)[TEST_FAMILIES:, len(characters.CAPITALS) :]
    images, targets = _flat(families[:PRETRAINING_FAMILIES])
    model = timm.create_model(MODEL, num_classes=len(characters.SMALL))
    regime = Regime("pretraining", "rand-m5-n2-mstd0.5-inc1", PRETRAINING_EPOCHS)
    fit(model, Method("one view", views=1), regime, images, targets, PRETRAINING_SEED)
    torch.save(model.state_dict(), path)


@torch.no_grad()
def measure(model: nn.Module, images: Images, targets: list[int]) -> tuple[float, float]:
    """Accuracy in percent and cross entropy on whole images, resized to `SIZE`."""
    model.eval()
    loader = TiedLoader(
        ArrayDataset(images, targets),
        View.from_timm(input_size=SIZE, crop_pct=1.0, is_training=False),
        batch_size=512,
        threads=1,
    )
    normalize = Normalize()
    logits = torch.cat([model(normalize(batch)) for batch, _ in loader])
    expected = torch.tensor(targets)
    right = (logits.argmax(1) == expected).float().mean()
    return 100 * right.item(), F.cross_entropy(logits, expected).item()
