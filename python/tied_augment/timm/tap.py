"""The features of a model that nobody wraps.

Lives here: `FeatureTap`, which records what goes into a plain model's last linear layer, and
`forward_separately`. It must never add a parameter, buffer or state_dict key to the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tied_augment.tap import Tap, find_heads, name_of

__all__ = ["FeatureTap", "forward_separately"]


class FeatureTap:
    """Records the features of every training forward of a model, to be taken once by the loss.

    As in `TiedModel` the features are the input of the last linear layer of the classifier, but the
    model is not wrapped: train.py, DistributedDataParallel, EMA, torch.compile and checkpoints get
    the plain one. Copies of the model (EMA) are not recorded, nor are forwards in eval mode or
    without grad.

    Args:
        model: the plain model; hooks are added to it.
        feature_module: as in `TiedModel`.
        forwards: how many forwards there are between two calls of `take`.

    Raises:
        ValueError, TypeError: as `TiedModel`.
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

    @property
    def names(self) -> list[str]:
        """The tapped modules."""
        return [tap.name for tap in self._taps]

    def take(self) -> Tensor | list[Tensor]:
        """The features of the latest forward, ``(2B, D)``, which are then forgotten.

        A list, one for each module, if `feature_module` is one.

        Raises:
            RuntimeError: as a forward of `TiedModel`.
        """
        features = [tap.take() for tap in self._taps]
        if self._layered:
            return features
        return features[0] if len(features) == 1 else torch.cat(features, dim=1)


class _TrainingTap(Tap):
    """A tap that is open from the start, for training forwards only; a copy of it is closed."""

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


def forward_separately(model: nn.Module) -> None:
    """Have `model` run each of the two views on its own in training, so that BatchNorm does.

    A subclass of the model's class is put in the place of that: a wrapper would change the
    state_dict, and a function in the instance would be copied into the EMA model.
    """
    kind = type(model)
    model.__class__ = type(
        kind.__name__, (_SeparateForwards, kind), {"__module__": kind.__module__}
    )


class _SeparateForwards:
    training: bool

    def forward(self, images: Tensor, *args: Any, **kwargs: Any) -> Any:
        run = super().forward  # type: ignore[misc]
        if not (self.training and torch.is_grad_enabled()):
            return run(images, *args, **kwargs)
        outputs = [run(view, *args, **kwargs) for view in images.chunk(2)]
        if isinstance(outputs[0], Tensor):
            return torch.cat(outputs)
        # Distilled models return one tensor of logits for each head.
        return tuple(torch.cat(heads) for heads in zip(*outputs, strict=True))
