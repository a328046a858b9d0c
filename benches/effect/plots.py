"""Draw docs/pictures/effect.png from results.csv: ``python benches/effect/plots.py``."""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from setting import METHODS
from tables import DATA_NAMES, DOC, RESULTS, UNTIED, Seeds, complete, gains, interval

__all__ = ["PICTURE", "draw"]

PICTURE = DOC.parent / "pictures" / "effect.png"
COLOURS = {"mse": "tab:blue", "cosine": "tab:orange", "vicreg": "tab:green", "js": "tab:red"}


def draw(results: Path, picture: Path) -> None:
    """A panel per data set and regime: each method's gain over two views at weight 0."""
    mpl.use("Agg")
    regimes = complete(results)
    across = min(4, len(regimes))
    down = -(-len(regimes) // across)
    figure, panels = plt.subplots(
        down, across, figsize=(3.2 * across + 1.2, 3.4 * down), sharey=True, squeeze=False
    )
    for panel in panels.flat[len(regimes) :]:
        panel.set_visible(False)
    for panel, ((data, regime), seeds) in zip(panels.flat, regimes.items(), strict=False):
        _panel(panel, gains(seeds, UNTIED))
        count = len(seeds[UNTIED])
        panel.set_title(f"{DATA_NAMES[data]}, {regime}, {count} seeds", fontsize=9)
    figure.supxlabel(f"accuracy minus that of {UNTIED}, points; 95% intervals", fontsize=9)
    figure.tight_layout()
    figure.savefig(picture, dpi=100)
    plt.close(figure)


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
