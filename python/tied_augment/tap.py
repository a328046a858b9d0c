"""Where a model's features are: the last linear layers, and the hooks that record their inputs.

Lives here: `find_heads` and `Tap`, for `TiedModel` and for timm's train.py, and `LastLayerCheck`,
which finds out in a forward pass whether the heads are what `find_heads` takes them for. May import
torch, tracing and the checks of arguments. timm's models are recognised by their methods: timm need
not be installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils.hooks import RemovableHandle

from tied_augment.arguments import described, nearest
from tied_augment.tracing import is_compiled

__all__ = ["LastLayerCheck", "Tap", "find_heads", "name_of", "warn_of_constants"]

_REMEDY = (
    "name the module whose input are the features: TiedModel(model, feature_module='the.name')"
)
# torchvision's names of the classifier, and timm's names of it within a larger head.
_CLASSIFIER_NAMES = ("fc", "classifier", "head", "heads")


class Tap:
    """A forward pre-hook that records its module's inputs while it is open.

    A closed tap does nothing, so that a plain model that is taken out of its TiedModel runs as
    before. Activation checkpointing runs the forward pass again within the backward pass, when the
    tap is closed, and so is recorded once.

    Both the TiedModel and the module's hooks refer to the tap: a deepcopy of the TiedModel copies
    it with both references.

    Args:
        name: of the module, for messages.
        flatten: whether to flatten maps and tokens from dim 1 on. True if the caller chose the
            module, and with it such features.
    """

    def __init__(self, name: str, *, flatten: bool) -> None:
        self.name = name
        self.flatten = flatten
        self.inputs: list[Any] | None = None  # None while closed

    def __call__(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        """Record the first positional input."""
        if self.inputs is not None:
            self.inputs.append(args[0] if args else None)

    def open(self) -> None:
        """Start recording, and forget earlier inputs."""
        self.inputs = []

    def close(self) -> None:
        """Stop recording, and forget all inputs."""
        self.inputs = None

    def features(self) -> Tensor:
        """The input that was recorded since `open`, ``(2B, D)``.

        Raises:
            RuntimeError: there was not exactly one, or it is not a matrix.
        """
        inputs = self.inputs or []
        if len(inputs) != 1:
            raise RuntimeError(
                f"{self.name!r} was called {len(inputs)} times in one forward, expected once "
                f"(was the classifier replaced after TiedModel was made?); {_REMEDY}"
            )
        value = inputs[0]
        if not isinstance(value, Tensor):
            raise RuntimeError(
                f"the first positional input of {self.name!r} is not a tensor but "
                f"{type(value).__name__}; {_REMEDY}"
            )
        pooled = value.ndim == 4 and value.shape[2] == 1 and value.shape[3] == 1
        if pooled or (self.flatten and value.ndim > 2):
            value = value.flatten(1)  # pooled for a 1x1 convolution, as in dla, dpn, resnetv2
        if value.ndim != 2:
            raise RuntimeError(
                f"the input of {self.name!r} has shape {tuple(value.shape)}, expected (2B, D) "
                f"or (2B, D, 1, 1): features without pooling can't be tied; {_REMEDY}"
            )
        return value


class LastLayerCheck:
    """Checks in one forward pass that no linear layer computes on the output of a head.

    A model may register its layers in another order than that in which it runs them, and may call
    a hidden layer ``fc``. Then `find_heads` is wrong. A layer that runs after the head is no proof:
    it may have an input of its own, like the auxiliary head of VOLO. Autograd's graph tells: the
    check follows it from the input of the later layer back to the output of a head.

    Within the ``with`` block there are hooks on the heads and on all linear layers. A model with
    compiled parts gets none, because torch.compile would compile these parts again without them.
    While a graph is compiled, and in a copy of the model, the hooks do nothing. A layer whose
    output needs no gradient is not checked.

    Args:
        model: to which the heads belong.
        heads: what `find_heads` has found.
    """

    def __init__(self, model: nn.Module, heads: Sequence[nn.Module]) -> None:
        self._model = model
        self._heads = heads
        self._hooks: list[RemovableHandle] = []
        self._outputs: dict[Node, nn.Module] = {}  # node that made the output of a head: the head
        self._later: list[tuple[nn.Module, Node]] = []  # layers, and what made their inputs
        self._open = False

    def __enter__(self) -> LastLayerCheck:
        if any(is_compiled(module) for module in self._model.modules()):
            return self
        self._open = True
        for head in self._heads:
            self._hooks.append(head.register_forward_hook(self._record_output))
        for module in self._model.modules():
            if _is_linear(module):
                self._hooks.append(module.register_forward_pre_hook(self._record_input))
        return self

    def __exit__(self, *_error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def __deepcopy__(self, memo: dict[int, Any]) -> LastLayerCheck:
        return LastLayerCheck(deepcopy(self._model, memo), [])  # closed

    def _record_output(self, head: nn.Module, _args: tuple[Any, ...], output: object) -> None:
        if torch.compiler.is_compiling() or not self._open:
            return
        if isinstance(output, Tensor) and output.grad_fn is not None:
            self._outputs[output.grad_fn] = head

    def _record_input(self, layer: nn.Module, args: tuple[Any, ...]) -> None:
        if torch.compiler.is_compiling() or not self._outputs:
            return
        if args and isinstance(args[0], Tensor) and args[0].grad_fn is not None:
            self._later.append((layer, args[0].grad_fn))

    def finish(self) -> None:
        """Judge the forward pass.

        Raises:
            RuntimeError: a linear layer computed on the output of a head.
        """
        for layer, node in reversed(self._later):
            head = self._head_before(node)
            if head is not None:
                tapped, last = name_of(head, self._model), name_of(layer, self._model)
                raise RuntimeError(
                    f"{tapped!r} was taken for the last linear layer, but {last!r} computes on its "
                    f"output. Name the layer whose input is the features: perhaps feature_module="
                    f"{last!r}, or --tied-feature-module {last} for train.py"
                )

    def _head_before(self, node: Node) -> nn.Module | None:
        """The head on whose output `node` depends; None if there is none."""
        waiting, seen = [node], set()
        while waiting:
            node = waiting.pop()
            if node in self._outputs:
                return self._outputs[node]
            if node not in seen:
                seen.add(node)
                waiting.extend(earlier for earlier, _ in node.next_functions if earlier is not None)
        return None


def find_heads(model: nn.Module, feature_module: str | Sequence[str] | None) -> list[nn.Module]:
    """Find the modules whose inputs are the features.

    These are the modules that `feature_module` names, in its order. Without it they are the last
    linear layers of the model's classifiers: an `nn.Linear` or a 1x1 `nn.Conv2d`, with or without
    norms, activations or other linear layers before it in the classifier. If a classifier has no
    linear layer, it is the classifier itself.

    Raises:
        TypeError: `feature_module` is neither a name nor a list of names.
        ValueError: there is no classifier or no module of that name, or the classifier is an
            Identity.
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
    """The last linear layer in `classifier`, by order of registration."""
    if hasattr(classifier, "in_features") and hasattr(classifier, "out_features"):
        return classifier  # it acts as a linear layer and has some inside, as PEFT's LoRA does
    layers = [module for module in classifier.modules() if _is_linear(module)]
    return layers[-1] if layers else classifier


