"""Views of images, declared: what timm and torchvision call a training transform, as plain data.

Lives here: `View`, `TwoView` and `decode`, thin and typed over the Rust core. May import numpy and
the core. Draws nothing and touches no pixels itself, and never needs torch.
"""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

__all__ = ["Plan", "TwoView", "View", "decode"]

Sample: TypeAlias = "bytes | bytearray | str | os.PathLike[str] | Image | NDArray[np.uint8]"
Pixels: TypeAlias = NDArray[np.uint8]
Buffer = TypeVar("Buffer", NDArray[np.uint8], "Tensor")


class Plan(TypedDict):
    """One view of one image, decided.

    Attributes:
        crop: the part of the image that is seen: (x, y, w, h) in pixels. With ``crop='pad'`` it may
            reach outside the image, where black is seen.
        interpolation: the resize filter; None with ``crop='pad'``, which doesn't resize.
        hflip: whether left and right are exchanged.
        vflip: whether top and bottom are exchanged.
        ops: what is done, in order: pairs of a name and its arguments.
    """

    crop: tuple[int, int, int, int]
    interpolation: str | None
    hflip: bool
    vflip: bool
    ops: list[tuple[str, dict[str, Any]]]


class _Views:
    """What `View` and `TwoView` share: a pipeline of the core that follows from their fields."""

    @cached_property
    def _pipeline(self) -> _core.Pipeline:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_pipeline"}

    def _plans(
        self, shape: tuple[int, int], index: int, epoch: int, seed: int, view: int
    ) -> list[Plan]:
        height, width = shape
        sides = (_number("height", height, 32), _number("width", width, 32))
        plans = self._pipeline.plan(sides, *_key(index, epoch, seed, view))
        return cast("list[Plan]", plans)

    def _run(
        self,
        samples: Sequence[Sample],
        indices: Sequence[int] | NDArray[np.integer[Any]] | None,
        key: tuple[int, int, int],
        threads: int | None,
        out: NDArray[np.uint8],
    ) -> None:
        samples = list(samples)
        epoch, seed, view = key
        _, epoch, seed, view = _key(0, epoch, seed, view)
        if threads is not None:
            threads = _number("threads", threads, 16, low=1)
        self._pipeline.run(
            samples, _indices(indices, len(samples)), epoch, seed, view, threads, out
        )


@dataclass(frozen=True)
class View(_Views):
    """One augmented view: a random crop, resized, and flips, equal to what timm and Pillow make.

    A value: immutable, comparable, hashable, picklable. All randomness follows from the arguments
    (index, epoch, seed, view) of a call and nothing else.

    Args:
        size: side of the square output, or (height, width), in pixels, up to 32768.
        scale: bounds of the crop's area as a fraction of the image's, in (0, 1].
        ratio: bounds of the crop's aspect ratio, width over height.
        interpolation: ``'random'`` (bilinear or bicubic, with equal chances, as in timm),
            ``'nearest'``, ``'box'``, ``'bilinear'``, ``'hamming'``, ``'bicubic'`` or ``'lanczos'``;
            all antialiased as in Pillow.
        hflip: probability of a left-right flip.
        vflip: probability of a top-bottom flip.
        crop: ``'rrc'``, timm's random resized crop, or ``'pad'``, a crop of `size` from the image
            padded with black, as in CIFAR recipes, which uses neither `scale` nor `ratio` nor
            `interpolation`.
        padding: pixels of black on each side for ``crop='pad'``.

    Raises:
        ValueError: a value out of its range.
        TypeError: a value of the wrong type.

    Source: ``RandomResizedCropAndInterpolation`` of timm 1.0 and ``RandomCrop`` of torchvision.
    """

    size: int | tuple[int, int] = 224
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "random"
    hflip: float = 0.5
    vflip: float = 0.0
    crop: Literal["rrc", "pad"] = "rrc"
    padding: int = 4

    def __post_init__(self) -> None:
        size = self.size if isinstance(self.size, Sequence) else (self.size, self.size)
        height, width = _pair("size", size)
        self._set("size", (_number("size", height, 32), _number("size", width, 32)))
        for name in ("scale", "ratio"):
            low, high = _pair(name, getattr(self, name))
            self._set(name, (float(low), float(high)))
        self._set("hflip", float(self.hflip))
        self._set("vflip", float(self.vflip))
        self._set("padding", _number("padding", self.padding, 32))
        _ = self._pipeline  # the core checks the rest

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def filters(self) -> tuple[str, ...]:
        """The resize filters that are drawn from, with equal chances."""
        return ("bilinear", "bicubic") if self.interpolation == "random" else (self.interpolation,)

    @cached_property
    def _pipeline(self) -> _core.Pipeline:
        return _core.Pipeline([cast("_core._View", self)], False, None)

    def plan(
        self,
        shape: tuple[int, int],
        index: int = 0,
        epoch: int = 0,
        seed: int = 0,
        view: int = 0,
    ) -> Plan:
        """Decide this view of an image, without touching one.

        Args:
            shape: (height, width) of the image in pixels.
            index: the image's index in its data set, 0 to 2**64 - 1.
            epoch: 0 to 2**32 - 1.
            seed: the run's seed, 0 to 2**64 - 1.
            view: the view's number, 0 to 65535: the second view of a `TwoView` is number 1.

        Raises:
            ValueError: a number out of its range, or an image too small for ``crop='pad'``.
        """
        return self._plans(shape, index, epoch, seed, view)[0]

    def __call__(
        self, sample: Sample, index: int = 0, epoch: int = 0, seed: int = 0, view: int = 0
    ) -> Pixels:
        """Make this view of one sample: ``(3, height, width)`` uint8.

        Arguments and errors as in `TwoView.__call__` and `plan`.
        """
        height, width = cast("tuple[int, int]", self.size)
        out = np.empty((1, 1, 3, height, width), np.uint8)
        self._run([sample], [_number("index", index, 64)], (epoch, seed, view), 1, out)
        pixels: Pixels = out[0, 0]
        return pixels

    def batch(
        self,
        samples: Sequence[Sample],
        indices: Sequence[int] | NDArray[np.integer[Any]] | None = None,
        epoch: int = 0,
        seed: int = 0,
        threads: int | None = None,
        view: int = 0,
    ) -> Pixels:
        """Make this view of B samples: ``(B, 3, height, width)`` uint8.

        Arguments and errors as in `TwoView.batch` and `plan`.
        """
        height, width = cast("tuple[int, int]", self.size)
        out = np.empty((1, len(samples), 3, height, width), np.uint8)
        self._run(samples, indices, (epoch, seed, view), threads, out)
        pixels: Pixels = out[0]
        return pixels


