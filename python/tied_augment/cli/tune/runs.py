"""Runs of train.py in processes of their own, and the folder in which what is done is kept.

The folder has ``tune.json``, the arguments that all runs share, and a folder per run with the log,
with what train.py writes, and with ``done.json`` once it has ended well.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tied_augment.cli.errors import CommandError, writing

__all__ = ["Plan", "Run", "begin", "finished", "train"]

# The columns of summary.csv by the fields of `Run`.
_COLUMNS = {
    "top1": "eval_top1",
    "ce": "train_ce",
    "similarity": "train_similarity",
    "cosine": "train_feature_cosine",
}
# What runs must share, as messages call another one.
_OTHER = {
    "script": "another script",
    "arguments": "other arguments",
    "processes": "another --processes",
}
# What the launcher logs, see `tied_augment.timm.evaluation`.
_IMAGES = re.compile(r"Tied-Augment: validation on (\d+) images")


@dataclass(frozen=True)
class Plan:
    """What all runs share.

    Attributes:
        script: the path of train.py.
        arguments: its arguments, without those that differ between runs.
        output: the folder of the runs.
        processes: of each run.
    """

    script: Path
    arguments: tuple[str, ...]
    output: Path
    processes: int

    def folder(self, weight: float, seed: int) -> Path:
        """The folder of a run."""
        return self.output / f"weight-{weight:g}-seed-{seed}"

    def shared(self) -> dict[str, Any]:
        """What must be the same for runs to be compared."""
        return {
            "script": str(self.script.absolute()),
            "arguments": list(self.arguments),
            "processes": self.processes,
        }

    def command(self, weight: float, seed: int) -> list[str]:
        """The command line of a run."""
        folder = self.folder(weight, seed)
        start = ["-m"]
        if self.processes > 1:
            several = f"--nproc_per_node={self.processes}"
            start = ["-m", "torch.distributed.run", "--standalone", several, "-m"]
        return [
            *(sys.executable, *start, "tied_augment", "train", str(self.script), *self.arguments),
            *("--tied-augment", f"--tied-weight={weight!r}", f"--seed={seed}", "--resume="),
            *(f"--output={folder.parent}", f"--experiment={folder.name}"),
        ]


@dataclass(frozen=True)
class Run:
    """The results of a run, of its last epoch.

    Attributes:
        weight: of the similarity.
        seed: of the run.
        top1: accuracy on the images for validation, in percent.
        ce: classification loss in training.
        similarity: distance between the features of the views, not weighted.
        cosine: mean cosine between these features.
        images: how many images top1 is measured on; None if train.py's loader does not know.
    """

    weight: float
    seed: int
    top1: float
    ce: float
    similarity: float
    cosine: float
    images: int | None


def begin(plan: Plan) -> None:
    """Make the folder, or check that its runs can be compared with those to come.

    Raises:
        CommandError: the folder has other things in it, or runs with other arguments.
    """
    path = plan.output / "tune.json"
    if path.exists():
        before = json.loads(path.read_text())
        for name, value in plan.shared().items():
            if before.get(name) != value:
                raise CommandError(
                    f"{plan.output} has runs with {_OTHER[name]}: "
                    f"{_difference(before.get(name), value)}; give another --output, or what you "
                    "gave before"
                )
        return
    if plan.output.exists() and (not plan.output.is_dir() or any(plan.output.iterdir())):
        raise CommandError(f"{plan.output} has other files: give another --output")
    with writing(path):
        plan.output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plan.shared(), indent=1))


def _difference(before: Any, now: Any) -> str:
    if isinstance(before, Sequence) and not isinstance(before, str):
        less = [word for word in before if word not in now]
        more = [word for word in now if word not in before]
        return f"{' '.join(less) or '(nothing)'} there, {' '.join(more) or '(nothing)'} here"
    return f"{before} there, {now} here"


def finished(plan: Plan, weight: float, seed: int) -> Run | None:
    """The results of a run that has been made before."""
    path = plan.folder(weight, seed) / "done.json"
    return Run(**json.loads(path.read_text())) if path.exists() else None


def train(plan: Plan, weight: float, seed: int) -> Run:
    """Make a run, anew if it was interrupted.

    Raises:
        CommandError: train.py fails, with its last line.
    """
    folder = plan.folder(weight, seed)
    log = folder / "log.txt"
    with writing(folder):
        # train.py would add lines to the summary of the interrupted run.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        file = log.open("w")
    with file:
        process = subprocess.Popen(
            plan.command(weight, seed), stdout=file, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code:
        raise CommandError(_failure(log, weight, seed))
    result = Run(weight, seed, **_last_row(folder / "summary.csv"), images=_images(log))
    with writing(folder):
        (folder / "done.json").write_text(json.dumps(asdict(result)))
    return result


def _failure(log: Path, weight: float, seed: int) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    refusal = [line for line in lines if "tied-augment train: error: " in line]
    last = (refusal or lines or ["(nothing)"])[-1].strip()
    if refusal:
        return last.partition("error: ")[2]
    return f"the run with weight {weight:g} and seed {seed} failed: {last} (see {log})"


def _last_row(summary: Path) -> dict[str, float]:
    """The figures of the last epoch.

    Raises:
        CommandError: there is no such file, or it lacks a column.
    """
    try:
        with summary.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise CommandError(f"train.py wrote no {summary}: {error.strerror}") from error
    row = rows[-1] if rows else {}
    try:
        return {name: float(row[column]) for name, column in _COLUMNS.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(
            f"{summary} must have {', '.join(_COLUMNS.values())} in its last line, got "
            f"{', '.join(row) or 'no line'}: leave out options by which the last epoch is not "
            "validated"
        ) from error


def _images(log: Path) -> int | None:
    found = _IMAGES.search(log.read_text(errors="replace"))
    return int(found[1]) if found else None
