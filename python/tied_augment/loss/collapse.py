"""The watch for collapsed features.

A weight that is too large shrinks all features to a point: the similarity falls to 0 and accuracy
with it, while the loss looks healthy. The watch compares the features' spread over the batch with
what it was at first, and warns once.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

EVERY = 100  # calls between two looks: one device sync each
NEAR_ZERO = 0.01  # of the spread at the start


def spread(features: Sequence[Tensor]) -> Tensor:
    """Root mean square distance of the rows from their mean, per element: ``(layers,)``."""
    return torch.stack(
        [layer.detach().float().var(dim=0, unbiased=False).mean().sqrt() for layer in features]
    )


def readable(value: Tensor) -> bool:
    """Whether `value` can be read here: not while a graph is traced, faked or captured."""
    if torch.compiler.is_compiling():
        return False
    if type(value) is not Tensor or torch._C._len_torch_dispatch_stack() > 0:
        return False
    return not (value.is_cuda and torch.cuda.is_current_stream_capturing())


class CollapseWatch:
    """Remembers the first spread and says, once, when it has all but gone."""

    def __init__(self) -> None:
        self._start: Tensor | None = None
        self._calls = 0
        self._warned = False

    def due(self) -> bool:
        """Count a call: whether to look at this one."""
        self._calls += 1
        return (self._calls - 1) % EVERY == 0

    def relative(self, features: Sequence[Tensor]) -> Tensor:
        """The layers' least spread, relative to the first call's: a scalar, not read."""
        now = spread(features)
        if self._start is None or self._start.shape != now.shape:
            self._start = now
        self._start = self._start.to(now.device)
        return (now / self._start).amin()

    def look(self, relative: Tensor) -> None:
        """Read the value, which waits for the device, and warn if it is near zero."""
        if self._warned:
            return
        value = relative.item()
        if value < NEAR_ZERO:  # False for NaN, which is another trouble and shows in the loss
            self._warned = True
            warnings.warn(
                f"the features have collapsed: their spread over the batch is {value:.2g} of what "
                "it was at first. Lower tied_weight (try a tenth), let it rise with "
                "Schedule('warmup', ...), or use similarity='cosine' or 'vicreg'; see 'Choosing a "
                "weight' in docs/loss.md",
                RuntimeWarning,
                stacklevel=3,
            )
