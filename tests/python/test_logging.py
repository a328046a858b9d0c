"""TiedLogger: what is in the event files of TensorBoard and in the offline runs of wandb."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from timm_launch import ALL, BY_CRITERION, BY_TASK, launch
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from torchvision.datasets import ImageFolder
from wandb_files import history, records

from tied_augment import (
    TarShards,
    TiedDataset,
    TiedLoader,
    TiedLoss,
    TwoView,
    View,
    Views,
    decode,
)
from tied_augment.logging import CURVES, TiedLogger
from tied_augment.sheet import contact_sheet, headline, make_row
from tied_augment.timm.errors import LaunchError

pytestmark = pytest.mark.integration

NAMES = set(CURVES.values())


@pytest.fixture
def criterion():
    return TiedLoss(tied_weight=0.5)


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """The module, offline."""
    import wandb as module

    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
    }.items():
        monkeypatch.setenv(name, value)
    yield module
    module.teardown()


def call(criterion, number):
    generator = torch.Generator().manual_seed(number)
    logits, features = torch.randn(2, 8, 5, generator=generator)
    criterion(logits, features, torch.arange(4))


def events(folder):
    """The curves, {name: {step: value}}, and the pictures, {name: {step: array}}."""
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    read.Reload()
    tags = read.Tags()
    curves = {
        name: {event.step: event.value for event in read.Scalars(name)} for name in tags["scalars"]
    }
    pictures = {
        name: {
            event.step: np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
            for event in read.Images(name)
        }
        for name in tags["images"]
    }
    return curves, pictures


def expected_sheet(images, views, epoch, seed, indices):
    rows = []
    for index in indices:
        pixels = decode(images.samples[index][0])
        caption = [f"index {index}", f"{pixels.shape[1]} x {pixels.shape[0]} pixels"]
        rows.append(make_row(views, pixels, caption, index, epoch, seed))
    columns = 2 if len(rows) % 2 == 0 else 1
    return np.asarray(contact_sheet(rows, headline(views, seed, range(epoch, epoch + 1)), columns))


def test_curves_are_those_of_the_loss_at_the_interval(criterion, tmp_path):
    expected = {name: {} for name in NAMES}
    with SummaryWriter(tmp_path) as writer:
        logger = TiedLogger(criterion, writer, every=3)
        for step in range(8):
            call(criterion, step)
            logger.log(step)
            if step % 3 == 0:
                for name, value in criterion.last.items():
                    expected[CURVES[name]][step] = value.item()
    curves, pictures = events(tmp_path)
    assert curves == expected
    assert pictures == {}
    for step in (0, 3, 6):
        total = curves["tied/classification"][step] + 0.5 * curves["tied/similarity"][step]
        assert math.isclose(curves["tied/total"][step], total, rel_tol=1e-6)
        assert curves["tied/weight"][step] == 0.5


@pytest.mark.parametrize("kind", ["loader", "data set", "torch's loader"])
def test_sheets_show_the_views_of_the_epoch(kind, criterion, tmp_path, image_folder):
    images = ImageFolder(image_folder)
    views = TwoView(View(32, auto_augment="rand-m9"))
    dataset = TiedDataset(images, views, seed=5)
    loader = TiedLoader(images, views, seed=5, batch_size=4)
    source = {"loader": loader, "data set": dataset, "torch's loader": DataLoader(dataset)}[kind]
    with SummaryWriter(tmp_path) as writer:
        logger = TiedLogger(criterion, writer, source, sheet_every=4, images=3)
        step = 0
        for epoch in range(3):
            dataset.set_epoch(epoch)
            for _ in loader:  # 3 batches
                call(criterion, step)
                logger.log(step)
                step += 1
    _, pictures = events(tmp_path)
    (sheets,) = pictures.values()
    assert set(pictures) == {"tied/views"}
    assert set(sheets) == {0, 4, 8}
    for step, sheet in sheets.items():
        expected = expected_sheet(images, views, step // 3, 5, (0, 4, 8))
        assert np.array_equal(sheet, expected)


@pytest.mark.parametrize(
    "views", [View(32), Views(View(48), View(32), View(32))], ids=["one", "three"]
)
def test_sheets_have_any_number_of_views(views, criterion, tmp_path, image_folder):
    images = ImageFolder(image_folder)
    with SummaryWriter(tmp_path) as writer:
        TiedLogger(criterion, writer, TiedLoader(images, views), images=99).sheet(2, epoch=7)
    (sheets,) = events(tmp_path)[1].values()
    assert set(sheets) == {2}
    assert sheets[2].shape[0] > 12 // 2 * 144


def test_an_image_that_cannot_be_read_is_left_out(criterion, tmp_path, photos):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(photos[0]).save(good)
    bad.write_text("not an image")
    views = TwoView(View(32))
    with SummaryWriter(tmp_path / "some") as writer:
        source = TiedLoader([(str(bad), 0), (str(good), 0)], views, on_error="skip")
        TiedLogger(criterion, writer, source).sheet(0)
    pixels = decode(good)
    row = make_row(views, pixels, ["index 1", "512 x 512 pixels"], 1, 0, 0)
    expected = np.asarray(contact_sheet([row], headline(views, 0, range(1))))
    (sheets,) = events(tmp_path / "some")[1].values()
    assert np.array_equal(sheets[0], expected)
    with SummaryWriter(tmp_path / "none") as writer:
        TiedLogger(criterion, writer, TiedLoader([(str(bad), 0)], views)).sheet(0)
    assert events(tmp_path / "none")[1] == {}


@pytest.mark.timeout(300)
def test_wandb_gets_curves_and_sheets_besides_other_values(
    wandb, criterion, tmp_path, image_folder
):
    source = TiedLoader(image_folder, TwoView(View(32)))
    expected = []
    with wandb.init(project="tied") as run:
        logger = TiedLogger(criterion, run, source, every=2, sheet_every=100)
        for step in range(4):
            call(criterion, step)
            logger.log(step)
            run.log({"mine": step})
            expected.append({CURVES[name]: value.item() for name, value in criterion.last.items()})
    wandb.teardown()  # its service writes the file in its own time
    rows = history(tmp_path)
    assert [row["mine"] for row in rows if "mine" in row] == [0, 1, 2, 3]
    points = {row["tied/step"]: row for row in rows if "tied/total" in row}
    assert set(points) == {0, 2}
    for step, row in points.items():
        assert {name: row[name] for name in NAMES} == pytest.approx(expected[step], rel=1e-6)
    (sheet,) = [row for row in rows if "tied/views" in row]
    assert sheet["tied/step"] == 0
    (file,) = tmp_path.rglob("tied/views*.png")
    views = source.views[0]
    images = ImageFolder(image_folder)
    assert np.array_equal(
        np.asarray(Image.open(file)), expected_sheet(images, views, 0, 0, (0, 3, 6, 9))
    )
    metrics = [record.metric for record in records(tmp_path) if record.HasField("metric")]
    assert ("tied/*", "tied/step") in {(metric.glob_name, metric.step_metric) for metric in metrics}


def test_without_a_target_nothing_is_logged(criterion, image_folder, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "tolist", lambda _: pytest.fail("a value was read"))
    logger = TiedLogger(criterion, None, TiedLoader(image_folder, TwoView(View(32))), every=1)
    call(criterion, 0)
    logger.log(0)
    logger.sheet(0)


def test_before_the_loss_there_is_nothing_to_log(criterion, tmp_path):
    with (
        SummaryWriter(tmp_path) as writer,
        pytest.raises(RuntimeError, match="log a step after its loss"),
    ):
        TiedLogger(criterion, writer).log(0)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"criterion": torch.nn.CrossEntropyLoss()}, TypeError, "criterion must be a TiedLoss"),
        ({"to": "runs/tied"}, TypeError, "to must be a SummaryWriter .*, got 'runs/tied'"),
        ({"source": "imagenet"}, TypeError, "source must be a TiedLoader or a TiedDataset"),
        ({"source": [1, 2]}, TypeError, "source must be a TiedLoader or a TiedDataset"),
        ({"every": 0}, ValueError, "every must be from 1"),
        ({"sheet_every": 1.5}, TypeError, "sheet_every must be an integer"),
        ({"images": 0}, ValueError, "images must be from 1"),
    ],
)
def test_a_wrong_argument_is_named(changes, error, says, criterion):
    arguments = {"criterion": criterion, "to": None} | changes
    with pytest.raises(error, match=says):
        TiedLogger(**arguments)


def test_a_step_must_be_a_number(criterion):
    with pytest.raises(TypeError, match="step must be an integer"):
        TiedLogger(criterion, None).log(0.5)


def test_a_stream_has_no_sheets(criterion, tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
        tar.add(tmp_path / "a.png", "a.png")
    stream = TiedLoader(TarShards([tmp_path / "a.tar"]), TwoView(View(32)))
    with pytest.raises(ValueError, match=r"source reads TarShards, .* leave source out"):
        TiedLogger(criterion, None, stream)


# --- the launcher


@pytest.fixture(params=ALL, ids=lambda path: path.stem)
def script(request):
    return request.param


def test_the_launcher_logs_to_tensorboard(script, train_folder, tmp_path):
    options = "--tied-log tensorboard --epochs 2 --tied-weight 2"
    run = launch(script, train_folder, tmp_path, *options.split())
    curves, pictures = events(run.folder)
    assert set(curves) == NAMES
    assert len(run.steps) == 8
    for name, text in {"tied/classification": "CE", "tied/similarity": "Sim"}.items():
        assert set(curves[name]) == set(range(8))
        for step, line in enumerate(run.steps):
            assert f"  {text}: {curves[name][step]:#.3g}" in line
    for step in range(8):
        total = curves["tied/classification"][step] + 2 * curves["tied/similarity"][step]
        assert math.isclose(curves["tied/total"][step], total, rel_tol=1e-5)
    assert set(pictures["tied/views"]) == {0, 4}
    first, second = pictures["tied/views"].values()
    assert not np.array_equal(first, second)


def test_the_launcher_draws_no_sheets_with_timms_loader(train_folder, tmp_path):
    options = "--tied-log tensorboard --tied-loader timm"
    run = launch(BY_TASK, train_folder, tmp_path, *options.split())
    curves, pictures = events(run.folder)
    assert set(curves) == NAMES
    assert pictures == {}


@pytest.mark.timeout(300)
def test_the_launcher_logs_to_the_run_of_wandb(wandb, train_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("timm.utils.summary.wandb", wandb, raising=False)
    with wandb.init(project="tied"):  # as timm's script does with --log-wandb
        options = "--tied-log wandb --log-wandb --epochs 2"
        run = launch(BY_CRITERION, train_folder, tmp_path, *options.split())
    wandb.teardown()
    rows = history(tmp_path / "wandb")
    points = [row for row in rows if "tied/total" in row]
    assert [row["tied/step"] for row in points] == list(range(8))
    assert all(set(row) >= NAMES for row in points)
    assert [row["tied/step"] for row in rows if "tied/views" in row] == [0, 4]
    means = [row for row in rows if "train_ce" in row]
    assert [row["train_ce"] for row in means] == [row["train_ce"] for row in run.summary]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--tied-log wandb", "--tied-log wandb logs into the run of --log-wandb: add that"),
        ("--tied-log csv", "--tied-log must be one of tensorboard, wandb, got 'csv'"),
        ("--tied-log wandb --log-wandb", "--tied-log wandb: the script has begun no run"),
    ],
)
def test_the_launcher_refuses(options, says, train_folder, tmp_path):
    with pytest.raises(LaunchError, match=says):
        launch(BY_TASK, train_folder, tmp_path, *options.split())


@pytest.mark.parametrize("options", ["--tied-log tensorboard", "--tied-log wandb --log-wandb"])
def test_a_missing_package_is_refused_before_training(options, train_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tied_augment.timm.arguments.find_spec", lambda _: None)
    with pytest.raises(LaunchError, match="is not installed: pip install "):
        launch(BY_TASK, train_folder, tmp_path, *options.split())
    assert not (tmp_path / "run").exists()


def test_a_script_without_a_folder_is_refused(train_folder, tmp_path):
    from timm_launch import rewritten

    script = rewritten(BY_TASK, tmp_path, ("utils, task=task", "timm.utils, task=task"))
    script.write_text(script.read_text().replace("import shared\n", "import shared\nimport timm\n"))
    with pytest.raises(LaunchError, match=r"makes no folder by utils\.get_outdir"):
        launch(script, train_folder, tmp_path, "--tied-log", "tensorboard")
