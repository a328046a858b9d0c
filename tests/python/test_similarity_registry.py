"""A similarity is one function: everything that knows similarities reads it from the registry."""

import argparse
import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from loss_oracle import batch
from torch.testing import assert_close

from tied_augment import TiedLoss
from tied_augment.fused import tied_loss
from tied_augment.loss.collapse import CollapseWatch
from tied_augment.similarity import SIMILARITIES, similarity
from tied_augment.timm.errors import LaunchError

DOCS = Path(__file__).parents[2] / "docs"


def huber(first, second):
    """The similarity that the tests add."""
    return F.huber_loss(first, second)


@pytest.fixture
def add():
    """Adds `huber` with some attributes, for one test."""
    yield lambda **attributes: similarity(**attributes)(huber)
    SIMILARITIES.pop("huber", None)


def test_the_loss_takes_a_new_similarity_by_its_name(add):
    logits, features, target = batch(4, 5, 6)
    add()
    loss = TiedLoss(tied_weight=2.0, similarity="huber")(logits, features, target)
    ce = F.cross_entropy(logits, target.repeat(2))
    assert_close(loss, ce + 2 * F.huber_loss(*features.chunk(2)))


def test_messages_list_it_and_suggest_it(add):
    add(aliases=("smooth_l1",))
    with pytest.raises(ValueError, match=r"one of \('mse', .*'huber'\) or a callable"):
        TiedLoss(similarity="dog")
    with pytest.raises(ValueError, match="got 'smooth-l1': did you mean 'huber'"):
        TiedLoss(similarity="smooth-l1")
    with pytest.raises(TypeError, match="did you mean similarity='huber'"):
        TiedLoss("huber")


def test_of_logits_it_compares_the_logits(add):
    logits, features, target = batch(4, 5, 6)
    add(of_logits=True)
    loss = TiedLoss(similarity="huber")
    loss(logits, features, target)
    assert_close(loss.last["similarity"], F.huber_loss(*logits.chunk(2)))
    with pytest.raises(ValueError, match=r"layer_weights .* similarity='huber' compares logits"):
        TiedLoss(similarity="huber", layer_weights=[1.0])


def test_it_refuses_too_few_pairs_and_other_widths(add):
    compare = add(min_pairs=3)
    with pytest.raises(ValueError, match=r"'huber' .* needs at least 3 pairs, got 2"):
        compare(torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="must have one shape"):
        compare(torch.zeros(3, 4), torch.zeros(3, 1))


def test_one_that_shrinks_needs_a_large_weight(add):
    add(shrinks=True)
    with pytest.warns(UserWarning, match="'huber' with tied_weight=1 ties next to nothing"):
        TiedLoss(similarity="huber")


def test_the_warning_of_a_collapse_names_it(add):
    add(resists_collapse=True)
    with pytest.warns(RuntimeWarning, match="similarity='vicreg' or 'huber'"):
        CollapseWatch().look(torch.tensor(0.001))


def test_an_unknown_attribute_is_an_error(add):
    with pytest.raises(TypeError, match="compares_logits"):
        add(compares_logits=True)


@pytest.fixture
def arguments(monkeypatch):
    """A function that imports timm's options anew."""

    def load():
        monkeypatch.delitem(sys.modules, "tied_augment.timm.arguments")
        return importlib.import_module("tied_augment.timm.arguments")

    importlib.import_module("tied_augment.timm.arguments")
    return load


def test_the_launcher_offers_it(add, arguments):
    add(of_logits=True)
    module = arguments()
    parser = argparse.ArgumentParser()
    module.add_options(parser)
    assert "js, huber" in re.sub(r"\s+", " ", parser.format_help())
    given = {"tied_similarity": "huber", "tied_feature_module": ["fc"]}
    options = argparse.Namespace(**module.DEFAULTS | given)
    with pytest.raises(
        LaunchError, match=r"--tied-feature-module has no effect with .* huber, whi"
    ):
        module.check(options)


def test_those_marked_as_fused_are_those_that_the_core_computes():
    inputs = batch(4, 5, 6)
    for name, entry in SIMILARITIES.items():
        if entry.fused:
            _, parts, _, _ = tied_loss(*inputs, similarity=name)
            assert_close(torch.tensor(parts["similarity"]), entry(*inputs[1].chunk(2)))
        else:
            with pytest.raises(
                ValueError, match=r"similarity must be one of .*TiedLoss has others"
            ):
                tied_loss(*inputs, similarity=name)


def test_those_marked_as_means_over_samples_are_such():
    """The mean over two equal batches is that of both together."""
    first, second, _ = batch(8, 6, 6, torch.float64)
    for name, entry in SIMILARITIES.items():
        halves = [entry(a, b) for a, b in zip(first.chunk(2), second.chunk(2), strict=True)]
        same = torch.allclose(sum(halves) / 2, entry(first, second), rtol=1e-12)
        assert same == entry.per_sample, name


def test_the_page_describes_all_of_them():
    page = (DOCS / "loss.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| (\w+) \| (\w+) \| (\d) \| (\w+) \|$", page, re.MULTILINE)
    yes = {True: "yes", False: "no"}
    assert rows == [
        (
            name,
            "logits" if entry.of_logits else "features",
            yes[entry.per_sample],
            str(entry.min_pairs),
            yes[entry.fused],
        )
        for name, entry in SIMILARITIES.items()
    ]
    assert len(rows) > 5
