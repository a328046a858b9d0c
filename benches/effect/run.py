"""Run the study: ``python benches/effect/run.py [FOLDER] [--processes 2]``; it can be stopped.

Each finished run is added to results.csv at once, and runs that are there are not made again. The
fonts (90 MB of Debian packages), the pictures and the pretrained model are kept in FOLDER. Each
process trains on one thread and one core.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, fields
from pathlib import Path

import characters
from setting import Run, runs
from training import Result, pretrain, train

__all__ = ["RESULTS", "add", "done", "make"]

RESULTS = Path(__file__).with_name("results.csv")
_KEY = ("data", "regime", "method", "seed")


def done(results: Path) -> set[tuple[str, ...]]:
    """The keys of the runs that `results` has."""
    if not results.exists():
        return set()
    with results.open(newline="") as file:
        return {tuple(row[name] for name in _KEY) for row in csv.DictReader(file)}


def make(wanted: Iterable[Run], folder: Path, results: Path, processes: int) -> None:
    """Make the runs that are missing in `results`, and add each as soon as it is finished."""
    there = done(results)
    missing = [run for run in wanted if run.key not in there]
    if any(run.data == "characters" or run.regime.pretrained for run in missing):
        characters.load(folder)
    if any(run.regime.pretrained for run in missing):
        pretrain(folder)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, os.nice, (19,)) as pool:
        pending = [pool.submit(train, run, folder) for run in missing]
        for number, future in enumerate(as_completed(pending), 1):
            result = future.result()
            add(result, results)
            print(f"{number} of {len(pending)}: {result}", flush=True)


def add(result: Result, results: Path) -> None:
    """Add a row, after the names of the columns if it is the first."""
    first = not results.exists()
    with results.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Result)], lineterminator="\n")
        if first:
            writer.writeheader()
        row = asdict(result)
        writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()})


def main() -> None:
    """Make all runs of the setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("target/effect"))
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    make(runs(), arguments.folder, RESULTS, arguments.processes)


if __name__ == "__main__":
    main()
