"""tied-augment bench: both loaders are measured, and mistakes are reported."""

import re
import tarfile

import pytest
from timm.data.loader import create_loader

from tied_augment.cli import main
from tied_augment.cli.baseline import Draws

QUICK = ["--img-size", "32", "-b", "4", "--seconds", "0.01", "--threads", "1"]


def stops_workers(test):
    """For tests that stop timm's workers in the middle of an epoch, with files open."""
    for kind in (
        "ignore::ResourceWarning",
        "ignore::pytest.PytestUnraisableExceptionWarning",
        "ignore:.*fork:DeprecationWarning",
    ):
        test = pytest.mark.filterwarnings(kind)(test)
    return test


@stops_workers
def test_both_loaders_are_measured(image_folder, capsys):
    assert main(["bench", str(image_folder), *QUICK, "--aa", "rand-m5"]) == 0
    out = capsys.readouterr().out
    assert "12 images" in out
    assert re.search(r"TiedLoader, 1 thread\(s\) +\d+ img/s", out)
    assert re.search(r"timm's loader, 1 worker\(s\) +\d+ img/s", out)
    assert re.search(r"\nUse .*: \d+ img/s, \d+\.\d times ", out)


@stops_workers
@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_views_is_measured(image_folder, capsys, monkeypatch, count):
    made, batches = [], []

    def record(self, image):
        made.append(len(views := draw(self, image)))
        return views

    def measure(loader, *rest):
        batches.append(next(iter(loader))[0])
        return 1.0, 1.0

    draw = Draws.__call__
    monkeypatch.setattr(Draws, "__call__", record)
    monkeypatch.setattr("tied_augment.cli.bench.measure", measure)
    monkeypatch.setattr("tied_augment.cli.baseline.create_loader", without_workers)
    assert main(["bench", str(image_folder), *QUICK, "--views", str(count)]) == 0
    ours, timms = batches
    assert ours.shape == (count, 4, 3, 32, 32)
    assert timms.shape == (count * 4, 3, 32, 32)
    assert set(made) == {count}
    assert f"12 images, {count} view{'s' * (count > 1)} of each; " in capsys.readouterr().out


def without_workers(*args, **options):
    return create_loader(*args, **options | {"num_workers": 0})


@stops_workers
def test_timms_posterize_to_no_bits_is_measured(image_folder, capsys):
    """Pillow 13 refuses 0 bits, to which ``inc1`` posterizes at magnitude 10."""
    assert main(["bench", str(image_folder), *QUICK, "--aa", "rand-m10-n40-p1-inc1"]) == 0
    assert re.search(r"timm's loader, 1 worker\(s\) +\d+ img/s", capsys.readouterr().out)


def test_a_failure_of_timms_does_not_hide_ours(image_folder, capsys, monkeypatch):
    def fail(self, image):
        raise ValueError("bits must be between 1 and 8")

    monkeypatch.setattr("tied_augment.cli.baseline.Draws.__call__", fail)
    assert main(["bench", str(image_folder), *QUICK]) == 0
    out = capsys.readouterr().out
    assert re.search(r"timm's loader, 1 worker\(s\) +failed: .*between 1 and 8\n", out)
    assert re.search(r"\nUse TiedLoader\(..., threads=1\): \d+ img/s\.\n", out)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "there is no nosuch: give a folder of images, or a tar file of them"),
        (["empty"], "empty has no images that timm's reader finds: "),
        (["text.tar"], "text.tar has no images that timm's reader finds: "),
        (["broken.tar"], "can't read broken.tar: "),
        (["bad"], "can't read the images of bad: 20 samples in a row could not be read"),
        (["IMAGES", "-b", "13"], "images, fewer than one batch of 13: give -b 12 or less"),
        (["IMAGES", "--batch-size=13"], "one batch of 13: give --batch-size 12 or less"),
        (["IMAGES", "--aa", "nonsense"], ": --aa 'nonsense': no policy is called "),
        (["IMAGES", "--auto-augment", "no"], ": --auto-augment 'no': no policy is called "),
        (["IMAGES", "--img-size", "0"], ": --img-size must be "),
        (["IMAGES", "--train-interpolation=no"], ": --train-interpolation must be "),
        (["IMAGES", "--threads", "1", "0"], "--threads must be from 1 to 1024, got 0"),
        (["IMAGES", "-j", "9999"], "-j must be from 1 to 1024, got 9999"),
        (["IMAGES", "--views", "0"], "--views must be from 1 to 65535, got 0"),
        (["IMAGES", "-b", "0"], ": -b must be at least 1, got 0"),
        (["IMAGES", "--seconds", "-1"], "--seconds must be a finite number above 0, got -1"),
        (["IMAGES", "--seconds", "nan"], "--seconds must be a finite number above 0, got nan"),
    ],
)
def test_mistakes_are_reported(image_folder, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "bad"):
        (tmp_path / folder).mkdir()
    for number in range(5):
        (tmp_path / "bad" / f"{number}.jpg").write_text("no image")
    (tmp_path / "broken.tar").write_bytes(bytes(range(256)) * 4)
    with tarfile.open("text.tar", "w") as archive:
        archive.add(__file__, "text.py")
    folder, *options = arguments
    folder = str(image_folder) if folder == "IMAGES" else folder
    assert main(["bench", folder, *QUICK, *options]) == 1
    assert message in capsys.readouterr().err


def test_another_failure_is_not_about_the_images(image_folder, capsys, monkeypatch):
    def fail(self):
        raise RuntimeError("no thread could be started")

    monkeypatch.setattr("tied_augment.loader.TiedLoader.__iter__", fail)
    assert main(["bench", str(image_folder), *QUICK]) == 1
    assert "error: TiedLoader failed: no thread could be started\n" in capsys.readouterr().err


@stops_workers
def test_torchvisions_policies_are_measured_though_timm_has_none(image_folder, capsys, monkeypatch):
    monkeypatch.setattr("tied_augment.loader.TiedLoader.stats", lambda _: {"reading": "native"})
    assert main(["bench", str(image_folder), *QUICK, "--aa", "tv-rand"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"TiedLoader, 1 thread\(s\) .*   reading: native\n", out)
    assert re.search(r"timm's loader, 1 worker\(s\) +failed: .+\n", out)
    assert "\nUse TiedLoader(" in out
