"""A torch that has renamed its private functions breaks nothing: the loss computes the same."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from loss_oracle import batch
from torch.testing import assert_close

import tied_augment
from tied_augment import TiedLoss, tracing
from tied_augment.fused.function import applies

PACKAGE = Path(tied_augment.__file__).parent


@pytest.fixture
def renamed(monkeypatch):
    """Every private function that is asked for has another name now."""
    without = SimpleNamespace(compiler=torch.compiler, _C=SimpleNamespace())
    monkeypatch.setattr(tracing, "torch", without)
    monkeypatch.setattr(tracing, "forward_ad", SimpleNamespace())


def test_the_loss_is_the_same(renamed, monkeypatch):
    inputs = batch(4, 5, 6)
    loss = TiedLoss()
    plain = loss(*inputs)
    parts = loss.last
    assert len(parts) == 7
    monkeypatch.undo()
    fused = TiedLoss()
    assert_close(plain, fused(*inputs))
    assert_close(parts, fused.last)


def test_without_the_answers_nothing_is_fused(renamed):
    assert not applies(*batch(4, 5, 6))


def test_with_all_answers_it_is():
    assert applies(*batch(4, 5, 6))
    assert tracing.runs_plainly()


def test_no_other_module_uses_torchs_private_functions():
    users = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("torch._"):
                users.add(path.name)
    assert users == {"tracing.py"}


def test_none_is_used_at_import():
    tree = ast.parse((PACKAGE / "tracing.py").read_text())
    outside = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    assert not any("_C" in ast.unparse(node) for node in outside[1:])  # the first is the docstring
