"""The study of docs/effect.md: its runner, its data, and that its tables are of results.csv."""

import csv
import importlib
import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ttest_rel

pytestmark = pytest.mark.integration

EFFECT = Path(__file__).parents[2] / "benches" / "effect"
MODULES = ("characters", "plots", "run", "setting", "tables", "training")


@pytest.fixture(scope="module")
def effect():
    """The study's modules, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EFFECT))
        for name in MODULES:
            patch.delitem(sys.modules, name, raising=False)
        yield {name: importlib.import_module(name) for name in MODULES}
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture
def one_thread():
    """A training sets torch to one thread; afterwards there are as many as before."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def small_runs(setting):
    """Three methods in a regime of two epochs, on the digits."""
    regime = setting.Regime("small", "rand-m9-n2", epochs=2)
    methods = [setting.METHODS[index] for index in (0, 2, -1)]
    return [setting.Run("digits", regime, method, 7) for method in methods]


@pytest.fixture
def soon(monkeypatch):
    """The runner's processes need not import what takes seconds, nor wait for other tests."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["timm", "sklearn.datasets"])
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: context)
    monkeypatch.setattr(os, "nice", int)


@pytest.mark.timeout(300)
def test_the_runner_adds_what_is_missing(effect, tmp_path, one_thread, soon):
    make, runs = effect["run"].make, small_runs(effect["setting"])
    results = tmp_path / "results.csv"
    make(runs[:1], tmp_path, results, 1)
    first = results.read_text()
    make(runs, tmp_path, results, 2)
    assert results.read_text().startswith(first)
    assert effect["run"].done(results) == {run.key for run in runs}
    assert len(results.read_text().splitlines()) == 1 + len(runs)
    # A run has the same figures each time.
    again = tmp_path / "again.csv"
    for run in runs:
        effect["run"].add(effect["training"].train(run, tmp_path), again)
    assert sorted(again.read_text().splitlines()) == sorted(results.read_text().splitlines())


def test_results_are_runs_of_the_setting_each_once(effect):
    with effect["run"].RESULTS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    keys = [(row["data"], row["regime"], row["method"], row["seed"]) for row in rows]
    assert len(set(keys)) == len(keys) > 0
    assert set(keys) <= {run.key for run in effect["setting"].runs()}


def test_the_tables_of_the_document_are_those_of_the_results(effect, tmp_path):
    tables = effect["tables"]
    doc = tables.DOC.read_text()
    copy = tmp_path / "effect.md"
    copy.write_text(doc)
    tables.write(tables.RESULTS, copy)
    assert copy.read_text() == doc
    assert tables.complete(tables.RESULTS)
    assert "| seeds | " in doc


def test_a_seed_counts_once_every_method_has_it(effect, tmp_path):
    tables, setting = effect["tables"], effect["setting"]
    lines = ["data,regime,method,seed,accuracy"]
    for seed in (10, 9):
        lines += [
            f'digits,base,"{method.name}",{seed},{seed + number}'
            for number, method in enumerate(setting.METHODS)
        ]
    results = tmp_path / "results.csv"
    results.write_text("\n".join(lines[:-1]) + "\n")
    seeds = tables.complete(results)["digits", "base"]
    assert [seeds[method.name] for method in setting.METHODS] == [
        [10.0 + number] for number in range(len(setting.METHODS))
    ]
    results.write_text("\n".join(lines) + "\n")
    assert tables.complete(results)["digits", "base"]["one view"] == [9.0, 10.0]


@pytest.mark.parametrize("seed", range(20))
def test_bold_is_a_paired_t_test_at_5_percent(seed, effect):
    draw = np.random.default_rng(seed)
    ours = draw.normal(0.8, 1, 6).tolist()
    theirs = draw.normal(0, 1, 6).tolist()
    tables = effect["tables"]
    differences = tables.gains({"ours": ours, "theirs": theirs}, "theirs")["ours"]
    significant = abs(np.mean(differences)) > tables.interval(differences)
    assert significant == (ttest_rel(ours, theirs).pvalue < 0.05)


def test_the_picture_is_drawn(effect, tmp_path):
    effect["plots"].draw(effect["run"].RESULTS, tmp_path / "effect.png")
    with Image.open(tmp_path / "effect.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20


def test_parts_of_the_digits_are_disjoint_and_differ_by_seed(effect, tmp_path):
    split = effect["training"].split
    parts = split("digits", 0, tmp_path)
    images = np.concatenate([parts.images, parts.test_images])
    assert len(images) == 1797
    assert np.bincount(parts.targets).tolist() == [5] * 10
    assert (split("digits", 0, tmp_path).images != parts.images).sum() == 0
    assert (split("digits", 1, tmp_path).images != parts.images).any()


def test_one_view_is_the_first_of_the_two(effect):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (12, 40, 40, 3), np.uint8)
    regime = effect["setting"].Regime("small", "rand-m9-n2")
    one, two = (
        list(
            effect["training"].batches(
                effect["setting"].METHODS[index], regime, images, [0] * 12, 3
            )
        )
        for index in (0, 2)
    )
    assert len(one) == len(two) == 2
    for (single, _), (views, _) in zip(one, two, strict=True):
        assert views.shape == (2, 6, 3, 32, 32)
        assert (single != views[0]).sum() == 0


def fonts(folder):
    """matplotlib's fonts, where the downloaded ones would be."""
    matplotlib = pytest.importorskip("matplotlib")
    source = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    (folder / "fonts").mkdir()
    for name in ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "STIXGeneralBol", "cmsy10"):
        shutil.copy(source / f"{name}.ttf", folder / "fonts")


