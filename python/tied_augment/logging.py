"""`TiedLogger`: the curves of a `TiedLoss` and pictures of the views, in TensorBoard or wandb.

Neither is imported here: a logger writes to what the training loop has made already. May import
torch; Pillow is imported for the pictures only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tied_augment.arguments import check_unsigned, described
from tied_augment.dataset import TiedDataset
from tied_augment.items import item_of
from tied_augment.loader import TiedLoader
from tied_augment.loader.data import is_stream, within
from tied_augment.loss import TiedLoss
from tied_augment.sources import reader_of
from tied_augment.two_view import decode

if TYPE_CHECKING:
    from tied_augment.view import View
    from tied_augment.views import Views

__all__ = ["CURVES", "TiedLogger"]

# The curves, by the names in `TiedLoss.last`.
CURVES = {
    "ce": "tied/classification",
    "similarity": "tied/similarity",
    "loss": "tied/total",
    "tied_weight": "tied/weight",
    "cosine": "tied/cosine",
    "feature_norm": "tied/feature_norm",
    "spread": "tied/spread",
}
_SHEET, _STEP = "tied/views", "tied/step"


class TiedLogger:
    """Logs the curves of a `TiedLoss`, and sheets of views, at intervals.

    ::

        logger = TiedLogger(criterion, SummaryWriter("runs/tied"), loader)
        for step, ((first, second), target) in enumerate(loader):
            ...
            logger.log(step)

    The curves are ``tied/classification``, ``tied/similarity``, ``tied/total`` and ``tied/weight``,
    and as measures of a collapse ``tied/cosine``, ``tied/feature_norm`` and ``tied/spread``: all of
    `TiedLoss.last`. They are those of this process. A sheet, ``tied/views``, has the same images
    each time, with the crops, views and plans of the current epoch. In wandb the curves have the
    x-axis ``tied/step``, so that they go with what else the loop logs.

    Args:
        criterion: the loss.
        to: a ``torch.utils.tensorboard.SummaryWriter``, or what ``wandb.init`` returned; None to
            log nothing, as in all processes but the first.
        source: the `TiedLoader` or `TiedDataset` whose images to draw, or a loader around one of
            them; None for curves only. Needs Pillow.
        every: steps between two points of the curves. Reading the values waits for the device.
        sheet_every: steps between two sheets.
        images: how many images a sheet has.

    Raises:
        TypeError: an argument of another type.
        ValueError: a number below 1, or a `source` that is a stream, whose images can't be asked
            for by index.
    """

    def __init__(
        self,
        criterion: TiedLoss,
        to: Any,
        source: Any = None,
        *,
        every: int = 50,
        sheet_every: int = 1000,
        images: int = 4,
    ) -> None:
        if not isinstance(criterion, TiedLoss):
            raise TypeError(f"criterion must be a TiedLoss, got {described(criterion)}")
        self._criterion = criterion
        self._to = _target(to)
        self._source = None if source is None else _source(source)
        self.every = check_unsigned("every", every, 32, least=1)
        self.sheet_every = check_unsigned("sheet_every", sheet_every, 32, least=1)
        self.images = check_unsigned("images", images, 16, least=1)

    def log(self, step: int) -> None:
        """Log what is due at this step. To be called after the loss of the step.

        Args:
            step: the number of the step in the whole run, from 0.

        Raises:
            RuntimeError: the criterion has not been called yet.
        """
        step = check_unsigned("step", step, 63)
        if step % self.every == 0:
            self.curves(step, self._criterion.last)
        if step % self.sheet_every == 0:
            self.sheet(step)

    def curves(self, step: int, parts: Mapping[str, Tensor]) -> None:
        """Log a point of each curve.

        Args:
            step: the number of the step.
            parts: scalars, by the names of `TiedLoss.last`.

        Raises:
            RuntimeError: `parts` is empty: the criterion has not been called yet.
        """
        if self._to is None:
            return
        if not parts:
            raise RuntimeError("the criterion has no values yet: log a step after its loss")
        names = [name for name in CURVES if name in parts]
        # One read of the device for all.
        values = torch.stack([parts[name].detach().float() for name in names]).tolist()
        points = {CURVES[name]: value for name, value in zip(names, values, strict=True)}
        self._to.points(points, step)

    def sheet(self, step: int, epoch: int | None = None) -> None:
        """Draw a sheet of views. Images that can't be read are left out.

        Args:
            step: the number of the step.
            epoch: the epoch of the views; None for the one that the source is in, or 0 for a
                `TiedDataset` before its `set_epoch`.
        """
        if self._to is None or self._source is None:
            return
        picture = _sheet(self._source, self.images, epoch)
        if picture is not None:
            self._to.picture(picture, step)


# --- where to


class _Target(Protocol):
    def points(self, points: dict[str, float], step: int) -> None: ...

    def picture(self, picture: NDArray[np.uint8], step: int) -> None: ...


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def points(self, points: dict[str, float], step: int) -> None:
        for name, value in points.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, picture: NDArray[np.uint8], step: int) -> None:
        self._writer.add_image(_SHEET, picture, step, dataformats="HWC")


class _WandB:
    """A run, or the module itself, with its current run.

    wandb's own step must never fall, and the loop may count otherwise: so ours is a metric.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        run.define_metric(_STEP, hidden=True)
        run.define_metric("tied/*", step_metric=_STEP)

    def points(self, points: dict[str, float], step: int) -> None:
        self._run.log({**points, _STEP: step})

    def picture(self, picture: NDArray[np.uint8], step: int) -> None:
        import wandb

        self._run.log({_SHEET: wandb.Image(picture), _STEP: step})


