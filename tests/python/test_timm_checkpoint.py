"""Checkpoints of --split-bn runs, converted for the plain model."""

from pathlib import Path

import pytest
import timm
import torch
from commands import error_of
from timm.layers import convert_splitbn_model
from timm_launch import BY_TASK, launch

from tied_augment.cli import main
from tied_augment.timm import plain_checkpoint

UNREADABLE = (
    "is not a checkpoint that torch can read: it must hold tensors, plain Python values and "
    "train.py's arguments only\n"
)


@pytest.fixture(scope="module")
def trained(train_folder, tmp_path_factory):
    options = ["--split-bn", "--model-ema", "--model-ema-decay", "0.5"]
    run = launch(BY_TASK, train_folder, tmp_path_factory.mktemp("split"), *options)
    return run.folder / "last.pth.tar"


def model():
    return timm.create_model("test_resnet", num_classes=4).eval()


@pytest.mark.parametrize("ema", [False, True])
def test_the_plain_model_is_that_of_view_1(trained, tmp_path, ema, capsys):
    out = tmp_path / "plain.pth.tar"
    assert main(["plain", str(trained), str(out)]) == 0
    assert "has the plain model's keys" in capsys.readouterr().out

    split = convert_splitbn_model(model(), 2).eval()
    state = torch.load(trained, weights_only=False)["state_dict_ema" if ema else "state_dict"]
    split.load_state_dict(state)
    assert state.keys() > model().state_dict().keys()
    images = torch.randn(3, 3, 32, 32)
    expected = split(images)

    plain = model()
    timm.models.load_checkpoint(plain, str(out), use_ema=ema, strict=True)
    assert torch.equal(plain(images), expected)
    if ema:  # which create_model takes where there is one
        made = timm.create_model("test_resnet", num_classes=4, checkpoint_path=str(out)).eval()
        assert torch.equal(made(images), expected)


def test_all_else_is_kept(trained, tmp_path):
    aux = plain_checkpoint(trained, tmp_path / "plain.pth.tar")
    before, after = (
        torch.load(path, weights_only=False) for path in (trained, tmp_path / "plain.pth.tar")
    )
    assert list(before) == list(after)
    assert before["args"] == after["args"]
    assert str(before["optimizer"]) == str(after["optimizer"])
    states = ("state_dict", "state_dict_ema")
    assert aux == sum(len(before[name]) - len(after[name]) for name in states) > 0


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("plain", "other", "it is plain already, use it as is"),
        ("TRAINED", "TRAINED", "which --resume needs: name another"),
        ("text", "other", f"text {UNREADABLE}"),
        ("empty", "other", f"empty {UNREADABLE}"),
        ("cut", "other", f"cut {UNREADABLE}"),
        ("path", "other", f"path {UNREADABLE}"),
        ("ARGS", "other", f"args.yaml {UNREADABLE}"),
        ("SCRIPT", "other", f"by_task.py {UNREADABLE}"),
        ("list", "other", "list is not a checkpoint of train.py: it has no state_dict"),
        ("none", "other", "none: No such file or directory"),
        (".", "other", ".: Is a directory"),
        ("TRAINED", "no/folder", "no/folder: No such file or directory"),
    ],
)
def test_what_cannot_be_converted_is_refused(
    trained, tmp_path, monkeypatch, capsys, source, target, message
):
    monkeypatch.chdir(tmp_path)
    plain_checkpoint(trained, "plain")
    Path("text").write_text("no checkpoint")
    Path("empty").touch()
    Path("cut").write_bytes(trained.read_bytes()[:-1000])
    torch.save({"state_dict": {}, "args": Path("path")}, "path")
    torch.save([1], "list")
    named = {"TRAINED": trained, "ARGS": trained.parent / "args.yaml", "SCRIPT": BY_TASK}
    source, target = (named.get(name, name) for name in (source, target))
    assert message in error_of(capsys, "plain", source, target)
