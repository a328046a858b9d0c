"""Features and logits in one forward: a tap on the classifier of an unchanged model.

Lives here: `TiedModel`, the search for the classifier and the tap. It may import torch only (timm's
conventions are met by duck typing, so timm need not be installed). It must never change what the
wrapped model computes, add a parameter, buffer or state_dict key, or keep a tensor after a forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["TiedModel"]

# Unique, as in torch's ActivationWrapper, so that dropping it from a name is never ambiguous.
_CHILD = "_tied_module"
_REMEDY = (
    "choose the module whose input are the features with TiedModel(model, feature_module='name')"
)
# torchvision's names of the classifier, asked in the order of the model's last children.
_CLASSIFIER_NAMES = ("fc", "classifier", "head", "heads")


class TiedModel(nn.Module):
    """A classifier that in train mode returns ``(logits, features)`` from a single forward.

    A forward pre-hook on the classifier records its input, the features. All else is the plain
    model's: parameters and their names and order, `state_dict` keys (also when this module is
    nested, in DDP say), attributes, and in eval mode the output.

    The classifier is what timm's ``get_classifier()`` returns. Several heads (deit distilled,
    crossvit, ...) give their features concatenated on dim 1; a head with pooling inside is tapped
    at its ``fc``. Models without ``get_classifier`` are taken to be torchvision-like: the last
    child named fc, classifier, head or heads, or for a plain `nn.Sequential` its last module; in
    a Sequential the last Linear counts.

    Like timm's ``forward_head(..., pre_logits=True)``, the features are taken after the head's
    dropout: a ``drop_rate`` above 0 adds noise to the similarity.

    Not supported: `nn.DataParallel` (use DistributedDataParallel), TorchScript, and two threads
    in one instance's train-mode forward at once. Replacing the classifier afterwards
    (``reset_classifier``) leaves the tap behind: wrap anew.

    Args:
        model: the plain model. It is wrapped, not copied.
        feature_module: dotted name, as in ``model.named_modules()``, of the module whose first
            positional input are the features; taken as it is, before any of the above.

    Raises:
        ValueError: no classifier was found, it is an Identity (timm's ``num_classes=0``), or
            there is no module called `feature_module`.
        TypeError: `model` is no module, or a TiedModel already.

    Source: the naming follows torch 2.15's
    ``torch.distributed.algorithms._checkpoint.checkpoint_wrapper.ActivationWrapper``; features are
    checked against timm 1.0.31.
    """

    _is_replica = False  # nn.DataParallel sets it on its replicas

    def __init__(self, model: nn.Module, feature_module: str | None = None) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        if isinstance(model, TiedModel):
            raise TypeError("model is a TiedModel already")
        heads = _find_heads(model, feature_module)
        self.add_module(_CHILD, model)
        self._taps = [_Tap(_name_of(head, model)) for head in heads]
        for tap, head in zip(self._taps, heads, strict=True):
            head.register_forward_pre_hook(tap)
        self.register_state_dict_post_hook(_drop_prefix)
        self.register_load_state_dict_pre_hook(_add_prefix)
        self.register_load_state_dict_post_hook(_name_plainly)

    @property
    def model(self) -> nn.Module:
        """The plain model."""
        return self.get_submodule(_CHILD)

    def forward(
        self, images: Tensor | Sequence[Tensor], /, *args: Any, **kwargs: Any
    ) -> Any:  # Any: in eval mode it is whatever the plain model returns
        """Run the model once.

        Args:
            images: in train mode ``(2B, 3, H, W)``, view-major; ``(2, B, 3, H, W)``; or a sequence
                of per-view ``(B, 3, H, W)`` tensors. (More than two views work alike.) In eval
                mode whatever the plain model takes.
            *args: passed on to the model.
            **kwargs: passed on to the model.

        Returns:
            In train mode, with or without grad, ``(logits, features)``: ``(2B, C)`` and
            ``(2B, D)``, both view-major and in the dtype that the model (under autocast) computes.
            `logits` is passed on as it came; some models return a tuple in train mode. In eval
            mode exactly the plain model's output.

        Raises:
            ValueError: views that can't be joined to one batch.
            RuntimeError: a head was not called exactly once, or its input is no ``(2B, D)``.
        """
        model = self._modules[_CHILD]
        assert model is not None  # for mypy: _modules may hold None
        if not self.training:
            return model(images, *args, **kwargs)
        if self._is_replica:
            raise RuntimeError(
                "TiedModel does not work in nn.DataParallel, whose replicas would share its taps; "
                "use torch.nn.parallel.DistributedDataParallel"
            )
        batch = _join_views(images)
        for tap in self._taps:
            tap.open()
        try:
            logits = model(batch, *args, **kwargs)
            features = [tap.features() for tap in self._taps]
        finally:
            for tap in self._taps:
                tap.close()
        return logits, features[0] if len(features) == 1 else torch.cat(features, dim=1)

    def __getattr__(self, name: str) -> Any:
        """Forward what this module lacks to the plain model: ``default_cfg`` and the like."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            # Through __dict__: while unpickling there is neither _modules nor a child in it.
            model = self.__dict__.get("_modules", {}).get(_CHILD)
            if model is None:
                raise
            return getattr(model, name)

    def named_modules(
        self,
        memo: set[nn.Module] | None = None,
        prefix: str = "",
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, nn.Module]]:
        """Name the modules as the plain model does; it and this module share one name.

        torch derives `named_parameters` and `named_buffers` from this method, in parents too.
        """
        for name, module in super().named_modules(memo, prefix, remove_duplicate):
            yield _plain_name(name), module

    def extra_repr(self) -> str:
        """Name the tapped modules."""
        return "features=" + ", ".join(f"input of {tap.name!r}" for tap in self._taps)


