"""Draw docs/pictures/effect.png from results.csv: ``python benches/effect/plots.py``."""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from setting import METHODS, REGIMES
from tables import DATA_NAMES, DOC, RESULTS, UNTIED, Seeds, complete, gains, interval

__all__ = ["PICTURE", "draw"]

PICTURE = DOC.parent / "pictures" / "effect.png"
COLOURS = {"mse": "tab:blue", "cosine": "tab:orange", "vicreg": "tab:green", "js": "tab:red"}


def draw(results: Path, picture: Path) -> None:
    """A panel per data set and regime: each method's gain over two views at weight 0."""
    mpl.use("Agg")
    found = complete(results)
    rows = [row for data in DATA_NAMES for row in _rows([key for key in found if key[0] == data])]
    across = max(map(len, rows))
    figure, panels = plt.subplots(
        len(rows),
        across,
        figsize=(3.2 * across + 1.2, 3.4 * len(rows)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for row, line in zip(rows, panels, strict=True):
        for panel in line[len(row) :]:
            panel.set_visible(False)
        for (data, regime), panel in zip(row, line, strict=False):
            seeds = found[data, regime]
            _panel(panel, gains(seeds, UNTIED))
            count = len(seeds[UNTIED])
            panel.set_title(f"{DATA_NAMES[data]}, {regime}, {count} seeds", fontsize=9)
    figure.supxlabel(f"accuracy minus that of {UNTIED}, points; 95% intervals", fontsize=9)
    figure.savefig(picture, dpi=100)
    plt.close(figure)


def _rows(keys: list[tuple[str, str]], across: int = 4) -> list[list[tuple[str, str]]]:
    """The panels of a data set, in the order of the regimes, `across` to a row."""
    order = [regime.name for regime in REGIMES]
    keys.sort(key=lambda key: order.index(key[1]) if key[1] in order else len(order))
    return [keys[start : start + across] for start in range(0, len(keys), across)]


def _panel(panel: Axes, differences: Seeds) -> None:
    """A row per method: the mean, its interval and the seeds as dots."""
    for row, method in enumerate(METHODS):
        values = differences[method.name]
        colour = COLOURS[method.similarity] if method.weight else "black"
        panel.plot(values, [row] * len(values), ".", color=colour, alpha=0.35, markersize=5)
        half = interval(values) if len(values) > 1 else 0.0
        panel.errorbar(statistics.mean(values), row, xerr=half, fmt="o", color=colour, markersize=4)
    panel.axvline(0, color="gray", linewidth=0.8)
    panel.set_yticks(range(len(METHODS)), [method.name for method in METHODS], fontsize=8)
    panel.set_ylim(len(METHODS) - 0.5, -0.5)


if __name__ == "__main__":
    draw(RESULTS, PICTURE)
