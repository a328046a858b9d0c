"""TiedModel over timm's architectures, as docs/generate_models.py checks them, and its page."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import timm

DOCS = Path(__file__).parents[2] / "docs"
# Of each kind of head one that is small; the slow test below takes them all.
QUICK = [
    "cpubone_nano",
    "efficientvim_m1",
    "iformer_t",
    "lcnet_035",
    "test_byobnet",
    "test_convnext",
    "test_efficientnet",
    "test_resnet",
    "test_vit",
]
ROW = re.compile(r"^\| (\w+) \| (\w+) \| (.+) \|$", re.MULTILINE)


def load_generator():
    spec = importlib.util.spec_from_file_location("generate_models", DOCS / "generate_models.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_models"] = module  # where dataclass looks its names up
    spec.loader.exec_module(module)
    return module


generator = load_generator()
PAGE = (DOCS / "models.md").read_text()
# model -> (timm module, the rest of its row)
ROWS = {model: (module, rest) for module, model, rest in ROW.findall(PAGE) if model != "model"}


def check(model):
    """Raises AssertionError for a difference in a bit; the row must be the page's."""
    if model not in timm.list_models():
        pytest.skip(f"the page was made with another timm, which had {model}")
    module, rest = ROWS[model]
    row = generator.check(module, model)
    assert rest == (generator.cell(row.trouble) or f"{row.tapped} | {row.features}")


def test_the_page_has_every_module_of_its_timm():
    version = re.search(r"^timm ([\w.]+):", PAGE, re.MULTILINE)[1]
    assert len(ROWS) > 100
    if timm.__version__ == version:
        assert sorted({module for module, _ in ROWS.values()}) == timm.list_modules()


@pytest.mark.parametrize("model", QUICK)
def test_a_few_models(model):
    check(model)


@pytest.mark.slow
@pytest.mark.timeout(600)  # the largest are
@pytest.mark.parametrize("model", [model for model in ROWS if model not in QUICK])
def test_the_other_models(model):
    check(model)


def test_the_smallest_of_each_kind_is_found():
    assert generator.groups("levit") == ["levit_128s", "levit_256d"]


def test_the_generator_sees_a_tap_that_changes_the_logits(monkeypatch):
    class Changing(generator.TiedModel):
        def forward(self, batch):
            logits, features = super().forward(batch)
            return logits + 1e-6, features

    monkeypatch.setattr(generator, "TiedModel", Changing)
    with pytest.raises(AssertionError, match="the tap changed the logits"):
        generator.check("resnet", "test_resnet")


def test_the_generator_sees_wrong_features(monkeypatch):
    class Wrong(generator.TiedModel):
        def forward(self, batch):
            logits, features = super().forward(batch)
            return logits, 2 * features

    monkeypatch.setattr(generator, "TiedModel", Wrong)
    with pytest.raises(AssertionError, match="the features give other logits"):
        generator.check("resnet", "test_resnet")
