"""The watch for collapsed features.

A weight that is too large pulls all features to one point. The similarity then falls to 0 and the
accuracy falls with it, while the loss looks healthy. The watch compares the features' spread over
the batch with the spread at the start, and warns once.

May import torch and the similarities.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from tied_augment.similarity import SIMILARITIES
from tied_augment.tracing import in_dispatch_mode

EVERY = 100  # calls between two looks, each of which waits for the device
NEAR_ZERO = 0.01  # of the spread at the start


def spread(features: Sequence[Tensor]) -> Tensor:
    """Root mean square distance of the rows from their mean, per element: ``(layers,)``."""
    return torch.stack(
        [layer.detach().float().var(dim=0, unbiased=False).mean().sqrt() for layer in features]
    )


def readable(value: Tensor) -> bool:
    """Whether `value` can be read now: not while a graph is traced, faked or captured."""
    if torch.compiler.is_compiling():
        return False
    if type(value) is not Tensor or in_dispatch_mode():
        return False
    return not (value.is_cuda and torch.cuda.is_current_stream_capturing())


class CollapseWatch:
    """Remembers the spread at the start, and warns once when almost none of it is left.

    Args:
        warns: whether to look and warn at all.
    """

    def __init__(self, warns: bool = True) -> None:
        self._warns = warns
        self._start: Tensor | None = None
        self._calls = 0

    def due(self) -> bool:
        """Count a call. Whether it is one to look at."""
        self._calls += 1
        return (self._calls - 1) % EVERY == 0

    def relative(self, features: Sequence[Tensor]) -> Tensor:
        """The spread relative to that at the start, of the layer where it is least.

        The start of a layer is the first call's spread that is finite and above 0.

        Args:
            features: one ``(rows, D)`` tensor per layer.

        Returns:
            A float32 scalar on the device of the features, which is not read.
        """
        now = spread(features)
        if self._start is None or self._start.shape != now.shape:
            self._start = now
        start = self._start.to(now.device)
        self._start = torch.where(start.isfinite() & (start > 0), start, now)
        return (now / self._start).amin()

    def look(self, relative: Tensor) -> None:
        """Read the value of `relative`, which waits for the device, and warn if it is near zero."""
        if not self._warns:
            return
        value = relative.item()
        if value < NEAR_ZERO:  # False for NaN, which is another problem and shows in the loss
            self._warns = False
            remedies = [
                repr(name) for name, entry in SIMILARITIES.items() if entry.resists_collapse
            ]
            warnings.warn(
                f"the features have collapsed: their spread over the batch is {value:.2g} of what "
                "it was at first. Lower tied_weight (try a tenth), let it rise with "
                f"Schedule('warmup', ...), or use similarity={' or '.join(remedies)}; see "
                "'Choosing a weight' in docs/loss.md",
                RuntimeWarning,
                stacklevel=3,
            )
