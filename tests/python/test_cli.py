"""The command tied-augment itself: usage errors, missing packages, interrupts, help."""

import subprocess
import sys

import pytest

from tied_augment.cli import main
from tied_augment.cli.errors import CommandError, needs_extra


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
        (["bench", "a", "b"], "unexpected 'b'\n"),
        (["demo", "a"], "unexpected 'a'\n"),
    ],
)
def test_usage_errors_exit_with_two(capsys, argv, says):
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    usage, error = capsys.readouterr().err.split("\ntied-augment", 1)
    assert usage.startswith("usage: tied-augment")
    assert f"error: {says}" in error
    assert error.endswith("\n")
    assert error.count("\n") == 1


def test_a_missing_package_names_the_extra():
    with (
        pytest.raises(CommandError, match=r"pip install 'tied-augment\[demo\]'"),
        needs_extra("demo"),
    ):
        import no_such_package.module  # noqa: F401


def test_interrupt_is_quiet(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tied_augment.cli.preview.decode", interrupt)
    assert main(["preview", "photo.jpg"]) == 130
    assert capsys.readouterr().err == "\ntied-augment preview: interrupted\n"


def test_help_needs_neither_torch_nor_pillow():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'PIL', 'timm', 'matplotlib']))\n"
        "from tied_augment.cli import main; main(['demo', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--seeds" in done.stdout
