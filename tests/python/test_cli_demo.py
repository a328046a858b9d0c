"""tied-augment demo: what it writes and prints, and that its ways differ as they should."""

import csv
import re
from dataclasses import fields

import pytest
import ready_process
import torch
from commands import error_of
from PIL import Image
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, TiedLoss, TwoView, decode
from tied_augment.cli import main
from tied_augment.cli.demo import loaders, training
from tied_augment.cli.demo.measure import Row
from tied_augment.cli.demo.training import BATCH, NO_LABEL, SIMILARITY, VIEW, WAYS, OneView

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The output folder and the printed text of a very short demo, with two seeds."""
    out = tmp_path_factory.mktemp("demo")
    code = """
import os, sys
os.chdir(sys.argv.pop())
from tied_augment.cli import main
from tied_augment.cli.demo import loaders
loaders._SECONDS = 0.5  # of 4 for each loader
sys.exit(main(sys.argv[1:]))
"""
    arguments = ["demo", "--seeds=2", "--epochs=1", "--threads=1"]
    done = ready_process.run("-c", code, *arguments, out)
    assert done.returncode == 0, done.stderr
    return out / "tied-augment-demo", done


def test_demo_writes_an_image_folder(demo):
    files = sorted((demo[0] / "digits").glob("*/*/*.jpg"))
    assert len(files) == 1797
    folders = {file.parent.relative_to(demo[0] / "digits").as_posix() for file in files}
    labelled = {f"{part}/{label}" for part in ("train", "val") for label in range(10)}
    assert folders == labelled | {"unlabelled/digits"}
    # No digit is both for training and for val.
    assert len({file.name for file in files}) == 1797
    assert decode(files[0]).ndim == 3


def test_demo_csv_has_every_run(demo):
    with (demo[0] / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [field.name for field in fields(Row)]
    runs = {(row["way"], row["seed"], row["epoch"]) for row in rows}
    assert runs == {(way.name, s, e) for way in WAYS for s in "01" for e in "1"}
    training = len(list((demo[0] / "digits" / "train").glob("*/*.jpg")))
    for row in rows:
        # All ways make equally many steps.
        assert int(row["step"]) == int(row["epoch"]) * (training // BATCH)
        assert 0 <= float(row["val_accuracy"]) <= 100
        assert 0 <= float(row["val_agreement"]) <= 100
        assert -1 <= float(row["val_similarity"]) <= 1
        assert float(row["ms_per_step"]) > 0
        assert 0 < float(row["data_share"]) < 1


def test_demo_writes_parts_of_photographs(demo):
    folder = ImageFolder(demo[0] / "photos")
    assert len(folder.classes) == 6
    assert len(folder) == 96
    # Every file shows a part of its own.
    assert len({decode(path).tobytes() for path, _ in folder.samples}) == 96


@pytest.mark.parametrize(
    ("name", "width"), [("curves.png", 1610), ("views.png", 1536), ("speed.png", 1984)]
)
def test_demo_pictures_are_not_blank(demo, name, width):
    with Image.open(demo[0] / name) as image:
        assert image.width == width
        assert len(image.convert("RGB").getcolors(1 << 24)) > 100


def test_demo_prints_the_table_and_no_bar_without_a_terminal(demo):
    out, done = demo
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert sum(line.startswith("   seed ") for line in lines) == 8
    assert re.search(
        r"TiedLoader \d+ images per second, timm's loader \d+: \d+\.\d times", done.stdout
    )
    for start in ("one view ", "two views ", "unlabelled too, tied ", "tied minus two views "):
        assert any(line.startswith(start) and "+-" in line for line in lines), start
    assert out.name in lines[-1]


def test_one_view_is_the_first_of_the_two(demo):
    folder = ImageFolder(demo[0] / "digits" / "val")
    one, two = OneView(folder, VIEW, 5, 1), TiedDataset(folder, TwoView(VIEW), seed=5)
    one.set_epoch(3)
    two.set_epoch(3)
    for a, b in zip(one.__getitems__([700, 2]), two.__getitems__([700, 2]), strict=True):
        assert (a[0] != b[0][0]).sum() == 0
        assert a[1] == b[1]


def test_only_the_similarity_learns_from_unlabelled_images():
    torch.manual_seed(0)
    logits = torch.randn(8, 10, requires_grad=True)
    target = torch.tensor([3, 7, NO_LABEL, NO_LABEL])
    hidden = torch.tensor([2, 3, 6, 7])
    for way in WAYS:
        loss = TiedLoss(tied_weight=way.tied_weight or 0.0, similarity=SIMILARITY)
        (gradient,) = torch.autograd.grad(loss(logits, torch.randn(8, 5), target), logits)
        learns = (gradient[hidden] != 0).any(1)
        assert learns.all() if way.tied_weight else not learns.any()


def test_demo_keeps_what_it_has_when_it_is_interrupted(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(loaders, "compare", lambda *_: "not measured")
    monkeypatch.setattr(training, "train", _interrupted_in_the_second_seed())
    assert main(["demo", "--out", str(tmp_path), "--epochs=1"]) == 130
    printed = capsys.readouterr()
    assert "tied-augment demo: interrupted" in printed.err
    assert "tied minus two views" in printed.out
    with (tmp_path / "results.csv").open(newline="") as file:
        kept = [(row["way"], row["seed"]) for row in csv.DictReader(file)]
    assert kept == [*((way.name, "0") for way in WAYS), (WAYS[0].name, "1")]
    assert (tmp_path / "curves.png").exists()


def test_demo_begins_no_seed_that_would_take_too_long(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(loaders, "compare", lambda *_: "not measured")
    arguments = ["demo", "--out", str(tmp_path), "--epochs=1", "--seconds=1e-9"]
    assert main(arguments) == 0
    assert "1 of 5 seeds fit into --seconds 1e-09" in capsys.readouterr().out
    with (tmp_path / "results.csv").open(newline="") as file:
        assert [row["way"] for row in csv.DictReader(file)] == [way.name for way in WAYS]


def _interrupted_in_the_second_seed():
    train = training.train

    def replaced(way, seed, *arguments):
        if seed == 1 and way is WAYS[1]:
            raise KeyboardInterrupt
        return train(way, seed, *arguments)

    return replaced


@pytest.mark.parametrize("option", ["seeds", "epochs", "threads"])
def test_demo_refuses_numbers_below_one(capsys, tmp_path, option):
    message = error_of(capsys, "demo", "--out", tmp_path, f"--{option}=0")
    assert re.search(rf"--{option} must be (at least|from) 1.*, got 0\n", message)


def test_demo_names_a_folder_that_is_a_file(capsys, tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert f"can't write {file}: Not a directory" in error_of(capsys, "demo", "--out", file)
