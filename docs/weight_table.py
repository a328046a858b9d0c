"""Print the table of 'Choosing a weight' in docs/loss.md: ``python docs/weight_table.py``.

A toy experiment: a few of scikit-learn's handwritten digits, strong views, a small network trained
from scratch. It takes a minute or two on one core.
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from tied_augment import TiedLoss, TiedModel

TRAINING, EPOCHS, BATCH, SEEDS = 300, 40, 50, 3
# The rows of the table: names of `tied_augment.loss.SIMILARITIES`, and the weights to try.
WEIGHTS = {"mse": (0, 1, 3, 10, 30, 100), "cosine": (1, 10), "vicreg": (1,)}


def digits() -> tuple[Tensor, Tensor]:
    """All 1,797 images ``(N, 1, 8, 8)`` in [0, 1] and labels, in a fixed random order."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.tensor(images).float().view(-1, 1, 8, 8)[order] / 16, torch.tensor(labels)[order]


def view(images: Tensor, random: torch.Generator) -> Tensor:
    """The images with a random scale, rotation and shift each, and noise."""
    count = len(images)
    scale = torch.eye(2)[None].repeat(count, 1, 1)
    scale = scale * (0.8 + 0.5 * torch.rand(count, 1, 1, generator=random))
    angle = torch.rand(count, generator=random) - 0.5
    rows = [
        torch.stack([angle.cos(), -angle.sin()], -1),
        torch.stack([angle.sin(), angle.cos()], -1),
    ]
    shift = 0.6 * (torch.rand(count, 2, 1, generator=random) - 0.5)
    matrix = torch.cat([scale @ torch.stack(rows, -2), shift], 2)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    noise = 0.2 * torch.randn(images.shape, generator=random)
    return F.grid_sample(images, grid, align_corners=False) + noise


def network() -> nn.Sequential:
    """A ConvNet with BatchNorm; its features are 64 wide, after a ReLU."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, padding=1, stride=2), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


def run(similarity: str, weight: float, seed: int) -> tuple[float, float, float]:
    """Train once; return the accuracy on the other digits, and the last step's ce and spread."""
    images, labels = digits()
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    model = TiedModel(network())
    criterion = TiedLoss(tied_weight=weight, similarity=similarity)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(EPOCHS):
        for batch in torch.randperm(TRAINING, generator=random).split(BATCH):
            views = [view(images[batch], random) for _ in range(2)]
            loss = criterion(*model(views), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        right = model(images[TRAINING:]).argmax(1) == labels[TRAINING:]
    last = criterion.last
    return right.float().mean().item(), last["ce"].item(), last["spread"].item()


def main() -> None:
    """Print the table."""
    warnings.filterwarnings("ignore", "the features have collapsed", RuntimeWarning)
    torch.set_num_threads(1)
    print("| similarity | weight | accuracy | `ce` | `spread` |\n|---|---|---|---|---|")
    for similarity, weights in WEIGHTS.items():
        for weight in weights:
            runs = [run(similarity, weight, seed) for seed in range(SEEDS)]
            accuracy = sum(right for right, _, _ in runs) / SEEDS
            spreads = sorted(spread for _, _, spread in runs)
            name = f"`{similarity}`" if weight else "(untied)"
            between = f"{spreads[0]:.3f} - {spreads[-1]:.3f}"
            print(
                f"| {name} | {weight} | {100 * accuracy:.1f}% | {runs[0][1]:.2f} | {between} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
