"""Write docs/models.md: what TiedModel does with the models of timm.

    python docs/generate_models.py [module ...]

A kind of model is a timm module (``timm.models.resnet``, ...), a class of model in it and a type of
classifier. Of each kind the model with the fewest parameters is run in train mode, with and without
the tap. The result is one row of the table. This takes about ten minutes on one core.

models.md is not edited by hand: `tests/python/test_sweep.py` runs the same checks and fails if the
results differ from it.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from tied_augment import TiedModel

OUTPUT = Path(__file__).with_name("models.md")
CLASSES = 7
# These kinds have no small model: fewer blocks save memory and time.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "beit_base_patch16_224": {"depth": 2},
    "deepseek_vit_412m": {"depth": 2},
    "gemma4_vit_167m": {"depth": 2},
    "naflexvit_base_patch16_parfac_gap": {"depth": 2},
    "qwen3_vit_88m": {"depth": 2},
    "samvit_base_patch16_224": {"depth": 2},
}
# In train mode an auxiliary head adds to the logits: the classifier alone does not give them.
MORE_THAN_ITS_HEAD = ("volo_d1_224",)
PAGE = """# Which models work

With `TiedModel`, nearly all of timm's. The tables name the layer whose input is the features, and
the models for which it must be named. For every class of model and type of classifier in timm, the
smallest model is run in train mode with and without `TiedModel`. The logits are equal in every bit,
and the state_dict has the same keys. Written by `python docs/generate_models.py`; do not edit.

The tapped module is the last linear layer of the classifier, an `nn.Linear` or a 1x1 `nn.Conv2d`.
The features are its input, and D is their number. Applied to the features, the module gives the
logits again (except {exceptions}, whose auxiliary head adds to them).

The first forward pass with grad checks that no linear layer computes on the output of the tapped
one, in `TiedModel` and under timm's train.py.

timm {version}: {working} of {all} kinds of models work without further arguments.

## Models that need `feature_module`

| timm module | model | why |
|---|---|---|
{troubles}

## Models that work without it

| timm module | model | tapped | D |
|---|---|---|---|
{rows}
"""


@dataclass(frozen=True)
class Row:
    """The result for one model: a row of the table."""

    module: str
    model: str
    tapped: str = ""
    features: str = ""
    trouble: str = ""  # why it can't be tied; empty for a supported model


def groups(module: str) -> list[str]:
    """The model with the fewest parameters of each kind in a timm module, sorted by name.

    The models are made on the meta device, where they take no memory. The few that compute in their
    constructor can't be made there and are left out.
    """
    kinds: dict[tuple[str, ...], tuple[int, str]] = {}
    for name in timm.list_models(module=module):
        try:
            with torch.device("meta"):
                model: Any = create(name)
        except (NotImplementedError, RuntimeError):
            continue  # not on the meta device: left out, as said above
        heads = model.get_classifier() if hasattr(model, "get_classifier") else None
        kind = (type(model).__name__, *_types(heads))
        size = (sum(parameter.numel() for parameter in model.parameters()), name)
        kinds[kind] = min(kinds.get(kind, size), size)
    return sorted(name for _, name in kinds.values())


def create(name: str) -> nn.Module:
    """A model with random weights and CLASSES classes; encoders don't take a number of classes."""
    arguments = ARGUMENTS.get(name, {})
    try:
        return timm.create_model(name, num_classes=CLASSES, **arguments)
    except TypeError:
        return timm.create_model(name, **arguments)


def _types(heads: object) -> list[str]:
    if isinstance(heads, tuple | list | nn.ModuleList):
        return [name for head in heads for name in _types(head)]
    return [type(heads).__name__]


def check(module: str, name: str) -> Row:
    """Run a model with and without the tap.

    Raises:
        AssertionError: a bit of the logits, or the state_dict keys, differ.
    """
    torch.manual_seed(0)
    model: Any = create(name)
    twin = copy.deepcopy(model.train())
    shape = model.default_cfg["input_size"]
    size = ARGUMENTS.get(name, {}).get("img_size", shape[-1])
    batch = torch.randn(2, shape[0], size, size)
    with torch.no_grad():
        try:
            tied = TiedModel(model)
            torch.manual_seed(1)  # dropout and drop path
            logits, features = tied(batch)
        except (ValueError, RuntimeError) as error:
            return Row(module, name, trouble=str(error))
        torch.manual_seed(1)
        expected = twin(batch)
    for ours, theirs in zip(_leaves(logits), _leaves(expected), strict=True):
        assert torch.equal(ours, theirs), f"{name}: the tap changed the logits"
    assert list(tied.state_dict()) == list(twin.state_dict()), f"{name}: other keys"
    if name not in MORE_THAN_ITS_HEAD:
        _check_features(name, tied, features, _leaves(logits))
    taps = ", ".join(f"`{tap.name}`" for tap in tied._taps)
    return Row(module, name, taps, str(features.shape[1]))


def _check_features(name: str, tied: TiedModel, features: Tensor, logits: list[Tensor]) -> None:
    """Check that the tapped layers are linear and give the logits when applied to the features."""
    heads: list[Any] = [tied.model.get_submodule(tap.name) for tap in tied._taps]
    for head in heads:
        assert isinstance(head, nn.Linear | nn.Conv2d), (
            f"{name}: {type(head)} is not a linear layer"
        )
    parts = torch.split_with_sizes(features, [head.weight.shape[1] for head in heads], dim=1)
    outputs = []
    for head, part in zip(heads, parts, strict=True):
        fed = part[:, :, None, None] if isinstance(head, nn.Conv2d) else part
        outputs.append(head(fed).flatten(1))
    if len(outputs) == 1 and len(logits) == 1:
        assert torch.equal(outputs[0], logits[0]), f"{name}: the features give other logits"
    elif len(outputs) == len(logits):
        same = zip(outputs, logits, strict=True)
        assert all(torch.equal(a, b) for a, b in same), f"{name}: the features give other logits"
    else:  # several heads whose mean is the model's output
        torch.testing.assert_close(torch.stack(outputs).mean(0), logits[0])


def _leaves(output: object) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    assert isinstance(output, tuple | list)
    return [leaf for item in output for leaf in _leaves(item)]


def page(rows: list[Row]) -> str:
    """The text of models.md."""
    tied = [row for row in rows if not row.trouble]
    troubles = [
        f"| {row.module} | {row.model} | {cell(row.trouble)} |" for row in rows if row.trouble
    ]
    return PAGE.format(
        exceptions=", ".join(MORE_THAN_ITS_HEAD),
        version=timm.__version__,
        working=len(tied),
        all=len(rows),
        troubles="\n".join(troubles),
        rows="\n".join(
            f"| {row.module} | {row.model} | {row.tapped} | {row.features} |" for row in tied
        ),
    )


def cell(text: str) -> str:
    """`text` as a cell of a table: one line, with escaped bars."""
    return " ".join(text.split()).replace("|", "\\|")


def main(modules: list[str]) -> None:
    """Check the given modules; or all of them, and write the page."""
    rows = []
    for module in modules or timm.list_modules():
        for name in groups(module):
            rows.append(check(module, name))
            print(rows[-1], flush=True)
    if not modules:
        OUTPUT.write_text(page(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
