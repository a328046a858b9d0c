"""Where a model's features are: its classifiers, and the hooks that record what goes into them.

Lives here: `find_heads` and `Tap`, for `TiedModel` and for timm's train.py. It may import torch
only: timm's conventions are met by duck typing, so timm need not be installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

__all__ = ["Tap", "find_heads", "name_of"]

_REMEDY = (
    "name the module whose input are the features: TiedModel(model, feature_module='the.name')"
)
# torchvision's names of the classifier, and timm's within a head that has pooling inside.
_CLASSIFIER_NAMES = ("fc", "classifier", "head", "heads")


class Tap:
    """A forward pre-hook that keeps its module's inputs while it is open.

    Held both by the TiedModel and in the module's hooks: a deepcopy of the TiedModel has a tap of
    its own. Closed, it does nothing: a plain model taken out of its TiedModel runs as ever, and
    activation checkpointing, which runs the forward again in backward, is not recorded twice.
    """

    def __init__(self, name: str, *, flatten: bool) -> None:
        self.name = name
        self.flatten = flatten  # the caller chose the module, and with it maps and tokens
        self.inputs: list[Any] | None = None  # None while closed

    def __call__(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        """Record, as torch's hooks are called."""
        if self.inputs is not None:
            self.inputs.append(args[0] if args else None)

    def open(self) -> None:
        """Begin to record, forgetting what was recorded."""
        self.inputs = []

    def close(self) -> None:
        """Stop, and keep nothing."""
        self.inputs = None

    def features(self) -> Tensor:
        """Give the input recorded since `open`, ``(2B, D)``; RuntimeError if not just one."""
        inputs = self.inputs or []
        if len(inputs) != 1:
            raise RuntimeError(
                f"{self.name!r} was called {len(inputs)} times in one forward, expected once "
                f"(was the classifier replaced after TiedModel was made?); {_REMEDY}"
            )
        value = inputs[0]
        if not isinstance(value, Tensor):
            raise RuntimeError(
                f"the first positional input of {self.name!r} is no tensor but "
                f"{type(value).__name__}; {_REMEDY}"
            )
        pooled = value.ndim == 4 and value.shape[2] == 1 and value.shape[3] == 1
        if pooled or (self.flatten and value.ndim > 2):
            value = value.flatten(1)  # pooled: for a 1x1 convolution, as in dla, dpn, resnetv2
        if value.ndim != 2:
            raise RuntimeError(
                f"the input of {self.name!r} has shape {tuple(value.shape)}, expected (2B, D) "
                f"or (2B, D, 1, 1): features without pooling can't be tied; {_REMEDY}"
            )
        return value


def find_heads(model: nn.Module, feature_module: str | Sequence[str] | None) -> list[nn.Module]:
    """Find the modules to tap, in the order of their features.

    Raises:
        ValueError: no classifier, one that is an Identity, or no module of that name.
    """
    if feature_module is not None:
        names = [feature_module] if isinstance(feature_module, str) else list(feature_module)
        if not names:
            raise ValueError("feature_module must name at least one module, got an empty list")
        return [_module_of(model, name) for name in names]
    heads = list(_expand(model))
    if not heads or heads == [model]:
        raise ValueError(f"{type(model).__name__} has no classifier that can be found; {_REMEDY}")
    for head in heads:
        if isinstance(head, nn.Identity):
            raise ValueError(
                f"the classifier {name_of(head, model)!r} of {type(model).__name__} is an "
                f"Identity (num_classes=0?): there are no logits; set num_classes, or {_REMEDY}"
            )
    return heads


def _module_of(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        names = ", ".join(name for name, _ in model.named_children())
        raise ValueError(
            f"feature_module: {type(model).__name__} has no module {name!r}; choose "
            f"a name from model.named_modules(); its children are {names}"
        ) from error


def _expand(module: object) -> Iterator[nn.Module]:
    """The classifiers in `module`, which is itself one if it holds none; None holds nothing."""
    if isinstance(module, tuple | list | nn.ModuleList):
        for item in module:
            yield from _expand(item)
    elif isinstance(module, nn.Sequential):
        # Not merely the last: an activation, a Flatten or a Dropout may follow.
        layers = [layer for layer in module if next(layer.parameters(), None) is not None]
        yield from _expand(layers[-1:])
    elif isinstance(module, nn.Module):
        get_classifier = getattr(module, "get_classifier", None)
        if callable(get_classifier):
            yield from _expand(get_classifier())
            return
        children = dict(module.named_children())
        named = [name for name in children if name in _CLASSIFIER_NAMES]
        if not named:
            yield module
            return
        yield from _expand(children[named[-1]])
        twin = children.get(f"{named[-1]}_dist")  # for distillation: repvit's; iformer's is off
        if not isinstance(twin, nn.Identity):
            yield from _expand(twin)


def name_of(module: nn.Module, model: nn.Module) -> str:
    """Give the dotted name of `module` in `model`, else its class's."""
    names = (name for name, candidate in model.named_modules() if candidate is module)
    return next(names, type(module).__name__)
