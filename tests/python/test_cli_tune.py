"""``tied-augment tune``: what is kept of its runs, the rule, and what is refused."""

import csv
import json
import random
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from commands import error_of
from timm_launch import BY_TASK

from tied_augment.cli import main, tune
from tied_augment.cli.tune.runs import Plan, Run, train
from tied_augment.cli.tune.verdict import judge, table

OPTIONS = [
    *("--model", "test_resnet", "--img-size", "32", "--num-classes", "4", "-b", "8"),
    *("--device", "cpu", "--workers", "0", "--epochs", "2"),
]


def rows_of(folder):
    with (folder / "results.csv").open() as file:
        return [(float(row["weight"]), int(row["seed"]), row) for row in csv.DictReader(file)]


# --- the folder


class Trained:
    """Takes the place of Popen: a train.py that writes a summary at once.

    Args:
        top1: its accuracy by weight.
        code: its exit code.
        before: called first.
    """

    def __init__(self, top1=None, code=0, before=lambda: None):
        self.top1, self.code, self.before = top1 or {}, code, before
        self.commands = []

    def __call__(self, command, stdout, stderr):
        self.before()
        self.commands.append(command)
        options = dict(word.partition("=")[::2] for word in command)
        folder = Path(options["--output"]) / options["--experiment"]
        weight = float(options["--tied-weight"])
        head = "epoch,eval_top1,train_ce,train_similarity,train_feature_cosine"
        top1 = self.top1.get(weight, 50.0)
        (folder / "summary.csv").write_text(f"{head}\n0,1,9,9,0\n1,{top1},1.0,0.5,0.9\n")
        stdout.write("INFO: Tied-Augment: validation on 10000 images\nlast words\n")
        stdout.flush()
        return self

    def wait(self):
        return self.code

    def poll(self):
        return self.code


@pytest.fixture
def pretend(monkeypatch):
    def start(*args, **kw):
        trained = Trained(*args, **kw)
        monkeypatch.setattr("tied_augment.cli.tune.runs.subprocess.Popen", trained)
        return trained

    return start


def tuned(out, *options):
    return main(["tune", str(BY_TASK), *OPTIONS, "--output", str(out), *map(str, options)])


def test_the_flag_is_printed_at_the_end(pretend, tmp_path, capsys):
    trained = pretend({0: 50, 0.1: 53, 1: 55, 10: 54.9})
    assert tuned(tmp_path / "out", "--tied-similarity", "cosine") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Use --tied-augment --tied-weight 1" in lines
    assert "Weight 1 is better than weight 0: +5.00 points, noise 1.41." in lines
    assert "Within noise these are as good: 10." in lines
    assert [word for word in trained.commands[1] if word.startswith("--tied")] == [
        "--tied-similarity",
        "--tied-augment",
        "--tied-weight=0.1",
    ]
    assert trained.commands[1][-5:-2] == ["--tied-weight=0.1", "--seed=42", "--resume="]


def test_what_is_done_is_kept_when_it_is_interrupted(pretend, tmp_path, capsys):
    calls = []

    def second_is_interrupted():
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt

    trained = pretend(before=second_is_interrupted)
    assert tuned(tmp_path / "out") == 130
    assert "the runs above are kept: the same command goes on" in capsys.readouterr().out
    assert len(trained.commands) == 1
    assert tuned(tmp_path / "out") == 0
    assert len(trained.commands) == 4
    assert capsys.readouterr().out.count("was there already") == 1


