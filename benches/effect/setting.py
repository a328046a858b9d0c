"""What the study compares. It was fixed before the first run of its table and is not changed after.

A regime is a data set and a way to train; in each regime every method trains with every seed. The
regimes differ from ``base`` in one thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["DATA", "METHODS", "REGIMES", "SEEDS", "Method", "Regime", "Run", "runs"]

# Seed 100 was used to choose the setting.
SEEDS = range(10)
DATA = ("characters", "digits")


@dataclass(frozen=True)
class Method:
    """How to train.

    Attributes:
        name: as the table calls it.
        views: views per image.
        similarity, weight: of `TiedLoss`; only with two views.
        length: epochs in those of the regime. One view for twice as long costs as much as two.
    """

    name: str
    views: int = 2
    similarity: str = "mse"
    weight: float = 0.0
    length: int = 1


WEIGHTS = {
    "mse": (0.3, 1.0, 3.0),
    "cosine": (0.3, 1.0, 3.0),
    "vicreg": (0.3, 1.0, 3.0),
    "js": (1.0, 3.0, 10.0),
}
METHODS = (
    Method("one view", views=1),
    Method("one view, twice the steps", views=1, length=2),
    Method("two views, weight 0"),
    *(
        Method(f"{name} {weight:g}", 2, name, weight)
        for name, weights in WEIGHTS.items()
        for weight in weights
    ),
)


@dataclass(frozen=True)
class Regime:
    """How long, on which views and from where to train.

    Attributes:
        name: as the table calls it.
        policy: timm's ``auto_augment``, after the crop; None for crops alone.
        epochs: passes over the training images.
        pretrained: start from a model that knows small letters of other families.
        warmup: the share of the steps in which a tie's weight rises from 0.
    """

    name: str
    policy: str | None = None
    epochs: int = 80
    pretrained: bool = False
    warmup: float = 0.0


REGIMES = (
    Regime("base"),
    Regime("rand-m5", "rand-m5-n2-mstd0.5-inc1"),
    Regime("rand-m9", "rand-m9-n2-mstd0.5-inc1"),
    Regime("rand-m14", "rand-m14-n2-mstd0.5-inc1"),
    Regime("rand-m9, warm-up", "rand-m9-n2-mstd0.5-inc1", warmup=0.5),
    Regime("fine-tuned", pretrained=True),
    Regime("few epochs", epochs=20),
    Regime("many epochs", epochs=240),
)


@dataclass(frozen=True)
class Run:
    """One training."""

    data: str
    regime: Regime
    method: Method
    seed: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies it in results.csv."""
        return self.data, self.regime.name, self.method.name, str(self.seed)


def runs() -> Iterator[Run]:
    """All runs, in the order in which they are made: five seeds of each regime, then the others."""
    for seeds in (SEEDS[:5], SEEDS[5:]):
        for regime in REGIMES:
            for data in DATA:
                for seed in seeds:
                    for method in METHODS:
                        yield Run(data, regime, method, seed)