def _is_linear(module: nn.Module) -> bool:
    convolution = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
    return convolution or isinstance(module, nn.Linear)


def _expand(module: object) -> Iterator[nn.Module]:
    """Yield the classifiers in `module`, or itself if it has none inside; nothing for None."""
    if isinstance(module, nn.ModuleDict):
        module = list(module.values())
    if isinstance(module, tuple | list | nn.ModuleList):
        for item in module:
            yield from _expand(item)
    elif isinstance(module, nn.Sequential):
        # The last layer may be an activation, a Flatten, a Dropout or a norm.
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
        twin = children.get(f"{named[-1]}_dist")  # repvit's for distillation; iformer's is off
        if not isinstance(twin, nn.Identity):
            yield from _expand(twin)


def _has_weights(layer: nn.Module) -> bool:
    """Whether `layer` has parameters other than the vectors of a norm or a PReLU."""
    return _is_linear(layer) or any(parameter.ndim > 1 for parameter in layer.parameters())


def name_of(module: nn.Module, model: nn.Module) -> str:
    """The dotted name of `module` in `model`; the name of its class if it is not in it."""
    names = (name for name, candidate in model.named_modules() if candidate is module)
    return next(names, type(module).__name__)


def warn_of_constants(logits: object, features: Sequence[Tensor], names: Sequence[str]) -> bool:
    """Warn if the logits can be trained and some features cannot; whether it warned.

    Args:
        logits: what the model returned.
        features: of each module, in the order of `names`.
        names: the tapped modules.
    """
    trained = isinstance(logits, Tensor) and logits.requires_grad
    if not trained or torch.compiler.is_compiling():
        return False
    for layer, name in zip(features, names, strict=True):
        if not layer.requires_grad:
            warnings.warn(
                f"the input of {name!r} needs no gradient, but the logits do: the similarity of "
                "these features trains nothing. Are the layers before it frozen, or in activation "
                "checkpoints with use_reentrant=True? Then unfreeze them, or pass "
                "use_reentrant=False",
                RuntimeWarning,
                stacklevel=3,
            )
            return True
    return False
