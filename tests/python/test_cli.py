import csv
import re
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

from tied_augment import TwoView, View, decode
from tied_augment.cli import main
from tied_augment.cli.errors import CommandError, needs_extra
from tied_augment.cli.sheet import contact_sheet, describe, make_pair


@pytest.fixture
def photo(tmp_path):
    """A JPEG file whose left half is red and whose right half is blue."""
    pixels = np.zeros((90, 160, 3), np.uint8)
    pixels[:, :80, 0] = pixels[:, 80:, 2] = 255
    path = tmp_path / "photo.jpg"
    Image.fromarray(pixels).save(path, quality=95)
    return path


def colors(path):
    with Image.open(path) as image:
        return image.size, len(image.convert("RGB").getcolors(1 << 24))


def error_of(capsys, *argv):
    """Run a command line that must fail by the user's doing: one line on stderr."""
    assert main([str(part) for part in argv]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"tied-augment {argv[0]}: error: ")
    return err


# --- demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The output folder and the printed text of a very short demo, with two seeds."""
    out = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "tied_augment", "demo", "--seeds=2", "--epochs=1", "--threads=1"],
        cwd=out,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / "tied-augment-demo", done


def test_demo_writes_an_image_folder(demo):
    files = sorted((demo[0] / "digits").glob("*/*/*.jpg"))
    assert len(files) == 1797
    folders = {file.parent.relative_to(demo[0] / "digits").as_posix() for file in files}
    labelled = {f"{part}/{label}" for part in ("train", "val") for label in range(10)}
    assert folders == labelled | {"unlabelled/digits"}
    # Each digit is in one part only, or val would say nothing.
    assert len({file.name for file in files}) == 1797
    assert decode(files[0]).ndim == 3


