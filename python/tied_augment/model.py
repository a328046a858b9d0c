"""Features and logits in one forward pass, by a tap on the last linear layer of a plain model.

Lives here: `TiedModel`, and `join_views`, which makes one batch of the views. May import torch,
`tap` and the checks of arguments. `TiedModel` must never change what the wrapped model computes,
add a parameter, buffer or state_dict key, or keep a tensor after a forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tied_augment.arguments import check_int, check_name, described
from tied_augment.normalize import Normalize
from tied_augment.tap import LastLayerCheck, Tap, find_heads, name_of, warn_of_constants

__all__ = ["TiedModel", "join_views"]

_FORWARDS = ("joint", "separate")
_ALIASES = {"split": "separate", "together": "joint"}
_OUT_OF_MEMORY = torch.cuda.OutOfMemoryError
_NO_DATA_PARALLEL = (
    "TiedModel does not work with nn.DataParallel, whose replicas would share its taps; use "
    "torch.nn.parallel.DistributedDataParallel(TiedModel(model))"
)


class TiedModel(nn.Module):
    """A classifier that in train mode returns ``(logits, features)`` of a single forward pass.

    The features are the input of the last linear layer (`nn.Linear`, or a 1x1 `nn.Conv2d`) of the
    classifier, recorded by a forward pre-hook. If the classifier has no linear layer, they are the
    input of the classifier. Everything else is the plain model's: parameters, buffers and children
    with their names and order, `state_dict`, attributes, and the output in eval mode. A child or
    parameter that is set here is also set in the plain model. Set other attributes on `.model`:
    here they would hide the plain model's.

    The classifier is what timm's ``get_classifier()`` returns. Without such a method it is the last
    child named fc, classifier, head or heads (torchvision), or the last layer with weights of an
    `nn.Sequential`. Pooling, norms, activations and other linear layers in it come before the
    features. If there are several heads (distilled deit, crossvit, ...), their features are
    concatenated on dim 1. docs/models.md names the layer of each kind of model in timm.

    This search goes by names and by the order of registration. The first forward pass in train mode
    with grad checks it: it is an error if another linear layer computes on what the found layer
    gives. Compiled models are not checked.

    The features are taken after the dropout that precedes the layer: a ``drop_rate`` above 0 adds
    noise to the similarity.

    With ``forward='joint'`` BatchNorm sees both views at once, as in the reference's ImageNet code.
    With ``'separate'`` it sees one view at a time and updates its running statistics once per view,
    as in the reference's Flax code. To give view 2 its own statistics and weights, convert the
    plain model first, ``timm.layers.convert_splitbn_model(model, 2)``, and use ``'joint'``.

    Not supported: `nn.DataParallel` (use DistributedDataParallel), TorchScript, and train-mode
    forward passes of one instance in two threads at once. If the classifier is replaced later
    (``reset_classifier``), the tap stays on the old one, and the next forward pass raises an error:
    make a new TiedModel then.

    Args:
        model: the plain model. It is wrapped, not copied, and keeps its train or eval mode.
        feature_module: dotted name, as in ``model.named_modules()``, of the module whose first
            positional input is the features. It replaces the search above, and the input is
            flattened from dim 1 on. With a list of names, `features` is a list, one per layer.
        forward: ``'joint'``, one forward pass of all views, or ``'separate'``, one per view.
        num_views: views of each image, at least 2.
        normalize: a `Normalize`, for models that are given uint8 images, in both modes. It is not
            a part of the plain model, nor of the state_dict.

    Raises:
        ValueError: no classifier was found, it is an Identity (timm's ``num_classes=0``), there is
            no module called `feature_module`, `forward` is unknown, or `num_views` is below 2.
        TypeError: `model` is not a module, or is an `nn.DataParallel` or a TiedModel; or an
            argument has a wrong type.

    Source: Kurtulus et al., "Tied-Augment", ICML 2023, for the choice of features; checked against
    the models of timm 1.0.31 and torchvision 0.29.
    """

    _is_replica = False  # nn.DataParallel sets it on its replicas
    _plain: nn.Module
    _normalize: Normalize | None

    def __init__(
        self,
        model: nn.Module,
        feature_module: str | Sequence[str] | None = None,
        *,
        forward: str = "joint",
        num_views: int = 2,
        normalize: Normalize | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {described(model)}")
        if isinstance(model, nn.DataParallel):
            raise TypeError(_NO_DATA_PARALLEL)
        if isinstance(model, TiedModel):
            raise TypeError("model is a TiedModel already: give TiedModel the plain model")
        check_name("forward", forward, _FORWARDS, aliases=_ALIASES)
        check_int("num_views", num_views, 2)
        if normalize is not None and not isinstance(normalize, Normalize):
            raise TypeError(f"normalize must be a Normalize, got {described(normalize)}")
        heads = find_heads(model, feature_module)
        # Both modules share one set of registries. If the plain model were a child instead, all
        # names would get a prefix, and attributes could be set in one of the two only. deepcopy and
        # pickle keep the sharing, because they keep identities within one object graph.
        self.__dict__["_plain"] = model  # nn.Module.__setattr__ would register it as a child
        self.__dict__["_normalize"] = normalize
        self._parameters = model._parameters
        self._buffers = model._buffers
        self._non_persistent_buffers_set = model._non_persistent_buffers_set
        self._modules = model._modules
        self.training = model.training
        self._num_views = num_views
        self._separate = forward == "separate"
        self._layered = feature_module is not None and not isinstance(feature_module, str)
        named = feature_module is not None
        self._warned = False
        self._heads = tuple(heads)
        self._unchecked = not named  # a named module is the caller's choice
        self._taps = [Tap(name_of(head, model), flatten=named) for head in heads]
        for tap, head in zip(self._taps, heads, strict=True):
            head.register_forward_pre_hook(tap)

    @property
    def model(self) -> nn.Module:
        """The plain model."""
        return self._plain

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # in eval mode it is the plain model's
        """Run the model once, or once per view.

        Args:
            *args: the images first. In train mode ``(2B, ...)``, view-major: all of view 1, then
                all of view 2; or ``(2, B, C, H, W)``; or a list or tuple of both views' ``(B,
                ...)`` tensors. With `num_views` V, read V for 2. In eval mode whatever the plain
                model accepts. Any dtype that the model accepts; uint8 with `normalize`.
            **kwargs: passed on to the model.

        Returns:
            In eval mode the plain model's output. In train mode, with or without grad, ``(logits,
            features)``: ``(2B, C)`` and ``(2B, D)``, view-major, in the dtype that the model
            computes (under autocast, too). `features` is a list if `feature_module` is one.
            `logits` is what the model returned, which is a tuple in some models; of a mapping, as
            in Hugging Face, it is the item ``'logits'``.

        Raises:
            TypeError: no positional argument in train mode, or the views are not tensors.
            ValueError: the number of views is wrong, or their shapes differ.
            RuntimeError: a head was not called exactly once, its input is not ``(2B, D)``, or it is
                not the last linear layer; the model is run by `nn.DataParallel`, or failed (if the
                images are integers or, in eval mode, several views, with the remedy).
        """
        if self._is_replica:
            raise RuntimeError(_NO_DATA_PARALLEL)
        if not self.training:
            if self._normalize is not None and args:
                args = (self._normalize(args[0]), *args[1:])
            try:
                return self._plain(*args, **kwargs)
            except (AttributeError, RuntimeError, TypeError) as error:
                _explain(error, args[0] if args else None)
                raise
        if not args:
            raise TypeError("in train mode TiedModel takes the images as its first argument")
        batch, rest = join_views(args[0], self._num_views), args[1:]
        if self._normalize is not None:
            batch = self._normalize(batch)
        if not self._separate:
            logits, features = self._run(batch, rest, kwargs)
        else:
            views = _split_views(batch, self._num_views)
            parts = [self._run(view, rest, kwargs) for view in views]
            logits = _concatenate([part[0] for part in parts])
            features = [
                torch.cat(layer) for layer in zip(*(part[1] for part in parts), strict=True)
            ]
        if not self._warned:
            names = [tap.name for tap in self._taps]
            self._warned = warn_of_constants(logits, features, names)
        if self._layered:
            return logits, features
        return logits, features[0] if len(features) == 1 else torch.cat(features, dim=1)

    def _run(
        self, batch: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, list[Tensor]]:
        """Run the plain model; return its logits and the features of each tap."""
        if self._unchecked and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            with LastLayerCheck(self._plain, self._heads) as check:
                output, features = self._run_tapped(batch, args, kwargs)
            check.finish()
            self._unchecked = False
        else:
            output, features = self._run_tapped(batch, args, kwargs)
        # Hugging Face's ModelOutput is a dict.
        return output["logits"] if isinstance(output, Mapping) else output, features

    def _run_tapped(
        self, batch: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, list[Tensor]]:
        for tap in self._taps:
            tap.open()
        try:
            try:
                output = self._plain(batch, *args, **kwargs)
            except RuntimeError as error:
                _explain(error, batch)
                raise
            return output, [tap.features() for tap in self._taps]
        finally:
            for tap in self._taps:
                tap.close()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TiedModel:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._normalize is not None:
            self._normalize._apply(fn)
        return self

    def train(self, mode: bool = True) -> TiedModel:
        """Set the mode of this and of the plain model."""
        self.training = mode
        self._plain.train(mode)
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the plain model's state_dict, its hooks and version metadata included."""
        return self._plain.state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        # load_state_dict, also a parent's, calls this for the module's own parameters.
        self._plain._load_from_state_dict(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Return the plain model's attribute, such as ``default_cfg``, if this module has none."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "_plain" not in self.__dict__:  # while unpickling
                raise
            return getattr(self._plain, name)

    def extra_repr(self) -> str:
        """Name the plain model and the tapped modules."""
        taps = ", ".join(repr(tap.name) for tap in self._taps)
        separate = ", forward='separate'" if self._separate else ""
        normalize = "" if self._normalize is None else f", normalize={self._normalize}"
        return f"{type(self._plain).__name__}, features=input of {taps}{separate}{normalize}"


def join_views(images: Tensor | Sequence[Tensor], num_views: int) -> Tensor:
    """Make one view-major batch ``(V * B, ...)`` of the views.

    Args:
        images: ``(V, B, C, H, W)``, or a list or tuple of V tensors of one shape; a tensor that is
            not 5-D is returned unchanged.
        num_views: V.

    Raises:
        TypeError: neither a tensor nor a list of tensors.
        ValueError: the number of views is wrong, or their shapes differ.
    """
    if isinstance(images, Tensor):
        if images.ndim != 5:
            return images
        if images.shape[0] != num_views:
            raise ValueError(
                f"5-D images must be ({num_views}, B, C, H, W), views first, got "
                f"{tuple(images.shape)}"
            )
        return images.flatten(0, 1)
    if not isinstance(images, list | tuple) or not all(isinstance(v, Tensor) for v in images):
        raise TypeError(
            f"images must be a tensor, or a list of one tensor per view, got {_describe(images)}"
        )
    shapes = [tuple(view.shape) for view in images]
    if len(shapes) != num_views or len(set(shapes)) != 1:
        raise ValueError(f"images must be {num_views} views of one shape, got the shapes {shapes}")
    return torch.cat(list(images))


def _explain(error: Exception, images: object) -> None:
    """Raise an error with the remedy if the model probably failed because of what it was given.

    That is integer images, or in eval mode, where views are not joined, several views. Neither is
    refused before: a model may normalise its images itself, or take lists.
    """
    if isinstance(error, _OUT_OF_MEMORY):
        return
    if _is_views(images):
        raise RuntimeError(
            "the model failed on several views, which TiedModel joins in train mode only: call "
            f".train() to get (logits, features), or give it one view. The model's error: {error}"
        ) from error
    if isinstance(images, Tensor) and images.ndim == 4 and not images.is_floating_point():
        raise RuntimeError(
            f"the model failed on images of {images.dtype}: {error}. Unless it normalises them "
            "itself, give it floats: TiedModel(..., normalize=Normalize(mean, std)), or "
            "TiedLoader(..., output='float32')"
        ) from error


def _is_views(images: object) -> bool:
    if isinstance(images, Tensor):
        return images.ndim == 5
    if not isinstance(images, list | tuple) or len(images) < 2:
        return False
    return all(isinstance(view, Tensor) for view in images)


def _split_views(batch: Tensor, num_views: int) -> tuple[Tensor, ...]:
    if batch.shape[0] == 0 or batch.shape[0] % num_views:
        raise ValueError(
            f"images must have {num_views}B rows, all of view 1 first, got {batch.shape[0]} rows"
        )
    return batch.chunk(num_views)


def _concatenate(outputs: list[Any]) -> Any:
    """Concatenate the outputs of all views: tensors, or lists and tuples of such."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return torch.cat(outputs)
    if isinstance(first, list | tuple):
        parts = [_concatenate(list(same)) for same in zip(*outputs, strict=True)]
        # A namedtuple takes its fields as separate arguments.
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    raise TypeError(
        f"forward='separate' can't join outputs of type {type(first).__name__}; use 'joint'"
    )


def _describe(images: object) -> str:
    if not isinstance(images, list | tuple):
        return type(images).__name__
    return f"{type(images).__name__} of " + ", ".join(type(view).__name__ for view in images)
