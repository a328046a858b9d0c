"""``tied-augment tune`` with real runs, in processes of their own."""

import csv
import subprocess
from types import SimpleNamespace

import pytest
import ready_process
from test_cli_tune import OPTIONS, rows_of
from timm_launch import BY_TASK, REAL

from tied_augment.cli import main
from tied_augment.cli.tune.runs import Plan, train

# A run starts processes that may import torch.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture
def soon(monkeypatch):
    """Runs are processes of their own that need not import torch."""
    if ready_process.copies:

        def start(command, **files):
            return ready_process.Copy(command[1:], ready="timm", **files)

        replaced = SimpleNamespace(Popen=start, STDOUT=subprocess.STDOUT)
        monkeypatch.setattr("tied_augment.cli.tune.runs.subprocess", replaced)


def test_runs_are_made_kept_and_judged(soon, train_folder, tmp_path, capsys):
    script = REAL[0] if REAL else BY_TASK
    out = tmp_path / "out"
    argv = [str(script), "--data-dir", str(train_folder), *OPTIONS, "--output", str(out)]
    assert main(["tune", *argv, "--tied-weights", "1"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("weight 0 is added: the others are compared with it\n2 runs into ")
    assert "noise " in text  # the number of images was in the log
    rows = rows_of(out)
    assert [row[:2] for row in rows] == [(0, 42), (1, 42)]
    for weight, seed, row in rows:
        folder = out / f"weight-{weight:g}-seed-{seed}"
        with (folder / "summary.csv").open() as file:
            *_, last = csv.DictReader(file)
        assert len(_) == 1  # two epochs
        assert float(last["train_tied_weight"]) == weight
        for name, column in (("top1", "eval_top1"), ("ce", "train_ce")):
            assert row[name] == last[column]
        assert row["images"] == "8"
    # The order of the samples, and the first weights, are those of the seed.
    assert rows[0][2]["ce"] != rows[1][2]["ce"]
    assert (out / "tune.png").read_bytes().startswith(b"\x89PNG")

    # One was interrupted, and a weight is added.
    (out / "weight-1-seed-42" / "done.json").unlink()
    times = {path: path.stat().st_mtime_ns for path in out.rglob("summary.csv")}
    assert main(["tune", *argv, "--tied-weights", "0,1,0.5"]) == 0
    text = capsys.readouterr().out
    assert text.count("was there already") == 1
    assert [row[:2] for row in rows_of(out)] == [(0, 42), (0.5, 42), (1, 42)]
    assert rows_of(out)[0] == rows[0]
    assert rows_of(out)[2] == rows[1]  # the same seed, the same run
    changed = [path.parent.name for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert changed == ["weight-1-seed-42"]


def test_a_run_of_several_processes(soon, train_folder, tmp_path):
    argv = ("--data-dir", str(train_folder), *OPTIONS, "-b", "4")
    result = train(Plan(BY_TASK, argv, tmp_path, 2), 0.5, 7)
    assert (result.weight, result.seed, result.images) == (0.5, 7, 8)
    assert "Train: 1 [   3/4]" in (tmp_path / "weight-0.5-seed-7" / "log.txt").read_text()


def test_what_the_launcher_refuses_ends_the_command_with_its_text(
    soon, train_folder, tmp_path, capsys
):
    argv = [BY_TASK, "--data-dir", train_folder, *OPTIONS, "--output", tmp_path / "out"]
    assert main(["tune", *map(str, argv), "--jsd-loss"]) == 1
    assert capsys.readouterr().err == (
        "tied-augment tune: error: --jsd-loss does not go with --tied-augment: leave it out: use "
        "--tied-similarity js for such a loss\n"
    )
