"""timm's evaluation with the native loader: the same batches, and the same results, as timm's."""

import json
import logging
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import ready_process
import timm
import timm.data.loader
import torch
import torch.distributed as dist
from PIL import Image
from timm.data import ImageDataset, create_dataset
from timm.data.distributed_sampler import OrderedDistributedSampler
from timm.data.loader import PrefetchLoader
from timm_launch import ALL, BY_TASK, SCRIPTS, launch, on_two_processes, rewritten
from torch.utils.data import ConcatDataset, Dataset, Subset
from torchvision.datasets import ImageFolder

from tied_augment import TiedLoader
from tied_augment.cli import main
from tied_augment.timm import create_loader
from tied_augment.timm.errors import LaunchError
from tied_augment.timm.launcher import run_validation

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # timm leaves files open

VALIDATE = SCRIPTS.parent / "timm_validate" / "validate.py"
# timm's own, if the user names any: see docs/timm.md.
REAL = [Path(path) for path in os.environ.get("TIMM_VALIDATE_SCRIPT", "").split(os.pathsep) if path]

OPTIONS = {"input_size": (3, 48, 48), "batch_size": 5, "device": torch.device("cpu")}


def both(dataset, **options):
    """The native loader and timm's, which changes the data set's transform."""
    options = OPTIONS | options
    native = create_loader(dataset, **options)
    assert isinstance(getattr(native, "loader", native), TiedLoader)
    ours = list(native)
    theirs = timm.data.loader.create_loader(dataset, **options | {"num_workers": 0})
    assert len(native) == len(theirs) == len(ours)
    return ours, list(theirs)


def assert_same(ours, theirs):
    for (images, targets), (their_images, their_targets) in zip(ours, theirs, strict=True):
        assert images.dtype == their_images.dtype
        assert targets.dtype == their_targets.dtype
        assert torch.equal(images, their_images)
        assert torch.equal(targets, their_targets)


@pytest.mark.parametrize("prefetcher", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_batches_are_timms(image_folder, seed, prefetcher, any_device):
    rng = np.random.default_rng(seed)
    for _ in range(8):
        options = {
            "input_size": (3, *(int(side) for side in rng.integers(8, 90, 2))),
            "batch_size": int(rng.integers(1, 14)),
            "crop_mode": ("center", "squash", "border", None)[rng.integers(4)],
            "crop_pct": (None, 0.875, 1.0, 0.9, 1.3)[rng.integers(5)],
            "crop_border_pixels": (None, None, 3)[rng.integers(3)],
            "interpolation": ("bilinear", "bicubic", "lanczos", "nearest")[rng.integers(4)],
            "mean": ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5))[rng.integers(2)],
            "std": ((0.229, 0.224, 0.225), (0.5, 0.4, 0.3))[rng.integers(2)],
            "img_dtype": (torch.float32, torch.bfloat16, torch.float16)[rng.integers(3)],
            "num_workers": int(rng.integers(0, 3)),
            "use_prefetcher": prefetcher,
            "device": any_device,
            "pin_memory": any_device.type == "cuda",
        }
        assert_same(*both(ImageDataset(str(image_folder)), **options))


def test_data_sets_of_all_kinds(image_folder, tmp_path):
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        for path in sorted(image_folder.rglob("*.jpg")):
            archive.add(path, path.relative_to(image_folder))
    folder = ImageFolder(image_folder)
    for dataset in (folder, create_dataset("", str(tmp_path / "images.tar"))):
        assert_same(*both(dataset))


def test_parts_of_data_sets_with_a_transform_of_none(image_folder):
    """timm sets a transform of the part, which has no effect: so there is nothing to compare."""
    folder = ImageFolder(image_folder)
    for dataset in (Subset(folder, [3, 1, 7]), ConcatDataset([folder, folder])):
        loader = create_loader(dataset, **OPTIONS)
        images = torch.cat([images for images, _ in loader])
        whole = torch.cat([images for images, _ in create_loader(folder, **OPTIONS)])
        order = [3, 1, 7] if len(dataset) == 3 else list(range(12)) * 2
        assert torch.equal(images, whole[order])


