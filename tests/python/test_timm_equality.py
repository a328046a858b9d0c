"""Runs through the launcher compute what they should: the same numbers as by hand."""

import json
import os
import re
import subprocess
import sys

import pytest
import timm
import torch
import torch.nn.functional as F
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from timm.data import ImageDataset
from timm.models import load_checkpoint
from timm.utils import random_seed
from timm_launch import (
    ALL,
    BY_TASK,
    Run,
    base_options,
    launch,
    on_two_processes,
    rewritten,
)

from tied_augment import TiedLoader, TwoView, View

WITHOUT_BN = ["--model", "test_vit", "--opt", "sgd", "--lr", "0.1", "--weight-decay", "0"]


@pytest.fixture(params=ALL, ids=lambda path: path.stem)
def script(request):
    return request.param


def needs_epochs_of_one_step(script):
    if "/ (updates_per_epoch - 1)" in script.read_text():
        pytest.skip(f"{script.name} divides by 0 when it logs the only step of an epoch")


def first_batch(folder, size, **options):
    """All 32 images as the first step sees them: (2B, 3, h, w) normalised, and B targets."""
    half = (0.5, 0.5, 0.5)  # the model's configuration
    view = View.from_timm(input_size=size, interpolation="random", mean=half, std=half, **options)
    dataset = ImageDataset(str(folder / "train"))
    loader = TiedLoader(dataset, TwoView(view), 32, shuffle=True, seed=42, layout="flat")
    images, target = next(iter(loader))
    return (images.float() / 255 - 0.5) / 0.5, target


@pytest.mark.parametrize("options", ["", "--no-prefetcher", "--grad-accum-steps 1 --channels-last"])
def test_the_parts_of_the_first_step_are_those_of_a_loop_by_hand(
    script, options, train_folder, tmp_path
):
    needs_epochs_of_one_step(script)
    given = ["-b", "32", "--smoothing", "0", "--tied-weight", "2", "--aa", "rand-m9-inc1"]
    run = launch(script, train_folder, tmp_path, *given, *options.split())
    images, target = first_batch(train_folder, 32, auto_augment="rand-m9-inc1")

    random_seed(42, 0)
    model = timm.create_model("test_resnet", num_classes=4).train()
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    ce = F.cross_entropy(model.get_classifier()(features), torch.cat((target, target)))
    distance = (features[:32] - features[32:]).square().mean()

    (row,) = run.summary
    assert row["train_ce"] == pytest.approx(ce.item(), rel=2e-6)
    assert row["train_similarity"] == pytest.approx(distance.item(), rel=2e-6)
    assert row["train_loss"] == pytest.approx((ce + 2 * distance).item(), rel=2e-6)
    cosine = F.cosine_similarity(*features.chunk(2)).mean()
    assert row["train_feature_cosine"] == pytest.approx(cosine.item(), rel=2e-6)


def largest_difference(one, other):
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def weights(run):
    return run.checkpoint()["state_dict"]


def test_accumulated_gradients_are_those_of_the_big_batch(script, train_folder, tmp_path):
    needs_epochs_of_one_step(script)
    big = launch(script, train_folder, tmp_path / "big", *WITHOUT_BN, "-b", "32")
    accumulated = launch(
        script, train_folder, tmp_path / "small", *WITHOUT_BN, "-b", "8", "--grad-accum-steps", "4"
    )
    random_seed(42, 0)
    start = timm.create_model("test_vit", num_classes=4).state_dict()
    assert largest_difference(weights(big), start) > 1e-5
    assert largest_difference(weights(big), weights(accumulated)) < 1e-6


