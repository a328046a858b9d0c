"""tied-augment preview: its sheet shows the views of training, and its options make them."""

import re
from dataclasses import fields

import numpy as np
import pytest
from commands import error_of
from PIL import Image

from tied_augment import TwoView, View, Views, decode
from tied_augment.cli import main
from tied_augment.sheet import contact_sheet, describe, make_row


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


def test_preview_writes_a_sheet(photo, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert main(["preview", str(photo), str(photo), "--out", str(out), "--epochs=3"]) == 0
    assert capsys.readouterr().out == f"12 views of 2 images written to {out}\n"
    size, count = colors(out)
    assert size[0] > 700
    assert size[1] > 6 * 232
    assert count > 50


def test_preview_shows_the_views_of_training(photo):
    two = TwoView(View(160, interpolation="bicubic"))
    pixels = decode(photo)
    sheet = np.asarray(contact_sheet([make_row(two, pixels, ["x"], 4, 2, 7)], "title"))
    for view in np.stack(two(photo, index=4, epoch=2, seed=7)).transpose(0, 2, 3, 1):
        windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :, 0], 160, axis=1)
        hits = [
            (y, x)
            for y, x in np.argwhere((windows == view[0, :, 0]).all(-1))
            if np.array_equal(sheet[y : y + 160, x : x + 160], view)
        ]
        assert len(hits) >= 1


@pytest.mark.parametrize("count", [1, 3, 9])
def test_a_sheet_has_a_column_for_each_view(photo, tmp_path, capsys, count):
    out = tmp_path / "sheet.png"
    argv = ["preview", str(photo), "--out", str(out), "--epochs=1", "--size=160", "--hflip=0"]
    assert main([*argv, "--interpolation=bicubic", f"--views={count}"]) == 0
    assert (
        capsys.readouterr().out == f"{count} view{'s' * (count > 1)} of 1 image written to {out}\n"
    )
    with Image.open(out) as image:
        sheet = np.asarray(image.convert("RGB"))
    views = Views(*count * [View(160, hflip=0.0, interpolation="bicubic")])
    width = 160 + 2 * 4 + 12  # with its border and the gap
    top = 24 + 2 * 20 + 4
    for number, view in enumerate(views(photo, index=0, epoch=0), 1):
        left = 24 + number * width + 4
        assert np.array_equal(sheet[top : top + 160, left : left + 160], view.transpose(1, 2, 0))
    assert sheet.shape[1] == 2 * 24 + (count + 1) * width - 12


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
        argv = ["preview", str(photo), "--out", str(out), "--epochs=1", "--size=64", *options]
        assert main(argv) == 0
        sheets.append(out.read_bytes())
    assert sheets[0] == sheets[1]
    assert len(set(sheets)) == 5


def test_every_field_of_view_is_an_option(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["preview", "--help"])
    text = capsys.readouterr().out
    for field in fields(View):
        # Before a name for the value, or from Python 3.13 on before another name of the option.
        assert re.search(f"--{field.name.replace('_', '-')}[ ,]", text)


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


def test_describe_says_the_chains_of_augmix():
    chains = [[0.75, [("Rotate", {"degrees": 12.3456}), ("Equalize", {})]], [0.25, []]]
    plan = {
        "crop": (1, 2, 30, 40),
        "interpolation": "bicubic",
        "hflip": False,
        "vflip": False,
        "ops": [("Mix", {"mixing": "sum", "amount": 0.123456, "chains": chains})],
    }
    assert describe(plan)[2:] == [
        "Mix mixing sum, amount 0.123",
        "chain of 0.75: Rotate degrees 12.3; Equalize",
        "chain of 0.25: nothing",
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
        (["PHOTO", "--epochs", "0"], "--epochs must be at least 1, got 0"),
        (
            ["PHOTO", "--epochs", "101"],
            "1 images with --epochs 101 and --views 2 are 303 pictures, ",
        ),
        (["PHOTO", "--views", "300"], "are 602 pictures, of which a sheet holds 300: give fewer"),
        (["PHOTO", "--same-crop", "--views", "1"], "--same-crop has no effect with --views 1: "),
        (["PHOTO", "--views", "0"], "--views must be from 1 to 65535, got 0"),
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
