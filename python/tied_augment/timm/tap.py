"""The features of a plain model that is not wrapped.

Lives here: `FeatureTap`, which records the input of a model's last linear layer, and
`forward_separately`. Neither may ever add a parameter, buffer or state_dict key to the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tied_augment.tap import LastLayerCheck, Tap, find_heads, name_of

__all__ = ["FeatureTap", "forward_separately"]


class FeatureTap:
    """Records the features of each training forward pass of a model, for the loss to take once.

    As in `TiedModel`, the features are the input of the last linear layer of the classifier. The
    model is not wrapped: train.py, DistributedDataParallel, EMA, torch.compile and checkpoints get
    the plain model. Copies of the model (EMA) are not recorded, nor are forward passes in eval mode
    or without grad. The first forward pass is checked by `LastLayerCheck`.

    Args:
        model: the plain model, to which forward pre-hooks are added.
        feature_module: as in `TiedModel`.
        forwards: the number of forward passes between two calls of `take`.

    Raises:
        ValueError, TypeError: as in `TiedModel`.
    """

    def __init__(
        self,
        model: nn.Module,
        feature_module: str | Sequence[str] | None = None,
        forwards: int = 1,
    ) -> None:
        heads = find_heads(model, feature_module)
        self._layered = feature_module is not None and not isinstance(feature_module, str)
        named = feature_module is not None
        self._taps = [_TrainingTap(name_of(head, model), named, forwards) for head in heads]
        for tap, head in zip(self._taps, heads, strict=True):
            tap.open()
            head.register_forward_pre_hook(tap)
        # A named module is the caller's choice.
        self._check = None if named else LastLayerCheck(model, heads).__enter__()

    @property
    def names(self) -> list[str]:
        """The names of the tapped modules."""
        return [tap.name for tap in self._taps]

    def take(self) -> Tensor | list[Tensor]:
        """Return the features of the latest forward pass, and forget them.

        Returns:
            ``(V * B, D)``; a list with one per module if `feature_module` is a list.

        Raises:
            RuntimeError: as in the forward pass of `TiedModel`.
        """
        features = [tap.take() for tap in self._taps]
        if self._check is not None and not torch.compiler.is_compiling():
            self._check.finish()
            self._check.__exit__()
            self._check = None
        if self._layered:
            return features
        return features[0] if len(features) == 1 else torch.cat(features, dim=1)


class _TrainingTap(Tap):
    """A tap that records training forward passes; open from the start. Its copies are closed."""

    def __init__(self, name: str, flatten: bool, forwards: int) -> None:
        super().__init__(name, flatten=flatten)
        self._forwards = forwards

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if module.training and torch.is_grad_enabled():
            super().__call__(module, args)

    def __deepcopy__(self, memo: dict[int, Any]) -> _TrainingTap:
        return _TrainingTap(self.name, self.flatten, self._forwards)

    def take(self) -> Tensor:
        inputs = self.inputs or []
        if not inputs:
            raise RuntimeError(
                f"{self.name!r} was called 0 times in a training forward: features are recorded in "
                "train mode and with grad only; to evaluate, call the model itself"
            )
        if self._forwards > 1 and len(inputs) == self._forwards:
            self.inputs = [torch.cat(inputs)]
        try:
            return self.features()
        finally:
            self.open()


def forward_separately(model: nn.Module, num_views: int) -> None:
    """Make `model` run the views one after the other in training, so that BatchNorm does.

    The model's class is replaced by a subclass of it. A wrapper would change the state_dict, and a
    function in the instance would be copied into the EMA model.
    """
    kind = type(model)
    attributes = {"__module__": kind.__module__, "_tied_views": num_views}
    model.__class__ = type(kind.__name__, (_SeparateForwards, kind), attributes)


class _SeparateForwards:
    training: bool
    _tied_views: int

    def forward(self, images: Tensor, *args: Any, **kwargs: Any) -> Any:
        run = super().forward  # type: ignore[misc]
        if not (self.training and torch.is_grad_enabled()):
            return run(images, *args, **kwargs)
        outputs = [run(view, *args, **kwargs) for view in images.chunk(self._tied_views)]
        if isinstance(outputs[0], Tensor):
            return torch.cat(outputs)
        # Distilled models return one tensor of logits for each head.
        return tuple(torch.cat(heads) for heads in zip(*outputs, strict=True))
