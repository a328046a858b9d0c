"""The page of benchmarks: charts of the tables in the documents, which have the conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from itertools import takewhile
from pathlib import Path

from pages import REPOSITORY

__all__ = ["write_benchmarks"]

_HEAD = """\
# Benchmarks

The charts are drawn from the tables of the linked pages, which name the machine, the versions and
the command. `make bench` measures on your machine, and
`tied-augment bench FOLDER` on your files."""


def write_benchmarks(folder: Path) -> list[str]:
    """Write the page into `folder`, and return its name in a list."""
    parts = [_HEAD, *_pipelines(), *_loaders(), *_validation(), *_methods(), *_ops()]
    (folder / "benchmarks.md").write_text("\n\n".join(parts) + "\n")
    return ["benchmarks.md"]


def _pipelines() -> list[str]:
    # The last row is of a run of its own.
    rows = _table("README.md", "crop and flip, 1 core")[:-1]
    parts = ["## Two views of a JPEG file", f"Source images per second, {_from('index', 'speed')}."]
    for title, column in (("crop and flip, 2 cores", 2), ("RandAugment, 2 cores", 4)):
        parts.append(_bars(title, {row[0]: row[column] for row in rows if row[column] != "-"}))
    return parts


def _loaders() -> list[str]:
    rows = _table("docs/loader.md", "first batch on 2 cores, ms")
    parts = [
        "## Loaders",
        f"Source images per second with two views each, {_from('loader', 'measured')}.",
        _bars("crop and flip, 2 cores", {row[0]: row[2] for row in rows}),
        f"Of a folder and of a [packed data set](packed.md), {_from('packed', 'when-it-pays')}.",
    ]
    for work, cores, *cells in _table("docs/packed.md", "packed against folder"):
        if cores == "2" and work.startswith("crop"):
            names = ("timm, folder", "TiedLoader, folder", "TiedLoader, packed")
            parts.append(_bars(f"{work}, 2 cores", dict(zip(names, cells[:3], strict=True))))
    return parts


def _validation() -> list[str]:
    rows = _table("docs/evaluation.md", "timm, 2 cores")
    return [
        "## Validation",
        f"Images per second on 2 cores, {_from('evaluation', 'speed')}.",
        *(_bars(row[0], {"timm's loader": row[3], "TiedLoader": row[4]}) for row in rows[:3]),
    ]


def _methods() -> list[str]:
    parts = [
        "## Self-supervised methods",
        f"Source images per second on one core, {_from('methods', 'speed')}.",
    ]
    for method, theirs, ours, times in _table("docs/methods.md", "lightly", width=4):
        parts.append(_bars(method, {"lightly": theirs, "tied-augment": f"{ours} ({times})"}))
    return parts


def _ops() -> list[str]:
    rows = _table("docs/speed.md", "Pillow / ours")
    return [
        "## Ops",
        f"Pillow's time divided by ours, on one core with AVX-512, {_from('speed', '')}.",
        _bars("times as fast as Pillow", {row[0]: row[5] for row in rows}, all_ours=True),
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


def _bars(title: str, cells: Mapping[str, str], all_ours: bool = False) -> str:
    """Horizontal bars as HTML, whose labels are the cells of a table."""
    longest = max(map(_number, cells.values()))
    rows = [f'<div class="bars"><b>{escape(title)}</b>']
    for name, cell in cells.items():
        ours = all_ours or name.startswith(("tied-augment", "TiedLoader"))
        rows.append(
            f"<span>{escape(name)}</span>"
            f'<span class="bar{" ours" * ours}" style="--share: {_number(cell) / longest:.3f}">'
            f"<i></i>{escape(cell)}</span>"
        )
    return "\n".join([*rows, "</div>"])