@dataclass(frozen=True)
class TwoView(_Views):
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
            object.__setattr__(
                self, "max_pixels", _number("max_pixels", self.max_pixels, 64, low=1)
            )
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
            DecodeError: the file is no image, broken, or beyond `max_pixels`. An OSError too.
            TypeError: `sample` is nothing of the above.
            ValueError: a number out of its range, or an image too small for ``crop='pad'``.
        """
        out = np.empty((2, 1, 3, *self.size), np.uint8)
        self._run([sample], [_number("index", index, 64)], (epoch, seed, 0), 1, out)
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
        max_pixels = _number("max_pixels", max_pixels, 64, low=1)
    return _core.decode(sample, max_pixels)


def _number(name: str, value: object, bits: int, low: int = 0) -> int:
    """`value` as an unsigned integer of so many bits, whatever integer type it has."""
    try:
        number = operator.index(cast("int", value))
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if not low <= number < 1 << bits:
        raise ValueError(f"{name} must be from {low} to 2**{bits} - 1, got {number}")
    return number


def _key(index: int, epoch: int, seed: int, view: int) -> tuple[int, int, int, int]:
    return (
        _number("index", index, 64),
        _number("epoch", epoch, 32),
        _number("seed", seed, 64),
        _number("view", view, 16),
    )


def _pair(name: str, value: object) -> tuple[Any, Any]:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return value[0], value[1]
    raise ValueError(f"{name} must be a pair, got {value!r}")


def _indices(
    indices: Sequence[int] | NDArray[np.integer[Any]] | None, count: int
) -> NDArray[np.uint64]:
    if indices is None:
        return np.arange(count, dtype=np.uint64)
    array = np.asarray(indices)
    if array.shape != (count,):
        raise ValueError(f"indices must be {count} numbers, one a sample, got shape {array.shape}")
    if count and (array.dtype.kind not in "ui" or array.min() < 0):
        raise ValueError(f"indices must be integers from 0 up, got {array!r}")
    return np.ascontiguousarray(array, np.uint64)


def _as_array(out: object) -> NDArray[np.uint8]:
    """The memory of a CPU tensor as an array; anything else is left to the core's checks."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(out, torch.Tensor):
        return cast("NDArray[np.uint8]", out)
    if out.device.type != "cpu":
        raise ValueError(f"out must be in CPU memory, got a tensor on {out.device}")
    return cast("NDArray[np.uint8]", out.detach().numpy())
