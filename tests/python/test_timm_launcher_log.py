"""The launcher around train.py: what it logs."""

import logging
import warnings
from types import SimpleNamespace

import pytest
from timm_launch import ALL, BY_TASK, launch, rewritten

from tied_augment import TiedLoss
from tied_augment.timm.errors import LaunchError


@pytest.fixture(params=ALL, ids=lambda path: path.stem)
def script(request):
    return request.param


def test_steps_and_summary_show_the_parts(script, train_folder, tmp_path):
    run = launch(script, train_folder, tmp_path, "--epochs", "2", "--tied-schedule", "linear_up")
    assert len(run.steps) == 8
    weights = [float(line.split("Weight: ")[1].split()[0]) for line in run.steps]
    assert weights == pytest.approx([step / 7 for step in range(8)], abs=2e-3)
    first, second = run.summary
    assert first["train_tied_weight"] == pytest.approx(sum(range(4)) / 28)
    assert second["train_tied_weight"] == pytest.approx(sum(range(4, 8)) / 28)


def test_warnings_of_the_loss_are_in_the_log(script, train_folder, tmp_path, monkeypatch):
    class Doubtful(TiedLoss):
        def __init__(self, *args, **kw):
            super().__init__(*args, **kw)
            warnings.warn("this ties nothing", stacklevel=2)

    monkeypatch.setattr("tied_augment.timm.tied_run.TiedLoss", Doubtful)
    run = launch(script, train_folder, tmp_path)
    assert "Tied-Augment: this ties nothing\n" in run.text


@pytest.mark.parametrize("loader", ["native", "timm"])
@pytest.mark.parametrize(
    ("options", "option"),
    [
        ("--aa rand-m9-foo", "--aa"),
        ("--tied-aa2 rand-m9-foo", "--tied-aa2"),
        ("--aa rand-m9-foo --tied-aa2 none", "--aa"),
        ("--aa rand-m9-foo --tied-clean-first", "--aa"),
    ],
)
def test_warnings_of_the_views_are_in_the_log(loader, options, option, train_folder, tmp_path):
    run = launch(BY_TASK, train_folder, tmp_path, "--tied-loader", loader, *options.split())
    said = f"WARNING: Tied-Augment: {option} 'rand-m9-foo': timm ignores 'foo'"
    assert [line[: len(said)] for line in run.text.splitlines() if "'foo'" in line] == [said]


@pytest.mark.parametrize("loader", ["native", "timm"])
@pytest.mark.parametrize(("options", "warns"), [("", True), ("--mixup 1", False)])
def test_the_log_says_that_without_augmentation_the_views_are_equal(
    loader, options, warns, train_folder, tmp_path
):
    options = ["--no-aug", "--tied-loader", loader, *options.split()]
    run = launch(BY_TASK, train_folder, tmp_path, *options)
    assert ("Tied-Augment: with --no-aug the views of an image are equal" in run.text) == warns
    assert all(("Sim: 0.00 " in line) == warns for line in run.steps)


def test_wandb_gets_the_parts(train_folder, tmp_path, monkeypatch):
    logged = []
    fake = SimpleNamespace(log=logged.append)
    monkeypatch.setattr("timm.utils.summary.wandb", fake, raising=False)
    launch(BY_TASK, train_folder, tmp_path, "--log-wandb")
    (row,) = logged
    assert {"train_ce", "train_similarity", "train_tied_weight", "train_feature_cosine"} <= set(row)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "Tied-Augment: native loader, 1 threads"),
        ("--tied-threads 2", "Tied-Augment: native loader, 2 threads"),
        ("--tied-loader timm", "Tied-Augment: timm's loader, since --tied-loader timm"),
        (
            "--train-img-sizes 32 48 --tied-aa2 v0",
            "Tied-Augment: timm's loader, since with --train-img-sizes all views must have the",
        ),
    ],
)
def test_the_log_says_which_loader_and_why(options, said, train_folder, tmp_path):
    run = launch(BY_TASK, train_folder, tmp_path, *options.split())
    assert said in run.text
    assert "Tied-Augment: TiedLoss(" in run.text
    assert "features: input of fc" in run.text


STREAM = """
    from timm.data import IterableImageDataset
    read = train_set.reader.samples
    class Stream(IterableImageDataset):
        def __init__(self): self.transform = self.target_transform = None
        def __len__(self): return len(read)
        def set_loader_cfg(self, num_workers): pass
        def __iter__(self):
            from PIL import Image
            for path, target in read:
                with Image.open(path) as image:
                    yield self.transform(image.convert('RGB')), target
    train_set = Stream()
"""


def test_a_stream_that_only_python_can_read_goes_through_timm(train_folder, tmp_path):
    loading = "    loader = create_loader(train_set,"
    script = rewritten(BY_TASK, tmp_path, (loading, STREAM + loading))
    run = launch(script, train_folder, tmp_path)
    assert "timm's loader, since only Python can read the images of this Stream" in run.text
    assert len(run.steps) == 4
    with pytest.raises(LaunchError, match="--train-img-sizes needs a data set with indices"):
        launch(script, train_folder, tmp_path, "--train-img-sizes", "32", "48")


def test_logging_filters_are_gone_afterwards(train_folder, tmp_path):
    launch(BY_TASK, train_folder, tmp_path)
    assert logging.getLogger("train").filters == []
