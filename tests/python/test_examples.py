"""The scripts in examples/ run on a tiny folder, and their parts compute their formulas."""

import importlib.util
import math
import re
import runpy
import sys
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("finetune", {"model_name": "test_resnet", "pretrained": False, "epochs": 2, "size": 64}),
        ("tied_mixup", {"batch_size": 6, "size": 32}),
        ("tied_sam", {"batch_size": 6, "size": 32}),
        ("tied_fixmatch", {"batch_size": 6, "size": 32}),
        ("transform", {"batch_size": 6, "size": 32}),
    ],
)
def test_runs(name, arguments, image_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    load(name).main(str(image_folder), **arguments)
    printed = capsys.readouterr().out
    assert printed.count("epoch") == 2
    assert "nan" not in printed
    assert "loss" in printed


def test_the_custom_loop_is_a_script_and_saves_the_plain_model(
    image_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["custom_loop.py", str(image_folder)])
    runpy.run_path(str(EXAMPLES / "custom_loop.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[1].startswith("epoch 1: loss ")
    plain = timm.create_model("resnet10t", num_classes=3)
    plain.load_state_dict(torch.load("model.pth"), strict=True)


@pytest.mark.filterwarnings("ignore")  # the frameworks use deprecated features of others
@pytest.mark.parametrize("framework", ["accelerate", "lightning"])
def test_runs_in_a_framework(framework, image_folder, capsys):
    pytest.importorskip(framework, reason="the frameworks are optional")
    load(f"{framework}_loop").main(str(image_folder), batch_size=6)
    assert "epoch 1" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")  # lightly's head uses it
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("simclr", {"epochs": 4, "size": 32, "batch_size": 12}),
        ("dino", {"epochs": 4, "size": 32, "batch_size": 12}),
        ("three_views", {"epochs": 6, "size": 32, "batch_size": 6}),
    ],
)
def test_the_loss_falls(name, arguments, image_folder, capsys):
    load(name).main(str(image_folder), **arguments)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)$", capsys.readouterr().out, re.M)]
    assert len(losses) == arguments["epochs"]
    assert losses[-1] < losses[0]


def readme_loop(folder):
    """README's loop and its other loader, changed to run on a small folder."""
    text = (EXAMPLES.parent / "README.md").read_text().split("## A training loop")[1]
    loop, other = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]
    for large, small in [
        ('"imagenet/train"', repr(str(folder))),
        ("View(224)", "View(32)"),
        ("batch_size=128", "batch_size=6"),
        ("num_workers=8", "num_workers=1"),
        ('"resnet50", ', '"test_resnet", '),
        ("range(90)", "range(2)"),
    ]:
        assert large in loop
        loop, other = loop.replace(large, small), other.replace(large, small)
    return loop, other


@pytest.mark.parametrize("loader", ["DataLoader", "TiedLoader"])
def test_readmes_loop_runs_as_printed(loader, image_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    loop, other = readme_loop(image_folder)
    if loader == "TiedLoader":
        loop, count = re.subn(r"^loader = DataLoader\(.*\)$", other, loop, flags=re.MULTILINE)
        assert count == 1
    names = {}
    exec(compile(loop, "README.md", "exec"), names)
    assert type(names["loader"]).__name__ == loader
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1"]
    assert all("loss" in line and "nan" not in line for line in lines)
    shapes = {(first.shape, second.shape) for (first, second), _ in names["loader"]}
    assert shapes == {((6, 3, 32, 32),) * 2}
    plain = timm.create_model("test_resnet", num_classes=3)
    plain.load_state_dict(torch.load("resnet50.pth"), strict=True)


def test_every_example_is_run():
    runs = {"custom_loop"} | {name for name, _ in test_runs.pytestmark[0].args[1]}
    runs |= {name for name, _ in test_the_loss_falls.pytestmark[0].args[1]}
    runs |= {f"{name}_loop" for name in test_runs_in_a_framework.pytestmark[0].args[1]}
    assert runs == {path.stem for path in EXAMPLES.glob("*.py")}


def test_every_example_is_among_the_recipes():
    recipes = (EXAMPLES.parent / "docs/recipes.md").read_text()
    assert set(re.findall(r"\(\.\./examples/(\w+)\.py\)", recipes)) == {
        path.stem for path in EXAMPLES.glob("*.py")
    }


def test_sam_steps_with_the_gradient_at_the_worst_weights():
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[3.0, 4.0]])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loss():
        return model.weight.square().sum() / 2  # its gradient is the weight itself

    load("tied_sam").sam_step(model, optimizer, loss, loss, rho=0.5)
    worst = torch.tensor([[3.0, 4.0]]) * (1 + 0.5 / 5)
    assert_close(model.weight.data, torch.tensor([[3.0, 4.0]]) - 0.1 * worst)


def test_sam_updates_the_statistics_of_batchnorm_once():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = torch.randn(4, 2)

    def loss():
        return model(batch).square().sum() + model(batch)[0, 0]

    load("tied_sam").sam_step(model, optimizer, loss, loss)
    assert model[1].num_batches_tracked == 2  # both forwards of the first loss, none of the second


@pytest.mark.parametrize("mask_similarity", [False, True])
def test_fixmatch_matches_weak_with_strong(mask_similarity):
    generator = torch.Generator().manual_seed(0)
    labelled, pairs = 3, 5
    logits = 4 * torch.randn(labelled + 2 * pairs, 4, generator=generator)
    features = torch.randn(labelled + 2 * pairs, 6, generator=generator)
    target = torch.tensor([0, 3, 1])
    example = load("tied_fixmatch")
    loss = example.fixmatch_loss(logits, features, target, 0.7, 2.0, 0.5, mask_similarity)

    expected = F.cross_entropy(logits[:3], target)
    sure = 0
    for i in range(pairs):
        weak, strong = labelled + i, labelled + pairs + i
        chances = logits[weak].softmax(0)
        if chances.max() >= 0.7:
            sure += 1
            expected += 2 * -logits[strong].log_softmax(0)[chances.argmax()] / pairs
        if not mask_similarity or chances.max() >= 0.7:
            expected += 0.5 * ((features[weak] - features[strong]) ** 2).mean() / pairs
    assert 0 < sure < pairs
    assert_close(loss, expected)
    assert math.isfinite(loss)
