"""`TiedTask`, and the same for any other task of ``timm.task``.

Lives here: what a task of timm needs besides a `TiedCriterion`. It works with every release that
has ``timm.task`` (1.0.23 and later), because it uses only the methods of a task, its ``criterion``
and its ``device``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tied_augment.loss import TiedLoss
from tied_augment.model import TiedModel, join_views
from tied_augment.timm.criterion import PARTS, TiedCriterion
from tied_augment.timm.tap import FeatureTap

try:
    from timm.task import ClassificationTask
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("timm"):
        raise
    raise ImportError(
        "TiedTask needs timm.task: pip install 'timm>=1.0.24'; with an older one use TiedModel"
    ) from error

__all__ = ["TiedTask", "tied"]


class _ReportsParts:
    """The part that all tied tasks share; the other base class is a task of timm.

    The criterion must be a `TiedCriterion`.
    """

    criterion: TiedCriterion
    device: torch.device

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:  # noqa: A002
        """Run timm's task on a batch of V views, `num_views` of the loss.

        Args:
            input: floating images: ``(V * B, C, H, W)``, view-major; ``(V, B, C, H, W)``; or a list
                or tuple of the views' ``(B, C, H, W)``.
            target: as `TiedCriterion.forward` takes it.

        Returns:
            timm's result, and the parts of the tied loss, detached.

        Raises:
            RuntimeError: in eval mode or without grad, where features are not recorded.
            TypeError, ValueError: the images or targets are wrong.
        """
        images = join_views(input, self.criterion.loss.num_views)
        if not images.is_floating_point():
            raise TypeError(
                f"images must be floating, got {images.dtype}: normalise them, "
                "Normalize(mean, std)(images), or let the loader do it"
            )
        result: dict[str, Tensor] = super().forward(images, target)  # type: ignore[misc]
        return result | {name: self.criterion.last[name] for name in PARTS}

    def prepare_distributed(self, device_ids: list[Any] | None = None, **options: Any) -> Any:
        """Call timm's method; on a CPU without `device_ids`, which torch refuses there."""
        if self.device.type == "cpu":
            device_ids = None
        return super().prepare_distributed(device_ids=device_ids, **options)  # type: ignore[misc]


class TiedTask(_ReportsParts, ClassificationTask):  # type: ignore[misc]
    """timm's ``ClassificationTask`` for batches of two or more views.

    The model stays the plain one: the optimizer, EMA, DistributedDataParallel, torch.compile and
    checkpoints are not affected. In a loop like timm's::

        task = TiedTask(model, TiedLoss(SoftTargetCrossEntropy(), tied_weight=1.0), device=device)
        result = task(images, target)  # images (2B, C, H, W): all of view 1, then all of view 2
        result["loss"].backward()

    Args:
        model: any plain model that `TiedModel` takes.
        loss: a `TiedLoss`, whose `num_views` says how many views a batch has; None for
            ``TiedLoss()``, which ties two.
        feature_module: as in `TiedModel`.
        device: of timm's task.
        dtype: of timm's task.
        verbose: as in timm's task.

    Raises:
        ValueError, TypeError: as in `TiedModel`.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: TiedLoss | None = None,
        feature_module: str | Sequence[str] | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = True,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        if isinstance(model, TiedModel):
            raise TypeError("model is a TiedModel: give TiedTask the plain model, tied.model")
        if loss is not None and not isinstance(loss, TiedLoss):
            raise TypeError(
                f"loss must be a TiedLoss, got {type(loss).__name__}: TiedLoss(criterion, ...) has "
                "your criterion in it, TiedLoss(similarity=...) your similarity"
            )
        device = None if device is None else torch.device(device)
        tap = FeatureTap(model, feature_module)
        criterion = TiedCriterion(TiedLoss() if loss is None else loss, tap)
        super().__init__(
            model=model, criterion=criterion, device=device, dtype=dtype, verbose=verbose
        )


def tied(task_class: type[Any]) -> type[Any]:
    """A subclass of one of timm's tasks, which must be given a `TiedCriterion`."""
    return type(f"Tied{task_class.__name__}", (_ReportsParts, task_class), {})
