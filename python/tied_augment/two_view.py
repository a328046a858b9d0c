"""`TwoView`: two views of every image, declared. Also `decode`.

The fields are checked here and in the Rust core, which draws the numbers and makes the pixels. This
module does not need torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core
from tied_augment.arguments import check_bool, check_unsigned, described
from tied_augment.exits import INSIDE
from tied_augment.pipeline import Indices, Pixels, Plan, Sample, Views, count_samples
from tied_augment.view import View

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Plan", "TwoView", "View", "decode"]

Buffer = TypeVar("Buffer", NDArray[np.uint8], "Tensor")


@dataclass(frozen=True, repr=False)
class TwoView(Views):
    """Two views of every image, made from one decode.

    A value, as `View` is. View 0 is made by `first`, view 1 by `second`.

    With an index the views follow from (seed, epoch, index). Without one they are drawn anew at
    every call, as a ``transform`` must: ``ImageFolder(root, transform=TwoView(View(224)))`` gives
    ``((view1, view2), target)``.

    Args:
        first: the first view.
        second: the second view, of the same size; None for another draw of `first`.
        same_crop: give the second view the crop, filter and flips of the first, as timm's
            `AugMixDataset` does. The second view's own must then be equal.
        own_flips: with `same_crop`, draw the flips of each view, as the ImageNet code of Kurtulus
            et al. 2023 does: the views share the crop and the filter.
        max_pixels: refuse larger image files; None for Pillow's limit of 178,956,970 pixels. Does
            not apply to PIL images and arrays, whose pixels exist already.

    Raises:
        ValueError: views of different sizes, `same_crop` with views that are cropped, resized or
            flipped differently, or `own_flips` without `same_crop`.
        TypeError: a view that is not a `View`, or a switch that is not a bool.
    """

    first: View
    second: View = None  # type: ignore[assignment]  # __post_init__ makes it `first`
    same_crop: bool = field(default=False, kw_only=True)
    own_flips: bool = field(default=False, kw_only=True)
    max_pixels: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.second is None:
            object.__setattr__(self, "second", self.first)
        for name in ("first", "second"):
            if not isinstance(getattr(self, name), View):
                got = described(getattr(self, name))
                raise TypeError(f"{name} must be a View, got {got}")
        check_bool("same_crop", self.same_crop)
        check_bool("own_flips", self.own_flips)
        if self.own_flips and not self.same_crop:
            raise ValueError(
                "own_flips=True has an effect with same_crop=True only: without it each view has "
                "its own flips anyway"
            )
        if self.max_pixels is not None:
            max_pixels = check_unsigned("max_pixels", self.max_pixels, 64, least=1)
            object.__setattr__(self, "max_pixels", max_pixels)
        _ = self._pipeline

    def __repr__(self) -> str:
        """Only what differs from the defaults."""
        shown = [repr(self.first), *([repr(self.second)] if self.second != self.first else [])]
        shown += [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if field.kw_only and getattr(self, field.name) != field.default
        ]
        return f"TwoView({', '.join(shown)})"

    @cached_property
    def _pipeline(self) -> _core.Pipeline:
        views = [self.first, self.second]
        return _core.Pipeline(views, self.same_crop, self.own_flips, self.max_pixels)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of both views."""
        return cast("tuple[int, int]", self.first.size)

    def plan(
        self,
        shape: tuple[int, int],
        index: int | None = None,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> list[Plan]:
        """Decide both views of an image of (height, width) `shape`; see `View.plan`."""
        return self._plans(shape, index, epoch, seed, 0)

    def __call__(
        self,
        sample: Sample,
        index: int | None = None,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> tuple[Pixels, Pixels]:
        """Make both views of one sample.

        Args:
            sample: an image file's bytes or path, a PIL image, or an ``(H, W, 3)`` uint8 array.
            index: the sample's index in its data set, 0 to 2**64 - 1. None for a new draw at every
                call, from torch's random state if torch is loaded, else from numpy's.
            epoch: 0 to 2**32 - 1; only with `index`. None for 0.
            seed: the run's seed, 0 to 2**64 - 1; only with `index`. None for 0.

        Returns:
            View 1 and view 2, ``(3, height, width)`` uint8 each.

        Raises:
            OSError: the file can't be read (`FileNotFoundError`, ...).
            DecodeError: the file is not an image, broken, beyond `max_pixels` or too long and thin
                for the view. An OSError too.
            TypeError: `sample` is none of these.
            ValueError: a number out of its range, `epoch` or `seed` without `index`, or an image
                too small for ``crop='pad'``.
        """
        out = np.empty((2, 1, 3, *self.size), np.uint8)
        self._one(sample, index, epoch, seed, 0, out)
        return out[0, 0], out[1, 0]

    def batch(
        self,
        samples: Sequence[Sample],
        indices: Indices | None = None,
        epoch: int | None = None,
        seed: int | None = None,
        threads: int | None = None,
        out: Buffer | None = None,
    ) -> Buffer | Pixels:
        """Make both views of B samples, in parallel and without the GIL.

        With `indices` the result depends on each sample, its index, `epoch`, `seed` and this
        `TwoView` only: not on `threads`, on the order of the samples or on how they are split into
        batches.

        Args:
            samples: a list of what `__call__` takes, in any mix. Don't change them meanwhile.
            indices: their B indices in the data set. None for a new draw at every call, from
                torch's random state if torch is loaded, else from numpy's.
            epoch: 0 to 2**32 - 1; only with `indices`. None for 0.
            seed: the run's seed, 0 to 2**64 - 1; only with `indices`. None for 0.
            threads: how many threads to use, including the calling one; None for one per core that
                this process may use. There are never more than views to make, nor than twice the
                cores or 64, whichever is more.
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
            pixels = np.empty((2, count_samples(samples), 3, *self.size), np.uint8)
            self._run(samples, indices, epoch, seed, 0, threads, pixels)
            return pixels
        self._run(samples, indices, epoch, seed, 0, threads, _as_array(out))
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
        max_pixels = check_unsigned("max_pixels", max_pixels, 64, least=1)
    with INSIDE:
        return _core.decode(sample, max_pixels)


def _as_array(out: object) -> NDArray[np.uint8]:
    """The memory of a CPU tensor as an array; anything else is left to the core's checks."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(out, torch.Tensor):
        return cast("NDArray[np.uint8]", out)
    if out.device.type != "cpu":
        raise ValueError(f"out must be in CPU memory, got a tensor on {out.device}")
    return cast("NDArray[np.uint8]", out.detach().numpy())