def by_torchrun(script, data, out, *options):
    """Run on two processes with gloo, as a user does: they import torch and timm, for seconds."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command += ["-m", "tied_augment", "train", str(script), *base_options(data, out)]
    done = subprocess.run(
        [*command, "--tied-augment", *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Run(out / "run", done.stderr)


def test_gradients_of_two_processes_are_those_of_one(script, train_folder, tmp_path):
    needs_epochs_of_one_step(script)
    options = [*WITHOUT_BN, "--tied-schedule", "negate_odd"]
    alone = launch(script, train_folder, tmp_path / "one", *options, "-b", "32")
    both = on_two_processes(script, train_folder, tmp_path / "two", *options, "-b", "16")
    assert largest_difference(weights(alone), weights(both)) < 1e-6


def parts_of(line):
    """The latest loss, and its parts, as printed and with half a unit of the last digit."""
    found = {}
    for name in ("Loss", "CE", "Sim", "Weight", "Cos"):
        text = re.search(rf"{name}: (\S+)", line)[1]
        digits, _, exponent = text.partition("e")
        decimals = len(digits.partition(".")[2])
        found[name] = float(text), 0.5 * 10.0 ** (int(exponent or 0) - decimals)
    return found


@pytest.mark.parametrize(
    "options",
    [
        "--grad-accum-steps 2 --mixup 0.5 --tied-similarity cka",
        pytest.param("", marks=pytest.mark.slow),
        pytest.param("--log-interval 3", marks=pytest.mark.slow),
    ],
)
def test_the_log_line_of_two_processes_adds_up(script, options, train_folder, tmp_path):
    options = ["--tied-weight", "2", "-b", "2", *options.split()]
    run = on_two_processes(script, train_folder, tmp_path, *options)
    assert len(run.steps) >= 3
    assert run.text.count("Tied-Augment: TiedLoss(") == 1
    for line in run.steps:
        (loss, off), (ce, ce_off), (similarity, similarity_off) = (
            parts_of(line)[name] for name in ("Loss", "CE", "Sim")
        )
        assert abs(loss - (ce + 2 * similarity)) <= off + ce_off + 2 * similarity_off + 1e-9


def test_one_of_two_processes_logs_the_means_to_tensorboard(train_folder, tmp_path):
    run = on_two_processes(BY_TASK, train_folder, tmp_path, "-b", "2", "--tied-log", "tensorboard")
    (file,) = run.folder.glob("events.*")
    read = EventAccumulator(str(file)).Reload()
    for name, text in (("tied/classification", "CE"), ("tied/similarity", "Sim")):
        logged = [event.value for event in read.Scalars(name)]
        printed = [parts_of(line)[text] for line in run.steps]
        assert len(logged) == len(printed) > 3
        for value, (shown, off) in zip(logged, printed, strict=True):
            assert abs(value - shown) <= 1.01 * off


def test_the_logged_parts_are_the_means_over_processes(train_folder, tmp_path):
    write = (
        "            result = task(images, target)\n"
        "            import json\n"
        "            own = {name: result[name].item() for name in ('ce', 'similarity', "
        "'feature_cosine')}\n"
        f"            with open(r'{tmp_path}/%d.json' % args.rank, 'a') as file:\n"
        "                print(json.dumps(own), file=file)\n"
        '            loss = result["loss"]\n'
    )
    call = '            loss = task(images, target)["loss"]\n'
    script = rewritten(BY_TASK, tmp_path, (call, write))
    run = on_two_processes(script, train_folder, tmp_path, "--no-prefetcher", "--mixup", "0.5")
    first, second = (
        [json.loads(line) for line in (tmp_path / f"{rank}.json").read_text().splitlines()]
        for rank in (0, 1)
    )
    assert len(run.steps) == len(first) == len(second) == 2
    names = {"CE": "ce", "Sim": "similarity", "Cos": "feature_cosine"}
    for line, one, other in zip(run.steps, first, second, strict=True):
        for shown, name in names.items():
            value, off = parts_of(line)[shown]
            assert one[name] != other[name]
            assert abs(value - (one[name] + other[name]) / 2) <= off + 1e-7


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "--model-ema --mixup 0.2 --grad-accum-steps 2",
        "--split-bn",
        "--aug-repeats 3",
        "--tied-similarity cka",
        "--torchcompile aot_eager",
    ],
)
def test_two_processes_take_options(script, options, train_folder, tmp_path):
    by_torchrun(script, train_folder, tmp_path, *options.split())


def test_cka_of_two_processes_is_that_of_one(train_folder, tmp_path):
    options = [*WITHOUT_BN, "--tied-similarity", "linear_cka", "--tied-weight", "3"]
    alone = launch(BY_TASK, train_folder, tmp_path / "one", *options, "-b", "32")
    both = on_two_processes(BY_TASK, train_folder, tmp_path / "two", *options, "-b", "16")
    assert largest_difference(weights(alone), weights(both)) < 1e-6


def test_checkpoints_are_plain_timm_ones(script, train_folder, tmp_path):
    options = ["--model-ema", "--model-ema-decay", "0.5", "--tied-forward", "separate"]
    run = launch(script, train_folder, tmp_path, *options)
    plain = timm.create_model("test_resnet", num_classes=4).eval()
    keys = list(plain.state_dict())
    checkpoint = run.checkpoint()
    assert list(checkpoint["state_dict"]) == keys
    assert list(checkpoint["state_dict_ema"]) == keys
    images = torch.randn(2, 3, 32, 32)
    outputs = []
    for use_ema in (False, True):
        load_checkpoint(plain, str(run.folder / "last.pth.tar"), use_ema=use_ema, strict=True)
        outputs.append(plain(images))
        assert outputs[-1].isfinite().all()
    assert not torch.equal(*outputs)


@pytest.mark.parametrize(("first", "then"), [(True, True), (True, False), (False, True)])
def test_runs_are_resumed_with_and_without(script, first, then, train_folder, tmp_path):
    before = launch(script, train_folder, tmp_path / "a", tied=first)
    resume = ["--resume", str(before.folder / "last.pth.tar"), "--epochs", "2"]
    after = launch(script, train_folder, tmp_path / "b", *resume, tied=then)
    (row,) = after.summary
    assert row["epoch"] == 1
    assert ("train_similarity" in row) == then
    assert after.checkpoint()["epoch"] == 1


def test_a_resumed_run_sees_the_views_and_weights_of_the_unbroken_one(train_folder, tmp_path):
    options = ["--tied-schedule", "negate_even", *WITHOUT_BN]
    whole = launch(BY_TASK, train_folder, tmp_path / "a", *options, "--epochs", "2")
    half = launch(BY_TASK, train_folder, tmp_path / "b", *options, "--epochs", "1")
    resume = ["--resume", str(half.folder / "last.pth.tar"), "--epochs", "2"]
    resumed = launch(BY_TASK, train_folder, tmp_path / "c", *options, *resume)
    assert largest_difference(weights(whole), weights(resumed)) == 0


def test_mixup_off_reaches_workers_that_live_on(train_folder, tmp_path):
    options = ["--mixup", "1", "--tied-loader", "timm", "--workers", "1", "--smoothing", "0"]
    options += ["--epochs", "3", "--mixup-off-epoch", "1", "--lr", "1e-12"]
    # Its worker has batches of the second epoch ready before that begins.
    options += ["--use-multi-epochs-loader"]
    on, _, off = launch(BY_TASK, train_folder, tmp_path, *options).summary
    # Mixed features are nearer to one another than those of whole images.
    assert on["train_similarity"] < 0.9 * off["train_similarity"]