def test_characters_are_one_family_per_first_word(effect, tmp_path, monkeypatch):
    characters = effect["characters"]
    monkeypatch.setattr(characters, "_download", fonts)
    pictures = characters.load(tmp_path)
    assert pictures.shape[1:] == (60, 40, 40)
    found = characters._families(sorted((tmp_path / "fonts").iterdir()))
    assert set(found) >= {"dejavu", "stixgeneral"}
    assert len(pictures) == len({digest.tobytes() for digest in found.values()}) <= len(found)
    assert all(len(np.unique(family[:34], axis=0)) == 34 for family in pictures)
    # The longer side of each glyph fills the inner square, with paper around it.
    assert (pictures[:, :, :5] == 255).all()
    assert (pictures[:, :, :, :5] == 255).all()
    monkeypatch.setattr(characters, "_download", None)
    assert (characters.load(tmp_path) != pictures).sum() == 0


def test_families_for_test_pretraining_and_training_are_disjoint(effect, tmp_path, monkeypatch):
    training, characters = effect["training"], effect["characters"]
    # Each family is of one gray value, so that it can be told which one it is.
    families = np.broadcast_to(np.arange(250, dtype=np.uint8)[:, None, None, None], (250, 60, 2, 2))
    monkeypatch.setattr(characters, "load", lambda _: families)
    tested = training.TEST_FAMILIES
    held_out = tested + training.PRETRAINING_FAMILIES
    for seed in range(50):
        parts = training.split("characters", seed, tmp_path)
        assert set(np.unique(parts.test_images)) == set(range(tested))
        chosen = np.unique(parts.images)
        assert len(chosen) == training.TRAINING_FAMILIES
        assert chosen.min() >= held_out
        assert len(parts.targets) == len(parts.images) == 34 * len(chosen)


def test_the_script_makes_all_runs_in_the_named_folder(effect, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(effect["run"], "make", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(sys, "argv", ["run.py", str(tmp_path / "new"), "--processes", "3"])
    effect["run"].main()
    ((runs, *others),) = made
    assert others == [tmp_path / "new", effect["run"].RESULTS, 3]
    keys = [run.key for run in runs]
    setting = effect["setting"]
    regimes = len(setting.DATA) * len(setting.REGIMES)
    assert len(set(keys)) == len(keys) == regimes * len(setting.METHODS) * len(setting.SEEDS)
    assert (tmp_path / "new").is_dir()
