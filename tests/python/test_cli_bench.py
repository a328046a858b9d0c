"""tied-augment bench: both loaders are measured, and what is wrong is said."""

import re

import pytest

from tied_augment.cli import bench, main

QUICK = ["--img-size", "32", "-b", "4", "--seconds", "0.01", "--threads", "1"]


# timm's workers are killed in mid-epoch, with files open.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_both_loaders_are_measured(image_folder, capsys):
    assert main(["bench", str(image_folder), *QUICK, "--aa", "rand-m5"]) == 0
    out = capsys.readouterr().out
    assert "12 images" in out
    assert re.search(r"TiedLoader, 1 thread\(s\) +\d+ img/s", out)
    assert re.search(r"timm's loader, 1 worker\(s\) +\d+ img/s", out)
    assert re.search(r"\nUse .*: \d+ img/s, \d+\.\d times ", out)


def test_a_failure_of_timms_does_not_hide_ours(image_folder, capsys, monkeypatch):
    def fail(self, image):
        raise ValueError("bits must be between 1 and 8")

    monkeypatch.setattr(bench._Twice, "__call__", fail)
    assert main(["bench", str(image_folder), *QUICK]) == 0
    out = capsys.readouterr().out
    assert re.search(r"timm's loader, 1 worker\(s\) +failed: .*between 1 and 8\n", out)
    assert re.search(r"\nUse TiedLoader\(..., threads=1\): \d+ img/s\.\n", out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere", *QUICK], "can't read /nowhere"),
        ([".", *QUICK, "--aa", "nonsense"], "nonsense"),
        (["FOLDER", *QUICK, "-b", "13"], "12 images, less than one batch"),
        (["FOLDER", *QUICK, "--seconds", "0"], "must be above 0"),
    ],
)
def test_mistakes_are_said(image_folder, capsys, arguments, message):
    folder = [str(image_folder) if a == "FOLDER" else a for a in arguments]
    assert main(["bench", *folder]) == 1
    assert message in capsys.readouterr().err
