"""Two views of every image, and `decode`.

Lives here: `TwoView` and `decode`, thin and typed over the Rust core. May import numpy, the core
and `View`. Draws nothing and touches no pixels itself, and never needs torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core
from tied_augment.view import Pixels, Plan, Sample, View, Views, number

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Plan", "TwoView", "View", "decode"]

Buffer = TypeVar("Buffer", NDArray[np.uint8], "Tensor")


@dataclass(frozen=True)
class TwoView(Views):
    """Two views of every image, made from one decode.

    A value, as `View` is. View 0 is made by `first`, view 1 by `second`.

    Args:
        first: the first view.
        second: the second view, of the same size; None for another draw of `first`.
        same_crop: give the second view the crop, filter and flips of the first, as timm's
            `AugMixDataset` does.
        max_pixels: refuse larger image files; None for Pillow's limit of 178,956,970 pixels. Does
            not apply to PIL images and arrays, whose pixels exist already.

    Raises:
        ValueError: views of different sizes.
        TypeError: a view that is none.
    """

    first: View
    second: View = None  # type: ignore[assignment]  # __post_init__ makes it `first`
    same_crop: bool = False
    max_pixels: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.second is None:
            object.__setattr__(self, "second", self.first)
        for name in ("first", "second"):
            if not isinstance(getattr(self, name), View):
                kind = type(getattr(self, name)).__name__
                raise TypeError(f"{name} must be a View, got {kind}")
        if self.max_pixels is not None:
            object.__setattr__(self, "max_pixels", number("max_pixels", self.max_pixels, 64, low=1))
        _ = self._pipeline

    @cached_property
    def _pipeline(self) -> _core.Pipeline:
        views = cast("list[_core._View]", [self.first, self.second])
        return _core.Pipeline(views, bool(self.same_crop), self.max_pixels)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of both views."""
        return cast("tuple[int, int]", self.first.size)

    def plan(
        self, shape: tuple[int, int], index: int = 0, epoch: int = 0, seed: int = 0
    ) -> list[Plan]:
        """Decide both views of an image of (height, width) `shape`; see `View.plan`."""
        return self._plans(shape, index, epoch, seed, 0)

    def __call__(self, sample: Sample, index: int = 0, epoch: int = 0, seed: int = 0) -> Pixels:
        """Make both views of one sample: ``(2, 3, height, width)`` uint8.

        Args:
            sample: an image file's bytes or path, a PIL image, or an ``(H, W, 3)`` uint8 array.
            index: the sample's index in its data set, 0 to 2**64 - 1.
            epoch: 0 to 2**32 - 1.
            seed: the run's seed, 0 to 2**64 - 1.

        Raises:
            OSError: the file can't be read (`FileNotFoundError`, ...).
            DecodeError: the file is not an image, broken, beyond `max_pixels` or too long and thin
                for the view. An OSError too.
            TypeError: `sample` is nothing of the above.
            ValueError: a number out of its range, or an image too small for ``crop='pad'``.
        """
        out = np.empty((2, 1, 3, *self.size), np.uint8)
        self._run([sample], [number("index", index, 64)], (epoch, seed, 0), 1, out)
        pixels: Pixels = out[:, 0]
        return pixels

    def batch(
        self,
        samples: Sequence[Sample],
        indices: Sequence[int] | NDArray[np.integer[Any]] | None = None,
        epoch: int = 0,
        seed: int = 0,
        threads: int | None = None,
        out: Buffer | None = None,
    ) -> Buffer | Pixels:
        """Make both views of B samples, in parallel and without the GIL.

        The result does not depend on `threads`, on the order of the samples or on how they are
        split into batches: only on each sample, its index, `epoch`, `seed` and this `TwoView`.

        Args:
            samples: as `__call__` takes them, in any mix. Don't change them meanwhile.
            indices: their B indices in the data set; None for 0 to B - 1.
            epoch: 0 to 2**32 - 1.
            seed: the run's seed, 0 to 2**64 - 1.
            threads: how many threads to use, 1 being the calling one; None for one per core that
                this process may use.
            out: where to write: a C-contiguous, writable uint8 numpy array or CPU tensor of shape
                ``(2, B, 3, height, width)``; None for a new array. After an error its content is
                unspecified.

        Returns:
            `out`, view-major: ``out[v, b]`` is view v of sample b.

        Raises:
            ValueError: `out` or `indices` of another shape or kind.
            OSError, DecodeError, TypeError, ValueError: as `__call__`, for the first sample that
                failed, with its path or position.
        """
        if out is None:
            pixels = np.empty((2, len(samples), 3, *self.size), np.uint8)
            self._run(samples, indices, (epoch, seed, 0), threads, pixels)
            return pixels
        self._run(samples, indices, (epoch, seed, 0), threads, _as_array(out))
        return out


def decode(sample: Sample, max_pixels: int | None = None) -> Pixels:
    """Decode one sample to ``(H, W, 3)`` uint8, as ``PIL.Image.open(sample).convert('RGB')`` does.

    Args:
        sample: as in `TwoView.__call__`.
        max_pixels: as in `TwoView`.

    Raises:
        OSError, DecodeError, TypeError: as `TwoView.__call__`.
    """
    if max_pixels is not None:
        max_pixels = number("max_pixels", max_pixels, 64, low=1)
    return _core.decode(sample, max_pixels)


def _as_array(out: object) -> NDArray[np.uint8]:
    """The memory of a CPU tensor as an array; anything else is left to the core's checks."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(out, torch.Tensor):
        return cast("NDArray[np.uint8]", out)
    if out.device.type != "cpu":
        raise ValueError(f"out must be in CPU memory, got a tensor on {out.device}")
    return cast("NDArray[np.uint8]", out.detach().numpy())
