"""The plot of ``tied-augment tune``: accuracy and classification loss over the weights."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tied_augment.cli.chart import LIGHT
from tied_augment.cli.tune.runs import Run
from tied_augment.cli.tune.verdict import MOST_CE

__all__ = ["draw"]


def draw(path: Path, runs: Sequence[Run]) -> None:
    """Write the plot as a PNG file: a point per run, and a line through the means.

    Args:
        path: of the file.
        runs: those that are done.
    """
    figure = Figure((9.0, 3.6), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    _panel(accuracy, runs, lambda run: run.top1, "top-1 of the last epoch, %")
    _panel(loss, runs, lambda run: run.ce, "classification loss (CE) in training")
    untied = [run.ce for run in runs if run.weight == 0]
    if untied:
        limit = MOST_CE * statistics.fmean(untied)
        loss.axhline(limit, color=LIGHT.faint, linestyle="--", linewidth=1)
        loss.set_xlabel("--tied-weight (dashed: 110% of weight 0)")
    figure.savefig(path, dpi=150)


def _panel(axis: Axes, runs: Sequence[Run], value: Callable[[Run], float], title: str) -> None:
    # At equal distances: weights span orders of magnitude, and one of them is 0.
    weights = sorted({run.weight for run in runs})
    places = [weights.index(run.weight) for run in runs]
    means = [statistics.fmean(value(run) for run in runs if run.weight == w) for w in weights]
    axis.plot(range(len(weights)), means, color=LIGHT.others, zorder=1)
    axis.scatter(places, [value(run) for run in runs], color=LIGHT.ours, s=28, zorder=2)
    axis.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlabel("--tied-weight")
    axis.spines[["top", "right"]].set_visible(False)
