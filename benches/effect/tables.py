"""Write the tables of docs/effect.md from results.csv: ``python benches/effect/tables.py``.

A seed counts in a regime once every method has it, so that all rows of a column have the same
seeds, and differences are paired by seed.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from scipy.stats import t as student
from setting import DATA, METHODS, REGIMES

__all__ = ["DOC", "RESULTS", "Seeds", "complete", "gains", "interval", "tables", "write"]

RESULTS = Path(__file__).with_name("results.csv")
DOC = Path(__file__).parents[2] / "docs" / "effect.md"
MARKS = "<!-- tables -->\n", "<!-- /tables -->\n"
UNTIED, LONGER = "two views, weight 0", "one view, twice the steps"
DATA_NAMES = {"characters": "Characters", "digits": "Digits"}

# Method -> a value per seed, the seeds in the same order for all.
Seeds = dict[str, list[float]]


def complete(results: Path, column: str = "accuracy") -> dict[tuple[str, str], Seeds]:
    """The values of `column` by (data, regime), of the seeds that every method has."""
    found: dict[tuple[str, str], dict[int, dict[str, float]]] = defaultdict(dict)
    with results.open(newline="") as file:
        for row in csv.DictReader(file):
            methods = found[row["data"], row["regime"]].setdefault(int(row["seed"]), {})
            methods[row["method"]] = float(row[column])
    whole: dict[tuple[str, str], Seeds] = {}
    for key, seeds in found.items():
        kept = [seeds[seed] for seed in sorted(seeds) if len(seeds[seed]) == len(METHODS)]
        if kept:
            whole[key] = {method.name: [each[method.name] for each in kept] for method in METHODS}
    return whole


def gains(seeds: Seeds, rival: str) -> Seeds:
    """Each method's values minus those of `rival`, seed by seed."""
    return {
        name: [value - other for value, other in zip(values, seeds[rival], strict=True)]
        for name, values in seeds.items()
    }


def interval(values: Sequence[float]) -> float:
    """Half of the 95% interval of the mean, by Student's t; infinite for one value."""
    if len(values) < 2:
        return math.inf
    return float(student.ppf(0.975, len(values) - 1)) * _error(values)


def _error(values: Sequence[float]) -> float:
    """The standard error of the mean."""
    return statistics.stdev(values) / math.sqrt(len(values))


def tables(results: Path) -> str:
    """All tables of the document."""
    accuracy, loss = complete(results), complete(results, "test_loss")
    parts = ["### Together\n", _summary(accuracy.values())]
    for data in DATA:
        columns = {r.name: (data, r.name) for r in REGIMES if (data, r.name) in accuracy}
        if not columns:
            continue
        seeds = {name: accuracy[key] for name, key in columns.items()}
        losses = {name: gains(loss[key], UNTIED) for name, key in columns.items()}
        parts.append(f"### {DATA_NAMES[data]}\n")
        parts.append("Accuracy on the test images, %, mean and standard error over the seeds:\n")
        parts.append(_table(seeds, _plain))
        for rival in (UNTIED, LONGER):
            parts.append(f"Accuracy minus that of *{rival}*, paired by seed:\n")
            parts.append(_table({name: gains(s, rival) for name, s in seeds.items()}, _signed))
        parts.append(f"Cross entropy on the test images minus that of *{UNTIED}*:\n")
        parts.append(_table(losses, _signed_loss))
    return "\n".join(parts)


def _summary(columns: Collection[Seeds]) -> str:
    """Each method's mean gain over all columns, and in how many its interval leaves out 0."""
    lines = [
        f"Accuracy minus that of two rivals: the mean over all {len(columns)} pairs of data and\n"
        "regime, and in how many of them the 95% interval is above or below 0:\n",
        f"| | minus *{UNTIED}* | above | below | minus *{LONGER}* | above | below |",
        "|---" * 7 + "|",
    ]
    for method in METHODS:
        cells = []
        for rival in (UNTIED, LONGER):
            found = [gains(seeds, rival)[method.name] for seeds in columns]
            means = [statistics.mean(values) for values in found]
            sure = [m for m, v in zip(means, found, strict=True) if abs(m) > interval(v)]
            above = sum(mean > 0 for mean in sure)
            cells += [f"{statistics.mean(means):+.1f}", str(above), str(len(sure) - above)]
            if method.name == rival:
                cells[-3:] = [""] * 3
        lines.append(f"| {method.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _table(columns: dict[str, Seeds], cell: Callable[[Sequence[float]], str]) -> str:
    """A row per method, a column per regime."""
    counts = [len(next(iter(seeds.values()))) for seeds in columns.values()]
    lines = [
        "| | " + " | ".join(columns) + " |",
        "|---" * (1 + len(columns)) + "|",
        "| seeds | " + " | ".join(map(str, counts)) + " |",
    ]
    for method in METHODS:
        cells = [cell(seeds[method.name]) for seeds in columns.values()]
        lines.append(f"| {method.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _plain(values: Sequence[float]) -> str:
    mean = statistics.mean(values)
    return f"{mean:.1f} +- {_error(values):.1f}" if len(values) > 1 else f"{mean:.1f}"


def _signed(values: Sequence[float], digits: int = 1) -> str:
    """Bold where the 95% interval does not have 0 in it."""
    if not any(values):
        return ""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:+.{digits}f}"
    text = f"{mean:+.{digits}f} +- {_error(values):.{digits}f}"
    return f"**{text}**" if abs(mean) > interval(values) else text


def _signed_loss(values: Sequence[float]) -> str:
    return _signed(values, 2)


def write(results: Path, doc: Path) -> None:
    """Put the tables between the marks of `doc`."""
    before, rest = doc.read_text().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    doc.write_text(f"{before}{MARKS[0]}\n{tables(results)}\n{MARKS[1]}{after}")


if __name__ == "__main__":
    write(RESULTS, DOC)
