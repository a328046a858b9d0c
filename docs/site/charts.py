"""The page of benchmarks: charts of the tables in the documents, which have the conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from itertools import takewhile
from pathlib import Path

__all__ = ["write_benchmarks"]

REPOSITORY = Path(__file__).parents[2]

_HEAD = """\
# Benchmarks

All figures on this site are drawn from the tables of the linked pages. Each of those names the
machine, the versions and the command. `make bench` measures on your machine, and
`tied-augment bench FOLDER` on your files."""


def write_benchmarks(folder: Path) -> list[str]:
    """Write the page into `folder`, and return its name in a list."""
    parts = [_HEAD, *_pipelines(), *_loaders(), *_validation(), *_methods(), *_ops()]
    (folder / "benchmarks.md").write_text("\n\n".join(parts) + "\n")
    return ["benchmarks.md"]


def _pipelines() -> list[str]:
    rows = _table("README.md", "crop and flip, 1 core")
    parts = ["## Two views of a JPEG file", f"Source images per second, {_from('index', 'speed')}."]
    for title, column in (("crop and flip, 2 cores", 2), ("RandAugment, 2 cores", 4)):
        parts.append(_bars(title, {row[0]: _number(row[column]) for row in rows}, "timm, Pillow"))
    return parts


def _loaders() -> list[str]:
    rows = _table("docs/loader.md", "first batch on 2 cores, ms")
    rates = {row[0]: _number(row[2]) for row in rows}
    parts = [
        "## Loaders",
        f"Source images per second with two views each, {_from('loader', 'measured')}.",
        _bars("crop and flip, 2 cores", rates, "timm's create_loader"),
        f"From a folder, and from a [packed data set](packed.md), {_from('packed', 'when-it-pays')}.",
    ]
    for work, cores, *cells in _table("docs/packed.md", "packed against folder"):
        if cores == "2" and work.startswith("crop"):
            names = ("timm, folder", "TiedLoader, folder", "TiedLoader, packed")
            rates = dict(zip(names, map(_number, cells[:3]), strict=True))
            parts.append(_bars(f"{work}, 2 cores", rates, names[0]))
    return parts


def _validation() -> list[str]:
    rows = _table("docs/evaluation.md", "timm, 2 cores")
    parts = ["## Validation", f"Images per second on 2 cores, {_from('evaluation', 'speed')}."]
    for row in rows[:3]:
        rates = {"timm's loader": _number(row[3]), "TiedLoader": _number(row[4])}
        parts.append(_bars(row[0], rates, "timm's loader"))
    return parts


def _methods() -> list[str]:
    parts = [
        "## Self-supervised methods",
        f"Source images per second on one core, {_from('methods', 'speed')}.",
    ]
    for method, theirs, ours, _ in _table("docs/methods.md", "lightly", width=4):
        rates = {"lightly": _number(theirs), "tied-augment": _number(ours)}
        parts.append(_bars(method, rates, "lightly"))
    return parts


def _ops() -> list[str]:
    rows = _table("docs/speed.md", "Pillow / ours")
    return [
        "## Ops",
        f"How many times as fast as Pillow, on one core with AVX-512, {_from('speed', '')}.",
        _bars("Pillow's time divided by ours", {row[0]: _number(row[5]) for row in rows}, None),
    ]


def _from(page: str, anchor: str) -> str:
    return f"from [the table]({page}.md{'#' * bool(anchor)}{anchor})"


def _table(document: str, column: str, width: int | None = None) -> list[list[str]]:
    """The rows of the first table of a document that has this column, and `width` columns."""
    lines = (REPOSITORY / document).read_text().splitlines()
    for number, line in enumerate(lines):
        header = _cells(line)
        if column in header and width in (None, len(header)):
            rows = takewhile(lambda row: row.startswith("|"), lines[number + 2 :])
            return [_cells(row) for row in rows]
    raise ValueError(f"{document} has no table with the column {column!r}: change {__file__}")


def _cells(line: str) -> list[str]:
    return [re.sub(r"[*`]", "", cell).strip() for cell in line.strip().strip("|").split("|")]


def _number(cell: str) -> float:
    """The number that a cell begins with."""
    match = re.match(r"[\d,.]+", cell)
    if not match:
        raise ValueError(f"{cell!r} does not begin with a number: change {__file__}")
    return float(match[0].replace(",", ""))


def _bars(title: str, rates: Mapping[str, float], base: str | None) -> str:
    """Horizontal bars as HTML; with `base`, the bar of that name counts as 1."""
    longest = max(rates.values())
    rows = [f'<div class="bars" role="img" aria-label="{escape(title)}"><b>{escape(title)}</b>']
    for name, rate in rates.items():
        value = f"{rate:,.0f} ({rate / rates[base]:.1f}x)" if base else f"{rate:g}x"
        ours = base is None or name.startswith(("tied-augment", "TiedLoader", "the same"))
        rows.append(
            f"<span>{escape(name)}</span>"
            f'<span class="bar{" ours" * ours}" style="--share: {rate / longest:.3f}">'
            f"<i></i>{value}</span>"
        )
    return "\n".join([*rows, "</div>"])