def test_demo_csv_has_every_run(demo):
    from tied_augment.cli.demo.measure import Row
    from tied_augment.cli.demo.training import BATCH, WAYS

    with (demo[0] / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [field.name for field in fields(Row)]
    runs = {(row["way"], row["seed"], row["epoch"]) for row in rows}
    assert runs == {(way.name, s, e) for way in WAYS for s in "01" for e in "1"}
    training = len(list((demo[0] / "digits" / "train").glob("*/*.jpg")))
    for row in rows:
        # All ways make equally many steps, or the comparison means nothing.
        assert int(row["step"]) == int(row["epoch"]) * (training // BATCH)
        assert 0 <= float(row["val_accuracy"]) <= 100
        assert 0 <= float(row["val_agreement"]) <= 100
        assert -1 <= float(row["val_similarity"]) <= 1
        assert float(row["ms_per_step"]) > 0
        assert 0 < float(row["data_share"]) < 1


def test_demo_pictures_are_not_blank(demo):
    size, count = colors(demo[0] / "curves.png")
    assert size == (1400, 588)
    assert count > 100
    size, count = colors(demo[0] / "views.png")
    assert size[0] == 1056
    assert count > 100


def test_demo_prints_the_table_and_no_bar_without_a_terminal(demo):
    out, done = demo
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert sum(line.startswith("seed ") for line in lines) == 8
    for start in ("one view ", "two views ", "unlabelled too, tied ", "tied minus two views "):
        assert any(line.startswith(start) and "+-" in line for line in lines), start
    assert out.name in lines[-1]


def test_one_view_is_the_first_of_the_two(demo):
    from torchvision.datasets import ImageFolder

    from tied_augment import TiedDataset
    from tied_augment.cli.demo.training import VIEW, OneView

    folder = ImageFolder(demo[0] / "digits" / "val")
    one, two = OneView(folder, VIEW, 5, 1), TiedDataset(folder, TwoView(VIEW), seed=5)
    one.set_epoch(3)
    two.set_epoch(3)
    for a, b in zip(one.__getitems__([700, 2]), two.__getitems__([700, 2]), strict=True):
        assert (a[0] != b[0][0]).sum() == 0
        assert a[1] == b[1]


def test_only_the_similarity_learns_from_unlabelled_images():
    import torch

    from tied_augment import TiedLoss
    from tied_augment.cli.demo.training import NO_LABEL, SIMILARITY, WAYS

    torch.manual_seed(0)
    logits = torch.randn(8, 10, requires_grad=True)
    target = torch.tensor([3, 7, NO_LABEL, NO_LABEL])
    hidden = torch.tensor([2, 3, 6, 7])
    for way in WAYS:
        loss = TiedLoss(tied_weight=way.tied_weight or 0.0, similarity=SIMILARITY)
        (gradient,) = torch.autograd.grad(loss(logits, torch.randn(8, 5), target), logits)
        learns = (gradient[hidden] != 0).any(1)
        assert learns.all() if way.tied_weight else not learns.any()


@pytest.mark.parametrize("option", ["seeds", "epochs", "threads"])
def test_demo_refuses_numbers_below_one(capsys, tmp_path, option):
    message = error_of(capsys, "demo", "--out", tmp_path, f"--{option}=0")
    assert re.search(rf"--{option} must be (at least|from) 1.*, got 0\n", message)


def test_demo_names_a_folder_that_is_a_file(capsys, photo):
    assert f"can't write {photo}: Not a directory" in error_of(capsys, "demo", "--out", photo)


# --- preview


def test_preview_writes_a_sheet(photo, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert main(["preview", str(photo), str(photo), "--out", str(out), "--pairs=3"]) == 0
    assert capsys.readouterr().out == f"6 view pairs written to {out}\n"
    size, count = colors(out)
    assert size[0] > 700
    assert size[1] > 6 * 232
    assert count > 50


def test_preview_shows_the_views_of_training(photo):
    two = TwoView(View(160, interpolation="bicubic"))
    pixels = decode(photo)
    sheet = np.asarray(contact_sheet([make_pair(two, pixels, ["x"], 4, 2, 7)], "title"))
    for view in np.stack(two(photo, index=4, epoch=2, seed=7)).transpose(0, 2, 3, 1):
        windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :, 0], 160, axis=1)
        hits = [
            (y, x)
            for y, x in np.argwhere((windows == view[0, :, 0]).all(-1))
            if np.array_equal(sheet[y : y + 160, x : x + 160], view)
        ]
        assert len(hits) >= 1


def test_preview_options_reach_the_view(photo, tmp_path):
    whole = ["--scale", "1", "1", "--ratio", "1.777", "1.778", "--hflip=0"]
    sheets = []
    for name, options in {
        "a": [],
        "b": [],
        "c": ["--seed=1"],
        "d": [*whole],
        "e": [*whole, "--seed=1", "--interpolation=bicubic"],
        "f": ["--same-crop"],
    }.items():
        out = tmp_path / f"{name}.png"
        argv = ["preview", str(photo), "--out", str(out), "--pairs=1", "--size=64", *options]
        assert main(argv) == 0
        sheets.append(out.read_bytes())
    assert sheets[0] == sheets[1]
    assert len(set(sheets)) == 5


def test_every_field_of_view_is_an_option(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["preview", "--help"])
    text = capsys.readouterr().out
    for field in fields(View):
        assert f"--{field.name.replace('_', '-')} " in text


def test_describe_says_the_plan():
    plan = {
        "crop": (1, 2, 30, 40),
        "interpolation": "bicubic",
        "hflip": True,
        "vflip": False,
        "ops": [("crop", {"x": 1}), ("Rotate", {"degrees": 12.3456, "fill": (1, 2, 3)})],
    }
    assert describe(plan) == [
        "crop 30 x 40 at (1, 2)",
        "bicubic, hflip",
        "Rotate degrees 12.3, fill (1, 2, 3)",
    ]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["missing.jpg"], "there is no file or folder missing.jpg"),
        (["EMPTY"], "empty has no images: none of its files ends in .bmp, .gif, .jpeg, "),
        ([__file__], __file__),
        (["PHOTO", "--scale", "0", "1"], ": --scale must be "),
        (["PHOTO", "--size", "0"], ": --size must be "),
        (["PHOTO", "--img-size", "0"], ": --img-size must be "),
        (["PHOTO", "--hflip", "2"], ": --hflip must be "),
        (["PHOTO", "--interpolation", "cubic"], ": --interpolation must be "),
        (["PHOTO", "--crop", "middle"], ": --crop must be "),
        (["PHOTO", "--aa", "rnad"], ": --aa 'rnad': no policy is called 'rnad'"),
        (["PHOTO", "--auto-augment=rnad"], ": --auto-augment 'rnad': no policy "),
        (["PHOTO", "--aa=rand-m9", "--interpolation=box"], "translations of this --aa: "),
        (["PHOTO", "--crop", "pad", "--size", "500"], "photo.jpg: "),
        (["PHOTO", "--crop", "pad", "--size", "500"], "; use --crop='rrc' or "),
        (["PHOTO", "--own-flips"], "--own-flips has no effect without --same-crop: add that"),
        (["PHOTO", "--pairs", "0"], "--pairs must be at least 1, got 0"),
        (["PHOTO", "--pairs", "101"], "1 images with --pairs 101 are more than the 100 pairs "),
        (["PHOTO", "--seed", "-1"], "--seed must be from 0 to 2**64 - 1, got -1"),
        (["PHOTO", "--seed", str(1 << 64)], "--seed must be from 0 to 2**64 - 1, got "),
        (["PHOTO", "--out", "a.xyz"], "--out a.xyz: Pillow writes no files with this ending"),
        (["PHOTO", "--out", "a.psd"], "--out a.psd: Pillow writes no files with this ending"),
        (["PHOTO", "--out", "none/a.png"], "can't write none/a.png: No such file or directory; "),
    ],
)
def test_preview_errors(capsys, photo, tmp_path, monkeypatch, argv, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    argv = [{"PHOTO": str(photo), "EMPTY": "empty"}.get(part, part) for part in argv]
    assert says in error_of(capsys, "preview", *argv)
    assert not (tmp_path / "preview.png").exists()


# --- the command itself


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "a command is missing: choose from bench, demo, "),
        (["nothing"], "there is no command 'nothing': choose from bench, demo, "),
        (["prevew", "a.jpg"], "there is no command 'prevew': did you mean preview?"),
        (["preview"], "the following arguments are required: IMAGE"),
        (["train"], "the following arguments are required: TRAIN_PY"),
        (["demo", "--seeds=many"], "argument --seeds: invalid int value: 'many'"),
        (["demo", "--seed", "1"], "there is no option --seed: did you mean --seeds?"),
        (["bench", ".", "--batch=4"], "there is no option --batch: did you mean --batch-size?"),
        (["preview", "a.jpg", "--hflop", "1"], "there is no option --hflop: did you mean --hflip"),
        (["preview", "a.jpg", "--zzz"], "there is no option --zzz"),
        (["preview", "--color-jitter", "1", "a.jpg"], "argument --color-jitter: 'a.jpg' is not "),
        (["bench", "--threads", "1", "a"], "argument --threads/-j/--workers: 'a' is not a number"),
        (["preview", "a.jpg", "--size", "64", "b.jpg"], "unexpected 'b.jpg': give files "),
    ],
)
def test_usage_errors_exit_with_two(capsys, argv, says):
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    usage, error = capsys.readouterr().err.rsplit("\n", 2)[:2]
    assert usage.startswith("usage: tied-augment")
    assert f"error: {says}" in error


def test_a_missing_package_names_the_extra():
    with (
        pytest.raises(CommandError, match=r"pip install 'tied-augment\[demo\]'"),
        needs_extra("demo"),
    ):
        import no_such_package.module  # noqa: F401


def test_interrupt_is_quiet(capsys, monkeypatch, photo):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tied_augment.cli.preview.decode", interrupt)
    assert main(["preview", str(photo)]) == 130
    assert capsys.readouterr().err == "\ntied-augment preview: interrupted\n"


def test_help_needs_neither_torch_nor_pillow():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'PIL', 'timm', 'matplotlib']))\n"
        "from tied_augment.cli import main; main(['demo', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--seeds" in done.stdout
