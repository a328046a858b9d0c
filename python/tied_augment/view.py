"""One view of an image, declared: what timm calls a training transform, as plain data.

Lives here: `View`, thin and typed over the Rust core, and what `TwoView` shares with it. May import
numpy and the core. Draws nothing and touches no pixels itself, and never needs torch or timm.
"""

from __future__ import annotations

import operator
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, TypeAlias, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core, view_from_timm

if TYPE_CHECKING:
    from argparse import Namespace

    from PIL.Image import Image

__all__ = ["Plan", "View"]

Sample: TypeAlias = "bytes | bytearray | str | os.PathLike[str] | Image | NDArray[np.uint8]"
Pixels: TypeAlias = NDArray[np.uint8]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Plan(TypedDict):
    """One view of one image, decided.

    Attributes:
        crop: the part of the image that is seen: (x, y, w, h) in pixels. With ``crop='pad'`` it may
            reach outside the image, where black is seen.
        interpolation: the resize filter; None with ``crop='pad'``, which doesn't resize.
        hflip: whether left and right are exchanged.
        vflip: whether top and bottom are exchanged.
        ops: all that is done, in order: pairs of a name and its arguments. Crop, resize, frame
            (where the output lies in what was resized) and flips in lower case, then the policy's
            and the other ops by timm's or torchvision's names.
    """

    crop: tuple[int, int, int, int]
    interpolation: str | None
    hflip: bool
    vflip: bool
    ops: list[tuple[str, dict[str, Any]]]


class Views(ABC):
    """What `View` and `TwoView` share: a pipeline of the core that follows from their fields."""

    @property
    @abstractmethod
    def _pipeline(self) -> _core.Pipeline: ...

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_pipeline"}

    def _plans(
        self, shape: tuple[int, int], index: int, epoch: int, seed: int, view: int
    ) -> list[Plan]:
        height, width = shape
        sides = (number("height", height, 32), number("width", width, 32))
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
            threads = number("threads", threads, 16, low=1)
        self._pipeline.run(
            samples, _indices(indices, len(samples)), epoch, seed, view, threads, out
        )


