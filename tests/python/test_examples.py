"""The scripts in examples/ run on a tiny folder, and their parts compute their formulas."""

import importlib.util
import math
import os
import re
import runpy
import subprocess
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from tied_augment import TiedDataset, View

pytestmark = pytest.mark.integration

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
@pytest.mark.parametrize(
    ("name", "framework"),
    [
        ("accelerate_loop", "accelerate"),
        ("lightning_loop", "lightning"),
        ("lightning_datamodule", "lightning"),
        ("torchdata_loop", "torchdata"),
        ("transformers_trainer", "transformers"),
    ],
)
def test_runs_in_a_framework(name, framework, image_folder, tmp_path, monkeypatch, capsys):
    pytest.importorskip(framework, reason="the frameworks are optional")
    monkeypatch.chdir(tmp_path)
    folders = [str(image_folder)] * (2 if name == "lightning_datamodule" else 1)
    load(name).main(*folders, batch_size=6)
    assert "epoch 1" in capsys.readouterr().out


@pytest.mark.slow  # Ray takes long to start
def test_the_ray_loop_runs(image_folder):
    pytest.importorskip("ray", reason="the frameworks are optional")
    # In a process of its own: Ray keeps the token of another test's cluster.
    code = """
import sys, ray, ray_loop
ray.init(num_cpus=2, object_store_memory=100 << 20, include_dashboard=False)
ray_loop.main(sys.argv[1], batch_size=6)
"""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(EXAMPLES), *filter(None, sys.path)]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_TOKEN": uuid.uuid4().hex,  # else Ray writes one into the home
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(image_folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "epoch 1" in done.stdout


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_the_torchdata_loop_goes_on_where_it_was_stopped(image_folder, tmp_path, monkeypatch):
    example = load("torchdata_loop")

    def weights(folder, stop=None):
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        saves = []

        def save(*arguments):
            example_save(*arguments)
            saves.append(arguments)
            if len(saves) == stop:
                raise KeyboardInterrupt

        example_save = example.save
        with monkeypatch.context() as patch:
            patch.setattr(example, "save", save)
            torch.manual_seed(0)
            example.main(str(image_folder), batch_size=3, size=32, save_every=1)
        return torch.load("checkpoint.pth")["model"]

    whole = weights(tmp_path / "whole")
    for stop in (2, 4, 5):  # of ten: four steps and the end of each epoch
        with pytest.raises(KeyboardInterrupt):
            weights(tmp_path / str(stop), stop)
        resumed = weights(tmp_path / str(stop))
        assert resumed.keys() == whole.keys()
        assert all(torch.equal(resumed[name], value) for name, value in whole.items()), stop


@pytest.mark.filterwarnings("ignore")
def test_accelerates_loader_sets_the_epoch_of_the_data_set(image_folder):
    accelerate = pytest.importorskip("accelerate", reason="the frameworks are optional")
    dataset = TiedDataset(ImageFolder(image_folder), View(16))
    loader = accelerate.Accelerator(cpu=True).prepare(DataLoader(dataset, 6))
    dataset.set_epoch(5)
    list(loader)
    assert dataset.epoch == 0  # it counts by itself
    loader.set_epoch(5)
    list(loader)
    assert dataset.epoch == 5


@pytest.mark.filterwarnings("ignore")
def test_the_trainer_of_transformers_sets_the_epoch(image_folder, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    example = load("transformers_trainer")
    epochs = []

    class Told(example.TiedDataset):
        def set_epoch(self, epoch):
            epochs.append(epoch)
            super().set_epoch(epoch)

    monkeypatch.setattr(example, "TiedDataset", Told)
    example.main(str(image_folder), epochs=3, batch_size=6)
    assert sorted(set(epochs)) == [0, 1, 2]
    assert epochs == sorted(epochs)


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


def made_up_cifar(root, train, download):
    """Images and targets of CIFAR's shape, as torchvision's data sets have them."""
    draw = np.random.default_rng(int(train))
    images = draw.integers(0, 256, (40 if train else 20, 32, 32, 3), np.uint8)
    return SimpleNamespace(data=images, targets=(np.arange(len(images)) % 10).tolist())


def test_the_cifar_recipe_runs_on_images_of_its_shape(monkeypatch, capsys):
    example = load("cifar")
    monkeypatch.setattr(example.datasets, "CIFAR10", made_up_cifar)
    small = ["FOLDER", "--depth", "10", "--width", "1", "--epochs", "2", "--batch-size", "8"]
    assert 0 <= example.main(*small) <= 100
    assert 0 <= example.main(*small, "--policy", "", "--tied-weight", "0", "--images", "20") <= 100
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 0", "epoch 1"] * 2
    assert "nan" not in "".join(lines)
    assert all("similarity" in line for line in lines)


def test_the_cifar_recipe_has_the_papers_network():
    wide = load("cifar").wide_resnet(28, 10, 10)
    assert sum(parameter.numel() for parameter in wide.parameters()) == 36_479_194
    features = wide[:-1](torch.zeros(2, 3, 32, 32))
    assert features.shape == (2, 640)


def test_few_images_of_cifar_are_equally_many_of_each_class():
    data = made_up_cifar("", True, False)
    images, targets = load("cifar").few_of((data.data, data.targets), 20)
    assert np.bincount(targets).tolist() == [2] * 10
    assert (images != data.data[:20]).sum() == 0


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
    runs = {"cifar", "custom_loop", "ray_loop"}
    runs |= {name for name, _ in test_runs.pytestmark[0].args[1]}
    runs |= {name for name, _ in test_the_loss_falls.pytestmark[0].args[1]}
    runs |= {name for name, _ in test_runs_in_a_framework.pytestmark[0].args[1]}
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