def _target(to: Any) -> _Target | None:
    if to is None:
        return None
    if hasattr(to, "add_scalar") and hasattr(to, "add_image"):
        return _TensorBoard(to)
    if hasattr(to, "define_metric") and hasattr(to, "log"):
        return _WandB(to)
    raise TypeError(
        "to must be a SummaryWriter of torch.utils.tensorboard, a wandb run or None, got "
        f"{described(to)}"
    )


# --- where from


def _source(source: Any) -> TiedLoader | TiedDataset:
    """The loader or data set in `source`, which may be a DataLoader or timm's PrefetchLoader."""
    for inner in (source, getattr(source, "loader", None), getattr(source, "dataset", None)):
        if isinstance(inner, (TiedLoader, TiedDataset)):
            dataset = within(inner.dataset)
            if is_stream(dataset):
                raise ValueError(
                    f"source reads {type(dataset).__name__}, whose images can't be asked for by "
                    "index: leave source out, for curves only"
                )
            return inner
    raise TypeError(f"source must be a TiedLoader or a TiedDataset, got {described(source)}")


def _sheet(
    source: TiedLoader | TiedDataset, count: int, epoch: int | None
) -> NDArray[np.uint8] | None:
    """A contact sheet, ``(H, W, 3)``; None if no image can be read."""
    from tied_augment.sheet import contact_sheet, headline, make_row

    views: Views | View = source.views[0] if isinstance(source, TiedLoader) else source.views
    epoch = (source.epoch or 0) if epoch is None else epoch
    dataset = within(source.dataset)
    read = reader_of(dataset)
    count = min(count, len(dataset))
    rows = []
    for index in (number * len(dataset) // count for number in range(count)):
        try:
            item = item_of(index, read(index))
            pixels = decode(item.image)
        except OSError:  # as the loader may skip it
            continue
        caption = [f"index {index}", f"{pixels.shape[1]} x {pixels.shape[0]} pixels"]
        rows.append(make_row(views, pixels, caption, index, epoch, source.seed))
    if not rows:
        return None
    columns = 2 if len(rows) % 2 == 0 and len(rows[0].views) <= 2 else 1
    title = headline(views, source.seed, range(epoch, epoch + 1))
    return np.asarray(contact_sheet(rows, title, columns))
