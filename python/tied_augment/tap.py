"""Where a model's features are: the last linear layers, and the hooks that record their inputs.

Lives here: `find_heads` and `Tap`, for `TiedModel` and for timm's train.py. It may import torch and
the checks of arguments: timm's conventions are met by duck typing, so timm need not be installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from tied_augment.arguments import described, nearest

__all__ = ["Tap", "find_heads", "name_of"]

_REMEDY = (
    "name the module whose input are the features: TiedModel(model, feature_module='the.name')"
)
# torchvision's names of the classifier, and timm's within a head that has more inside.
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
    """Find the modules whose inputs are the features, in the order of these.

    They are the modules that `feature_module` names, or, without it, the last linear layer of each
    of the model's classifiers: an `nn.Linear` or a 1x1 `nn.Conv2d`, also where norms, activations
    or other linear layers stand before it in the classifier. A classifier without such a layer is
    itself the module.

    Raises:
        TypeError: a `feature_module` that is neither a name nor a list of names.
        ValueError: no classifier, one that is an Identity, or no module of that name.
    """
    if feature_module is not None:
        return [_module_of(model, name) for name in _names(feature_module)]
    classifiers = list(_expand(model))
    if not classifiers or classifiers == [model]:
        raise ValueError(f"{type(model).__name__} has no classifier that can be found; {_REMEDY}")
    for classifier in classifiers:
        if isinstance(classifier, nn.Identity):
            raise ValueError(
                f"the classifier {name_of(classifier, model)!r} of {type(model).__name__} is an "
                f"Identity (num_classes=0?): there are no logits; set num_classes, or {_REMEDY}"
            )
    return [_last_linear(classifier) for classifier in classifiers]


def _names(feature_module: Any) -> list[str]:
    several = isinstance(feature_module, Sequence) and not isinstance(feature_module, str)
    names: list[Any] = list(feature_module) if several else [feature_module]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                "feature_module must be a dotted name as in model.named_modules(), or a list of "
                f"such, got {described(name)}"
            )
    if not names or "" in names:
        got = "the name ''" if names else "an empty list"
        raise ValueError(f"feature_module must name at least one module, got {got}")
    return names


def _module_of(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        children = ", ".join(child for child, _ in model.named_children())
        near = nearest(name, [module for module, _ in model.named_modules()])
        meant = f"did you mean {near!r}? Else " if near else ""
        raise ValueError(
            f"feature_module: {type(model).__name__} has no module {name!r}; {meant}choose "
            f"a name from model.named_modules(); its children are {children}"
        ) from error


def _last_linear(classifier: nn.Module) -> nn.Module:
    """The last linear layer in `classifier`, in the order in which modules were registered."""
    if hasattr(classifier, "in_features") and hasattr(classifier, "out_features"):
        return classifier  # it stands for a linear layer, and has some inside, as PEFT's LoRA
    layers = [module for module in classifier.modules() if _is_linear(module)]
    return layers[-1] if layers else classifier


def _is_linear(module: nn.Module) -> bool:
    convolution = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
    return convolution or isinstance(module, nn.Linear)


def _expand(module: object) -> Iterator[nn.Module]:
    """The classifiers in `module`, which is itself one if it holds none; None holds nothing."""
    if isinstance(module, tuple | list | nn.ModuleList):
        for item in module:
            yield from _expand(item)
    elif isinstance(module, nn.Sequential):
        # Not merely the last: an activation, a Flatten, a Dropout or a norm may follow.
        yield from _expand([layer for layer in module if _has_weights(layer)][-1:])
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


def _has_weights(layer: nn.Module) -> bool:
    """Whether it has parameters, other than the vectors of a norm or a PReLU."""
    return _is_linear(layer) or any(parameter.ndim > 1 for parameter in layer.parameters())


def name_of(module: nn.Module, model: nn.Module) -> str:
    """Give the dotted name of `module` in `model`, else its class's."""
    names = (name for name, candidate in model.named_modules() if candidate is module)
    return next(names, type(module).__name__)