@dataclass(frozen=True, repr=False)
class View(Views):
    """One augmented view: timm's training transform, equal to what timm and Pillow make.

    The order of work is timm's: crop and resize, flips, policy, colour jitter, grayscale, blur, and
    what is erased. By default only crops and flips are drawn; `from_timm` has timm's defaults.

    A value: immutable, comparable, hashable, picklable. All randomness follows from the arguments
    (index, epoch, seed, view) of a call and nothing else.

    Args:
        size: side of the square output, or (height, width), in pixels, up to 32768.
        scale: bounds of the crop's area as a fraction of the image's, in (0, 1]. None for
            (0.08, 1), or (0.8, 1) for the zoom of ``'rkrc'`` and ``'rkrr'``.
        ratio: bounds of the crop's aspect ratio, width over height. None for (3/4, 4/3), or
            (0.9, 1/0.9) for the change of it by ``'rkrc'`` and ``'rkrr'``.
        interpolation: ``'random'`` (bilinear or bicubic, with equal chances, as in timm),
            ``'nearest'``, ``'box'``, ``'bilinear'``, ``'hamming'``, ``'bicubic'`` or ``'lanczos'``;
            all antialiased as in Pillow. Also for the geometric ops of timm's policies, which know
            nearest, bilinear and bicubic only, and draw a filter each with ``'random'``.
        hflip: probability of a left-right flip.
        vflip: probability of a top-bottom flip.
        crop: timm's `train_crop_mode`: ``'rrc'``, a random resized crop, ``'rkrc'`` or ``'rkrr'``,
            the image resized keeping its ratio, then cropped in the centre or at random, mirrored
            where it is smaller. Or timm's `no_aug`: ``'center'`` (the shorter side resized to
            `size`, central crop) or ``'squash'`` (all resized to `size`). Or ``'pad'``, a crop of
            `size` from the image padded with black, as in CIFAR recipes, which uses neither
            `scale` nor `ratio` and does not resize.
        padding: pixels of black on each side for ``crop='pad'``.
        auto_augment: a policy: timm's config string (``'rand-m9-mstd0.5-inc1'``, ``'augmix-m5'``,
            ``'original'``, ``'v0'``, ``'3a'``, ...) with timm's meaning, or one of torchvision's
            (``'tv-rand-n2-m9'``, ``'tv-trivial'``, ``'tv-auto-imagenet'``, ``'tv-augmix'``).
        color_jitter: strengths of brightness, contrast, saturation and, as a fourth, hue (at most
            0.5); one number for the first three; None for none. As in timm, not applied beside
            `auto_augment`, unless that has ``'3a'`` in it.
        color_jitter_prob: probability of colour jitter; None for always.
        force_color_jitter: apply colour jitter beside any `auto_augment`.
        grayscale_prob: probability of a gray image.
        gaussian_blur_prob: probability of a blur with a 23-pixel kernel and sigma from 0.1 to 2.
        cutout: side of a square at a random place, filled with `mean`, in pixels; 0 for none.
        re_prob: probability of random erasing, on bytes: the mean is rounded, noise is rounded and
            clamped, where timm erases normalised floats.
        re_mode: ``'const'`` (the mean), ``'rand'`` (one colour per box) or ``'pixel'`` (noise).
        re_count: the greatest number of boxes.
        re_num_splits: above 1, view number 0 is not erased, as timm spares the first split.
        mean: the model's normalisation, per channel, in 0 to 1: the colour of what moves in from
            outside in timm's policies, and of what is erased.
        std: the same, for `re_mode`.

    Raises:
        ValueError: a value out of its range, or a config string that timm refuses.
        TypeError: a value of the wrong type.

    Warns:
        UserWarning: a config string has parts that timm ignores.

    Source: ``transforms_imagenet_train`` of timm 1.0.31, ``RandomCrop`` and the policies of
    torchvision 0.29, Cutout as in the code of Kurtulus et al. 2023.
    """

    size: int | tuple[int, int] = 224
    scale: tuple[float, float] | None = None
    ratio: tuple[float, float] | None = None
    interpolation: str = "random"
    hflip: float = 0.5
    vflip: float = 0.0
    crop: Literal["rrc", "rkrc", "rkrr", "center", "squash", "pad"] = "rrc"
    padding: int = 4
    auto_augment: str | None = None
    color_jitter: float | Sequence[float] | None = None
    color_jitter_prob: float | None = None
    force_color_jitter: bool = False
    grayscale_prob: float = 0.0
    gaussian_blur_prob: float = 0.0
    cutout: int = 0
    re_prob: float = 0.0
    re_mode: str = "const"
    re_count: int = 1
    re_num_splits: int = 0
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        size = self.size if isinstance(self.size, Sequence) else (self.size, self.size)
        height, width = _pair("size", size)
        self._set("size", (number("size", height, 32), number("size", width, 32)))
        keeps_ratio = self.crop in ("rkrc", "rkrr")
        for name, default in (
            ("scale", (0.8, 1.0) if keeps_ratio else (0.08, 1.0)),
            ("ratio", (0.9, 1 / 0.9) if keeps_ratio else (3 / 4, 4 / 3)),
        ):
            bounds = getattr(self, name)
            low, high = _pair(name, default if bounds is None else bounds)
            self._set(name, (_real(name, low), _real(name, high)))
        for name in ("hflip", "vflip", "grayscale_prob", "gaussian_blur_prob", "re_prob"):
            self._set(name, _real(name, getattr(self, name)))
        for name in ("padding", "cutout", "re_count", "re_num_splits"):
            self._set(name, number(name, getattr(self, name), 32))
        self._set("color_jitter", _jitter(self.color_jitter))
        if self.color_jitter_prob is not None:
            self._set("color_jitter_prob", _real("color_jitter_prob", self.color_jitter_prob))
        self._set("force_color_jitter", bool(self.force_color_jitter))
        for name in ("mean", "std"):
            self._set(name, channels(name, getattr(self, name)))
        self._set("auto_augment", self.auto_augment or None)
        _ = self._pipeline  # the core checks the rest
        if self.auto_augment is not None:
            for remark in _core.policy_remarks(self.auto_augment):
                warnings.warn(remark, UserWarning, stacklevel=3)

    def __repr__(self) -> str:
        """Only what differs from the defaults, those of this crop."""
        default = View(crop=self.crop)
        shown = [
            f"{field.name}={value!r}"
            for field in fields(self)
            for value in [getattr(self, field.name)]
            if value != ("rrc" if field.name == "crop" else getattr(default, field.name))
        ]
        return f"View({', '.join(shown)})"

    @classmethod
    def from_timm(cls, **options: Any) -> View:
        """The view that ``timm.data.create_transform(is_training=True, **options)`` makes.

        The same names, defaults and meaning as in timm 1.0.31. The view is uint8: normalisation is
        the loader's. As in timm, nothing is erased with `use_prefetcher` or without `normalize`,
        and what only evaluation reads (`crop_pct`, ...) has no effect; so
        ``View.from_timm(**resolve_data_config(model=model))`` works.

        Raises:
            TypeError: an option that timm does not have.
            ValueError: an option that is not supported, named, or has a value that timm refuses.
        """
        return cls(**view_from_timm.fields_from_options(options))

    @classmethod
    def from_args(cls, args: Namespace, model: object = None) -> View:
        """The view that timm's train.py trains on when called with `args`.

        Args:
            args: what train.py's parser gives, of any release since 0.9.16.
            model: the model, for its input size and normalisation where `args` gives none.

        Raises:
            ValueError: an option that is not supported, named.
        """
        return cls.from_timm(**view_from_timm.options_from_args(args, model))

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
        self._run([sample], [number("index", index, 64)], (epoch, seed, view), 1, out)
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