class _Tap:
    """A forward pre-hook that keeps its module's input while it is open.

    Held both by the TiedModel and in the module's hooks, so that `copy.deepcopy` and pickle,
    which keep identities within one object graph, give the copy a working tap of its own.
    Closed, it does nothing: a plain model taken out of its TiedModel runs as ever, and activation
    checkpointing, which runs the forward again in backward, is not recorded twice.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._open = False
        self._inputs: list[Any] = []

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if self._open:
            self._inputs.append(args[0] if args else None)

    def open(self) -> None:
        self._open = True
        self._inputs = []

    def close(self) -> None:
        self._open = False
        self._inputs = []

    def features(self) -> Tensor:
        """The input recorded since `open`, ``(2B, D)``; RuntimeError if it is not just one."""
        if len(self._inputs) != 1:
            raise RuntimeError(
                f"{self.name!r} was called {len(self._inputs)} times in one forward, expected "
                f"once (was the classifier replaced after TiedModel was made?); {_REMEDY}"
            )
        value = self._inputs[0]
        if not isinstance(value, Tensor):
            raise RuntimeError(
                f"the first positional input of {self.name!r} is no tensor but "
                f"{type(value).__name__}; {_REMEDY}"
            )
        if value.ndim == 4 and value.shape[2] == 1 and value.shape[3] == 1:
            value = value.flatten(1)  # a pooled map for a 1x1 convolution: dla, dpn, resnetv2
        if value.ndim != 2:
            raise RuntimeError(
                f"the input of {self.name!r} has shape {tuple(value.shape)}, expected (2B, D) "
                f"or (2B, D, 1, 1): features without pooling can't be tied; {_REMEDY}"
            )
        return value


def _join_views(images: Tensor | Sequence[Tensor]) -> Tensor:
    """View-major ``(2B, 3, H, W)``; a tensor that is not 5-D is left as it is."""
    if isinstance(images, Tensor):
        return images.flatten(0, 1) if images.ndim == 5 else images
    if not isinstance(images, list | tuple) or not images:
        raise ValueError(f"images must be a tensor or tensors per view, got {images!r}")
    shapes = [tuple(view.shape) for view in images]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"all views must have one shape, got {shapes}")
    return torch.cat(list(images))


def _find_heads(model: nn.Module, feature_module: str | None) -> list[nn.Module]:
    """The modules to tap, in the order of their features."""
    if feature_module is not None:
        try:
            return [model.get_submodule(feature_module)]
        except AttributeError as error:
            names = ", ".join(name for name, _ in model.named_children())
            raise ValueError(
                f"{type(model).__name__} has no module {feature_module!r}; its children: {names}"
            ) from error
    get_classifier = getattr(model, "get_classifier", None)
    classifier = get_classifier() if callable(get_classifier) else _find_classifier(model)
    heads = list(_expand(classifier))
    if not heads:
        raise ValueError(f"{type(model).__name__} has no classifier that can be found; {_REMEDY}")
    for head in heads:
        if isinstance(head, nn.Identity):
            raise ValueError(
                f"the classifier {_name_of(head, model)!r} of {type(model).__name__} is an "
                f"Identity (num_classes=0?): there are no logits; set num_classes or {_REMEDY}"
            )
    return heads


def _find_classifier(model: nn.Module) -> nn.Module | None:
    """The classifier of a model without ``get_classifier``, by torchvision's conventions."""
    if isinstance(model, nn.Sequential):
        return model
    named = [child for name, child in model.named_children() if name in _CLASSIFIER_NAMES]
    return named[-1] if named else None


def _expand(classifier: object) -> Iterator[nn.Module]:
    """Lists to their items, heads with pooling and Sequentials to their Linear; None to nothing."""
    if isinstance(classifier, tuple | list | nn.ModuleList):
        for item in classifier:
            yield from _expand(item)
    elif isinstance(classifier, nn.Sequential):
        linears = [m for m in classifier.modules() if isinstance(m, nn.Linear)]
        yield from linears[-1:]
    elif isinstance(classifier, nn.Module):
        inner = getattr(classifier, "fc", None)  # timm's ClassifierHead and its kin
        yield inner if isinstance(inner, nn.Module) else classifier


def _name_of(module: nn.Module, model: nn.Module) -> str:
    names = (name for name, candidate in model.named_modules() if candidate is module)
    return next(names, type(module).__name__)


def _plain_name(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != _CHILD)


def _drop_prefix(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any]
) -> None:
    """state_dict post hook: the plain model's keys, in the order that they have."""
    _rename(state_dict, prefix + _CHILD + ".", prefix)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is not None:  # versions of the modules, by name without the last dot
        metadata.pop(prefix[:-1], None)  # ours; the plain model's entry takes its place
        _rename(metadata, prefix + _CHILD, prefix[:-1], prefix)


def _add_prefix(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, *args: object
) -> None:
    """load_state_dict pre hook: takes the plain model's keys. `state_dict` is torch's own copy."""
    _rename(state_dict, prefix, prefix + _CHILD + ".")


def _name_plainly(module: nn.Module, incompatible_keys: Any) -> None:
    """load_state_dict post hook: reports missing and unexpected keys as the plain model does."""
    for keys in (incompatible_keys.missing_keys, incompatible_keys.unexpected_keys):
        keys[:] = [_plain_name(key) for key in keys]
