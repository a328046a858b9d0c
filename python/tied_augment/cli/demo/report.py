"""The results of the demo's training: a table for the terminal, a CSV and a plot."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tied_augment.cli.demo.measure import Row
from tied_augment.cli.demo.training import MODEL, WAYS, Way
from tied_augment.cli.errors import writing

__all__ = ["Results", "table", "write_plot"]

# Distinguishable with colour blindness (Okabe and Ito).
_COLORS = ("#6e7781", "#0072b2", "#009e73", "#d55e00")
_JUDGED = ("val_accuracy", "val_agreement")


def table(rows: Sequence[Row]) -> str:
    """Val figures after the last epoch and times: a line per way, then the differences."""
    lines = [
        f"{'':28}{'images':>7}{'accuracy, %':>14}{'agreement, %':>14}{'ms per':>8}{'of it':>8}",
        f"{'':28}{'a step':>7}{'mean +- std':>14}{'mean +- std':>14}{'step':>8}{'data':>8}",
    ]
    lines.insert(0, "-" * len(lines[0]))
    lines.append(lines[0])
    for way in WAYS:
        mine = [row for row in rows if row.way == way.name]
        speed = statistics.median(row.ms_per_step for row in mine)
        share = statistics.median(row.data_share for row in mine)
        accuracy, agreement = (_spread(_final(rows, way, field)) for field in _JUDGED)
        lines.append(
            f"{way.name:28}{way.images_per_step:>7}{accuracy:>14}{agreement:>14}"
            f"{speed:>8.1f}{share:>8.1%}"
        )
    lines.append(lines[0])
    *others, tied = WAYS
    for other in others:
        gains = []
        for field in _JUDGED:
            pairs = zip(_final(rows, tied, field), _final(rows, other, field), strict=True)
            gains.append(_spread([a - b for a, b in pairs], sign=True))
        lines.append(f"{'tied minus ' + other.name:35}{gains[0]:>14}{gains[1]:>14}  points")
    return "\n".join(lines)


class Results:
    """The CSV file, which grows with every row. Its columns are the fields of `Row`.

    Args:
        path: of the file; it is made anew.

    Raises:
        CommandError: it can't be written; `add` likewise.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path), path.open("w", newline="") as file:
            csv.writer(file).writerow(field.name for field in fields(Row))

    def add(self, row: Row) -> None:
        """Append `row`."""
        with writing(self._path), self._path.open("a", newline="") as file:
            csv.writer(file).writerow(asdict(row).values())


def write_plot(rows: Sequence[Row], path: Path) -> None:
    """Draw accuracy and agreement by epoch: the mean over the seeds, and their range."""
    seeds = len({row.seed for row in rows})
    figure = Figure(figsize=(11.5, 4.4), layout="constrained")
    title = f"{MODEL}, trained on 50 labelled and 1,000 unlabelled digits"
    spread = f"mean of {seeds} seeds, shaded from the lowest to the highest"
    figure.suptitle(
        f"{title}; {spread if seeds > 1 else 'one seed'}", x=0.01, ha="left", fontsize=11
    )
    panels = (
        ("val_accuracy", "Val accuracy, top-1, %"),
        ("val_agreement", "Val images whose two views are predicted alike, %"),
    )
    for axis, (field, label) in zip(figure.subplots(1, 2), panels, strict=True):
        ends = {}
        for way, color in zip(WAYS, _COLORS, strict=True):
            curve: dict[int, list[float]] = {}
            for row in rows:
                if row.way == way.name:
                    curve.setdefault(row.epoch, []).append(getattr(row, field))
            epochs = list(curve)
            means = [statistics.mean(values) for values in curve.values()]
            axis.plot(epochs, means, color=color, linewidth=2, marker=".")
            low, high = map(min, curve.values()), map(max, curve.values())
            axis.fill_between(epochs, list(low), list(high), color=color, alpha=0.15, lw=0)
            ends[way.name, color] = means[-1]
        axis.set_title(label, loc="left", fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        _name_curves(axis, ends)
    figure.savefig(path, dpi=140)


def _name_curves(axis: Axes, ends: Mapping[tuple[str, str], float]) -> None:
    """Write the name of each curve beside its end, in its colour, none over another."""
    low, high = axis.get_ylim()
    apart = (high - low) / 18
    named = sorted(ends.items(), key=lambda item: item[1])
    heights: list[float] = []
    for _, end in named:
        heights.append(max([end, *(height + apart for height in heights[-1:])]))
    # As far below the ends as above them.
    raised = statistics.mean(heights) - statistics.mean(ends.values())
    for ((name, color), end), height in zip(named, heights, strict=True):
        axis.annotate(
            f"{name}, {end:.1f}",
            (1.01, height - raised),
            xycoords=("axes fraction", "data"),
            color=color,
            fontsize=9,
            va="center",
            annotation_clip=False,
        )


def _final(rows: Sequence[Row], way: Way, field: str) -> list[float]:
    """The value of each seed after the last epoch."""
    last = max(row.epoch for row in rows)
    return [getattr(row, field) for row in rows if row.way == way.name and row.epoch == last]


def _spread(values: Sequence[float], sign: bool = False) -> str:
    mean = f"{statistics.mean(values):{'+' if sign else ''}.1f}"
    return f"{mean} +- {statistics.stdev(values):.1f}" if len(values) > 1 else mean