def test_an_unreadable_file_is_replaced_by_the_next_as_in_timm(tmp_path, photos):
    for number in range(6):
        Image.fromarray(photos[number % 5][:80, :90]).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"not an image")
    (tmp_path / "5.png").write_bytes(b"")
    samples = [(str(tmp_path / f"{number}.png"), number) for number in range(6)]
    dataset = ImageDataset("", reader=Samples(samples))
    dataset_of_paths = ImageFolderOf(samples)
    ours = list(create_loader(dataset_of_paths, **OPTIONS))
    theirs = list(timm.data.loader.create_loader(dataset, **OPTIONS, num_workers=0))
    assert_same(ours, theirs)


class Samples(list):
    """A reader of timm's, over paths."""

    def __getitem__(self, index):
        path, target = super().__getitem__(index)
        return open(path, "rb"), target


class ImageFolderOf(ImageFolder):
    """Torchvision's data set of files, over given ones."""

    def __init__(self, samples):
        self.samples = self.imgs = samples
        self.root, self.transform, self.target_transform, self.transforms = "", None, None, None
        self.loader = __import__("torchvision").datasets.folder.default_loader


def test_ranks_are_padded_as_by_timm(image_folder, monkeypatch):
    monkeypatch.setattr(dist, "is_available", lambda: True)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    for world_size in (2, 5, 7):
        monkeypatch.setattr(dist, "get_world_size", lambda size=world_size: size)
        for rank in range(world_size):
            monkeypatch.setattr(dist, "get_rank", lambda number=rank: number)
            dataset = ImageDataset(str(image_folder))
            ours, theirs = both(dataset, distributed=True)
            assert_same(ours, theirs)
            loader = create_loader(dataset, distributed=True, **OPTIONS)
            assert isinstance(loader.sampler, OrderedDistributedSampler)


class Fetched(Dataset):
    """A data set that only Python can read."""

    transform = None

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.transform(Image.new("RGB", (60, 50), (index, 2, 3))), index


@pytest.mark.parametrize(
    "options",
    [
        {"interpolation": "random", "crop_mode": "border"},
        {"crop_mode": "unknown"},
        {"mean": (0.5,), "std": (0.5,)},
        {"collate_fn": timm.data.loader.fast_collate},
        {"std": (2.0, 2.0, 2.0), "use_prefetcher": False},
    ],
)
def test_timms_loader_where_only_that_will_do(image_folder, options):
    loader = create_loader(ImageDataset(str(image_folder)), **OPTIONS | options)
    inner = loader.loader if isinstance(loader, PrefetchLoader) else loader
    assert isinstance(inner, torch.utils.data.DataLoader)
    assert len(next(iter(loader))[0]) == 5


def test_timms_loader_for_python_data_sets():
    loader = create_loader(Fetched(), **OPTIONS | {"num_workers": 0})
    assert isinstance(loader.loader, torch.utils.data.DataLoader)
    assert torch.cat([targets for _, targets in loader]).tolist() == [0, 1, 2]


def test_timm_refuses_what_it_does_not_know(image_folder):
    with pytest.raises(TypeError, match="crop_percent"):
        create_loader(ImageDataset(str(image_folder)), **OPTIONS, crop_percent=0.9)


# --- train.py


@pytest.mark.parametrize("options", ["", "--no-prefetcher", "--model test_vit --crop-pct 0.7"])
@pytest.mark.parametrize("script", ALL, ids=lambda path: path.stem)
def test_train_py_reports_the_same(script, options, train_folder, tmp_path):
    summaries = {}
    for loader in ("native", "timm"):
        out = tmp_path / loader
        given = ["--tied-eval-loader", loader, "--epochs", "2", "-b", "5", *options.split()]
        run = launch(script, train_folder, out, *given)
        summaries[loader] = run.summary
        how = {
            "native": "Tied-Augment: validation with the native loader, 1 threads",
            "timm": "Tied-Augment: validation with timm's loader, since --tied-eval-loader timm",
        }
        assert how[loader] in run.text
    assert summaries["native"] == summaries["timm"]
    assert "eval_top1" in summaries["native"][0]


