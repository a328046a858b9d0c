"""The demo's results: a table for the terminal, a CSV, a plot and a contact sheet."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tied_augment import TwoView, decode
from tied_augment.cli.demo.measure import Row
from tied_augment.cli.demo.training import VIEW, WAYS, Way
from tied_augment.cli.sheet import contact_sheet, make_row

__all__ = ["table", "write_csv", "write_plot", "write_sheet"]

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


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write every row; the columns are the fields of `Row`."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def write_plot(rows: Sequence[Row], path: Path) -> None:
    """Draw accuracy and agreement by epoch: the mean over the seeds, and their range."""
    seeds = len({row.seed for row in rows})
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots(1, 2)
    panels = (
        ("val_accuracy", "Val accuracy", "top-1, %"),
        ("val_agreement", "Two views of a val image predicted alike", "of the images, %"),
    )
    for axis, (field, title, unit) in zip(axes, panels, strict=True):
        for way, color in zip(WAYS, _COLORS, strict=True):
            curve: dict[int, list[float]] = {}
            for row in rows:
                if row.way == way.name:
                    curve.setdefault(row.epoch, []).append(getattr(row, field))
            epochs = list(curve)
            means = [statistics.mean(values) for values in curve.values()]
            axis.plot(epochs, means, color=color, linewidth=2, marker=".", label=way.name)
            if seeds > 1:
                low, high = map(min, curve.values()), map(max, curve.values())
                axis.fill_between(epochs, list(low), list(high), color=color, alpha=0.15, lw=0)
        axis.set_title(title, loc="left", fontsize=11)
        axis.set(xlabel="epoch", ylabel=unit)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, loc="lower right")
    if seeds > 1:
        figure.supxlabel(
            f"mean of {seeds} seeds, shaded from the lowest to the highest", fontsize=9
        )
    figure.savefig(path, dpi=140)


def write_sheet(data: Path, path: Path) -> None:
    """Draw the pair of views of one training image per class, of epoch 0 with seed 0."""
    two = TwoView(VIEW)
    files = sorted((data / "train").glob("*/*.jpg"))
    first = {file.parent.name: index for index, file in reversed(list(enumerate(files)))}
    rows = [
        make_row(two, decode(files[index]), [f"digit {label}", files[index].name], index, 0, 0)
        for label, index in sorted(first.items())
    ]
    contact_sheet(rows, "View pairs of the training images, epoch 0", columns=2).save(path)


def _final(rows: Sequence[Row], way: Way, field: str) -> list[float]:
    """The value of each seed after the last epoch."""
    last = max(row.epoch for row in rows)
    return [getattr(row, field) for row in rows if row.way == way.name and row.epoch == last]


def _spread(values: Sequence[float], sign: bool = False) -> str:
    mean = f"{statistics.mean(values):{'+' if sign else ''}.1f}"
    return f"{mean} +- {statistics.stdev(values):.1f}" if len(values) > 1 else mean