def test_an_interrupt_ends_the_process_of_the_run(tmp_path, monkeypatch):
    started = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout=None):
            if not started:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(Plan, "command", lambda *_: sleeper)
    monkeypatch.setattr("tied_augment.cli.tune.runs.subprocess.Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(Plan(BY_TASK, (), tmp_path, 1), 1.0, 0)
    assert started[0].returncode is not None
    assert not (tmp_path / "weight-1-seed-0" / "done.json").exists()


def test_a_run_that_fails_is_named_with_its_last_line(pretend, tmp_path, capsys):
    pretend(code=1)
    assert tuned(tmp_path / "out") == 1
    log = tmp_path / "out" / "weight-0-seed-42" / "log.txt"
    assert capsys.readouterr().err == (
        "tied-augment tune: error: the run with weight 0 and seed 42 failed: last words "
        f"(see {log})\n"
    )


def test_runs_with_other_arguments_are_not_compared(pretend, tmp_path, capsys):
    pretend()
    assert tuned(tmp_path / "out", "--lr", "0.1") == 0
    capsys.readouterr()
    for options, message in (
        (
            ("--lr", "0.2"),
            "has runs with other arguments: 0.1 there, 0.2 here; give another --outp",
        ),
        (("--lr", "0.1", "--processes", "2"), "has runs with another --processes: 1 there, 2 here"),
    ):
        assert tuned(tmp_path / "out", *options) == 1
        assert message in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    assert tuned(tmp_path / "mine") == 1
    assert "mine has other files: give another --output\n" in capsys.readouterr().err
    assert (tmp_path / "mine" / "file").exists()


def test_a_summary_without_the_columns_is_refused(pretend, tmp_path, capsys, monkeypatch):
    pretend()
    monkeypatch.setitem(tune.runs._COLUMNS, "top1", "eval_top7")
    assert tuned(tmp_path / "out") == 1
    assert "summary.csv must have eval_top7, train_ce, " in capsys.readouterr().err


def test_options_may_stand_before_the_script_and_numbers_apart(pretend, tmp_path):
    trained = pretend()
    out = str(tmp_path / "out")
    argv = ["--output", out, "--seeds", "1,2", "--processes", "3", str(BY_TASK), *OPTIONS]
    assert main(["tune", *argv, "--tied-weights", "0", "0.5", "--aa", "v0"]) == 0
    assert [row[:2] for row in rows_of(tmp_path / "out")] == [(0, 1), (0.5, 1), (0, 2), (0.5, 2)]
    assert trained.commands[0][1:7] == [
        *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=3", "-m"),
        "tied_augment",
    ]
    assert json.loads((tmp_path / "out" / "tune.json").read_text())["arguments"] == [
        *OPTIONS,
        *("--aa", "v0"),
    ]


def test_a_negative_weight(pretend, tmp_path):
    pretend()
    assert tuned(tmp_path / "out", "--tied-weights=-1,0") == 0
    assert [row[0] for row in rows_of(tmp_path / "out")] == [0, -1]


# --- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--epochs 1 --tied-weight 2", "--tied-weight is what tune sets: give --tied-weights"),
        ("--epochs 1 --tied-weigh=2", "--tied-weigh is what tune sets: give --tied-weights"),
        ("--epochs 1 --resume last.pth.tar", "--resume is what tune sets: leave it out, since all"),
        ("--epochs 1 --experiment x", "--experiment is what tune sets: leave it out"),
        ("--epochs 1 --seed 3", "--seed is what tune sets: give --seeds"),
        ("--model resnet50", "give --epochs, such as --epochs 3: timm's default is made for the"),
        ("--epochs 1 --tied-weights 1,0,1.0", "--tied-weights has 1 twice: leave one out"),
        ("--epochs 1 --tied-weights 0", "--tied-weights needs a weight besides 0, such as 0,0.1,1"),
        ("--epochs 1 --tied-weights nan,0", "--tied-weights takes finite numbers"),
        ("--epochs 1 --seeds 1,1", "--seeds has 1 twice"),
        ("--epochs 1 --seeds ,", "--seeds needs numbers, such as --seeds 42,43,44"),
        ("--epochs 1 --seeds=-1", "--seeds must be at least 0, got -1"),
        ("--epochs 1 --processes 0", "--processes must be from 1 to 1024, got 0"),
        ("--epochs 1 --tied-similarity l2_norm", "l2_norm is at most 4 / (B*D), so that weights b"),
    ],
)
def test_is_refused_before_the_first_run(options, message, tmp_path, capsys):
    out = tmp_path / "out"
    text = error_of(capsys, "tune", BY_TASK, *options.split(), "--output", out)
    assert message in text
    assert not out.exists()