def test_two_processes_report_the_same(train_folder, tmp_path):
    results = []
    for loader in ("native", "timm"):
        out = tmp_path / loader
        options = ["-b", "3", "--tied-eval-loader", loader]
        run = on_two_processes(BY_TASK, train_folder, out, *options)
        assert run.text.count("Tied-Augment: validation with ") == 1
        results.append((run.folder / "summary.csv").read_text())
    assert results[0] == results[1]


FETCHED = """
    class Fetched(type(validation_set)):
        def __getitem__(self, index): return super().__getitem__(index)
    validation_set.__class__ = Fetched
"""


def test_the_log_says_why_timms_loader_is_used(train_folder, tmp_path):
    loading = "    validation_loader = create_loader("
    script = rewritten(BY_TASK, tmp_path, (loading, FETCHED + loading))
    run = launch(script, train_folder, tmp_path)
    assert "validation with timm's loader, since this Fetched has a __getitem__" in run.text
    assert "Tied-Augment: native loader, 1 threads" in run.text


# --- validate.py


def results(script, capsys, folder, *options):
    """What a validate.py prints as its results, and its log."""
    argv, path = sys.argv, list(sys.path)
    handlers, level = list(logging.root.handlers), logging.root.level
    logging.root.handlers.clear()
    try:
        given = f"--data-dir {folder} --device cpu --model test_vit --num-classes 4 -b 3"
        run_validation(script, [*given.split(), *options])
    finally:
        sys.argv, sys.path[:] = argv, path
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        sys.modules.pop("tied_augment_validate_script", None)
    printed = capsys.readouterr()
    found = json.loads(printed.out.split("--result\n")[1])
    assert not any("tied" in name for name in found.get("arguments", ()))
    return found, printed.err


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Weights of the model in `results`."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=4)
    path = tmp_path_factory.mktemp("model") / "checkpoint.pth"
    torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--crop-mode squash --img-size 64",
        "--crop-mode border --crop-pct 0.8 --interpolation bilinear",
        "--crop-mode border --crop-pct 1.2 --no-prefetcher",
        "--crop-border-pixels 5 --workers 2 --tied-threads 3",
    ],
)
@pytest.mark.parametrize("script", [VALIDATE, *REAL], ids=str)
def test_validate_py_prints_the_same(script, options, checkpoint, train_folder, capsys):
    given = ["--checkpoint", str(checkpoint), *options.split()]
    native, log = results(script, capsys, train_folder, *given)
    assert "Tied-Augment: validation with the native loader" in log
    timms, log = results(script, capsys, train_folder, *given, "--tied-eval-loader", "timm")
    assert "validation with timm's loader, since --tied-eval-loader timm" in log
    assert native == timms


def test_validate_py_alone_prints_the_same(checkpoint, train_folder, capsys):
    given = f"--data-dir {train_folder} --model test_vit --num-classes 4 -b 3 --checkpoint"
    done = ready_process.run(VALIDATE, *given.split(), checkpoint, ready="timm")
    assert done.returncode == 0, done.stderr
    ours, _ = results(VALIDATE, capsys, train_folder, "--checkpoint", str(checkpoint))
    assert json.loads(done.stdout.split("--result\n")[1]) == ours


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["missing.py"], "there is no file missing.py: give the path of timm's validate.py"),
        ([str(BY_TASK)], "is not a validate.py of timm 0.9.16 or later: it lacks validate"),
    ],
)
def test_scripts_that_do_not_work(argv, says, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["validate", *argv]) == 1
    sys.modules.pop("shared", None)
    sys.modules.pop("tied_augment_validate_script", None)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tied_eval_loader", "tied_threads"])
def test_a_script_with_such_an_option_of_its_own_is_refused(name, tmp_path, capsys):
    line = "def validate(args):"
    own = f"parser.add_argument('--{name.replace('_', '-')}')\n\n\n"
    script = rewritten(VALIDATE, tmp_path, (line, own + line))
    with pytest.raises(LaunchError, match=f"the script has an option of its own called {name}"):
        results(script, capsys, tmp_path)


def test_a_wrong_number_of_threads_is_refused(train_folder, capsys):
    with pytest.raises(SystemExit):
        results(VALIDATE, capsys, train_folder, "--tied-threads", "0")
    assert "--tied-threads: must be a whole number from 1" in capsys.readouterr().err