def number(name: str, value: object, bits: int, low: int = 0) -> int:
    """`value` as an unsigned integer of so many bits, whatever integer type it has."""
    try:
        number = operator.index(cast("int", value))
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if not low <= number < 1 << bits:
        raise ValueError(f"{name} must be from {low} to 2**{bits} - 1, got {number}")
    return number


def _real(name: str, value: object) -> float:
    if isinstance(value, str) or not isinstance(value, SupportsFloat):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return float(value)


def _key(index: int, epoch: int, seed: int, view: int) -> tuple[int, int, int, int]:
    return (
        number("index", index, 64),
        number("epoch", epoch, 32),
        number("seed", seed, 64),
        number("view", view, 16),
    )


def _pair(name: str, value: object) -> tuple[Any, Any]:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return value[0], value[1]
    raise ValueError(f"{name} must be a pair, got {value!r}")


def _jitter(value: float | Sequence[float] | None) -> tuple[float, ...] | None:
    """Brightness, contrast, saturation and hue."""
    if value is None:
        return None
    if not isinstance(value, Sequence):
        return (_real("color_jitter", value),) * 3 + (0.0,)
    if isinstance(value, str) or len(value) not in (3, 4):
        raise ValueError(f"color_jitter must be a number or 3 or 4 of them, got {value!r}")
    return tuple(_real("color_jitter", strength) for strength in (*value, 0.0)[:4])


def channels(name: str, values: object) -> tuple[float, float, float]:
    """Three numbers, one per channel, of a sequence, an array or a tensor."""
    several = cast("Any", values).tolist() if getattr(values, "ndim", None) == 1 else values
    if not isinstance(several, Sequence) or isinstance(several, str) or len(several) != 3:
        raise ValueError(f"{name} must be 3 numbers, one per channel, got {values!r}")
    red, green, blue = (_real(name, value) for value in several)
    return red, green, blue


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