def test_a_script_that_is_not_there_and_torchrun_are_refused(tmp_path, capsys, monkeypatch):
    assert "there is no file " in error_of(capsys, "tune", tmp_path / "none.py", "--epochs", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    text = error_of(capsys, "tune", BY_TASK, "--epochs", "1")
    assert "start it once, without torchrun: --processes is the number" in text


@pytest.mark.parametrize("options", [["--tied-weights", "one"], ["--seeds", "0.5"]])
def test_numbers_are_numbers(options, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["tune", str(BY_TASK), "--epochs", "1", *options])
    assert f"argument {options[0]}: '{options[1]}' is not a number" in capsys.readouterr().err


def test_help_is_of_this_command_also_after_the_script(capsys):
    for argv in (["--help"], [str(BY_TASK), "--help"]):
        with pytest.raises(SystemExit, match="0"):
            main(["tune", *argv])
        assert "--tied-weights" in capsys.readouterr().out


# --- the rule


def runs_of(results, images=None):
    """`results`: for each weight the accuracies by seed, or these and the CE."""
    runs = []
    for weight, value in results.items():
        accuracies, ce = value if isinstance(value, tuple) else (value, 1.0)
        for seed, top1 in enumerate(accuracies):
            runs.append(Run(weight, seed, top1, ce, 0.5, 0.9, images))
    return runs


def test_one_seed_chooses_by_more_than_the_noise_of_the_images():
    # Of 10,000 images at 50%: the standard error of an accuracy is half a point.
    noise = 2 * (2 * 0.5**2) ** 0.5
    for lead, chosen in ((1.1 * noise, 1.0), (0.9 * noise, None)):
        results = {0: [50 - lead / 2], 1: [50 + lead / 2], 0.1: [40]}
        verdict = judge(runs_of(results, images=10_000))
        assert verdict.weight == chosen
    assert "one seed does not tell the weights apart" in verdict.sentences[0]
    assert "--seeds 0,1,2 keeps these runs" in verdict.sentences[1]


def test_one_seed_of_unknown_images_chooses_nothing():
    verdict = judge(runs_of({0: [10], 1: [90]}))
    assert verdict.weight is None
    assert "+80.00 points, noise unknown" in verdict.sentences[0]


def test_several_seeds_choose_by_their_spread():
    untied = [50.0, 52.0, 54.0]
    sure, unsure = [51.0, 53.1, 54.9], [51.0, 58.0, 54.0]
    assert judge(runs_of({0: untied, 1: sure, 10: [0] * 3})).weight == 1
    verdict = judge(runs_of({0: untied, 1: unsure, 10: [0] * 3}))
    assert verdict.weight is None
    assert "3 seeds do not tell" in verdict.sentences[0]


def test_differences_of_nothing_are_seldom_chosen():
    """As often as 5% of two-sided tests say, which is half of it for one side."""
    rng = random.Random(0)
    for seeds in (2, 3, 5):
        verdicts = []
        for _ in range(2000):
            results = {w: [rng.gauss(50, 1) for _ in range(seeds)] for w in (0, 1)}
            verdicts.append(judge(runs_of(results)).weight is not None)
        assert 0.01 < statistics.fmean(verdicts) < 0.04


def test_a_weight_that_raises_ce_is_left_out():
    runs = runs_of({0: ([50] * 2, 1.0), 1: ([60, 60.1], 1.09), 10: ([70, 70.1], 1.11)})
    verdict = judge(runs)
    assert verdict.weight == 1
    assert "largest" not in " ".join(verdict.sentences)
    assert table(runs).splitlines()[-1].endswith("111%  left out: above 110%")
    diverged = judge(runs_of({0: [50] * 2, 1: ([60, 60.1], float("nan")), 2: [55, 55.1]}))
    assert diverged.weight == 2


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ({0: ([50] * 2, 1), 1: ([60] * 2, 2), 10: ([60] * 2, 3)}, "try smaller ones, such as 0.1,"),
        ({0: [50, 50], 1: [40, 40.1]}, "No weight helps here: the best, 1, is worse than weight 0"),
        ({0: ([50] * 2, float("nan")), 1: [60] * 2}, "Weight 0 has diverged: lower --lr"),
    ],
)
def test_no_weight_is_chosen(results, sentence):
    verdict = judge(runs_of(results))
    assert verdict.weight is None
    assert sentence in " ".join(verdict.sentences)


def test_the_largest_weight_is_named_as_such():
    verdict = judge(runs_of({0: [50, 50], 1: [60, 60.1], 10: [70, 70.1]}))
    assert verdict.weight == 10
    assert "the largest weight that was tried: try 100, too" in " ".join(verdict.sentences)
