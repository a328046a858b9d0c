"""`View`: one view of an image, declared. It is timm's training transform, as plain data.

The fields are checked here and in the Rust core, which makes the pixels. This module does not need
torch. It needs timm for `View.from_args` only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from tied_augment import _core, view_from_timm
from tied_augment.arguments import check_pair, check_unsigned, listed
from tied_augment.pipeline import Declaration, Indices, Pixels, Plan, Sample, count_samples
from tied_augment.view_fields import CHECKS, NEED, check_bounds, check_side, jitter

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["Plan", "View"]

Crop = Literal["rrc", "rkrc", "rkrr", "center", "squash", "border", "pad"]
_EVALUATION = ("center", "squash", "border")  # timm's `crop_mode`


@dataclass(frozen=True, repr=False)
class View(Declaration):
    """One augmented view: timm's training transform, equal to what timm and Pillow make.

    The order of the steps is timm's: crop and resize, flips, policy, colour jitter, grayscale,
    blur, solarize, Cutout, random erasing. By default only crops and flips are drawn. `from_timm`
    has timm's defaults.

    A view is a value: immutable, comparable, hashable, picklable. With an index, the randomness of
    a call depends on (seed, epoch, index, view) only. Without an index, as data sets call their
    ``transform``, each call draws a new seed from torch's random state if torch is loaded, else
    from numpy's. ``torch.manual_seed`` makes that repeatable, and the workers of a DataLoader
    differ.

    Args:
        size: side of the square output, or (height, width), in pixels, up to 32768.
        scale: bounds of the crop's area as a fraction of the image's, in (0, 1]. None for
            (0.08, 1), or (0.8, 1) for the zoom of ``'rkrc'`` and ``'rkrr'``.
        ratio: bounds of the crop's aspect ratio, width over height. None for (3/4, 4/3), or
            (0.9, 1/0.9) for the change of it by ``'rkrc'`` and ``'rkrr'``.
        interpolation: ``'random'`` (bilinear or bicubic, with equal chances, as in timm),
            ``'nearest'``, ``'box'``, ``'bilinear'``, ``'hamming'``, ``'bicubic'`` or ``'lanczos'``;
            all antialiased as in Pillow. The geometric ops of timm's policies use it too. They know
            nearest, bilinear and bicubic only, and with ``'random'`` each op draws its own.
        hflip: probability of a left-right flip.
        vflip: probability of a top-bottom flip.
        crop: ``'rrc'``, ``'rkrc'`` and ``'rkrr'`` are timm's `train_crop_mode`: a random resized
            crop, or the image resized with its ratio kept, then cropped in the centre (``'rkrc'``)
            or at random (``'rkrr'``) and mirrored where it is smaller than the crop. ``'center'``,
            ``'squash'`` and ``'border'`` are the modes of timm's evaluation (see `eval`). The first
            two are also timm's `no_aug`: the shorter side resized to `size` and cropped in the
            centre, or the whole image resized to `size`. ``'pad'`` is a crop of `size` from the
            image padded with black, as in CIFAR recipes. It does not resize, and uses neither
            `scale` nor `ratio`.
        padding: pixels of black on each side for ``crop='pad'``.
        crop_pct: `size` as a fraction of the size that ``'center'``, ``'squash'`` and ``'border'``
            resize to.
        crop_border_pixels: pixels that these three cut off each side of the image before.
        auto_augment: a policy: a config string of timm's (``'rand-m9-mstd0.5-inc1'``,
            ``'augmix-m5'``, ``'original'``, ``'v0'``, ``'3a'``, ...) or one of torchvision's
            policies (``'tv-rand-n2-m9'``, ``'tv-trivial'``, ``'tv-auto-imagenet'``,
            ``'tv-augmix'``).
        color_jitter: strengths of brightness, contrast, saturation and, as a fourth, hue (at most
            0.5); one number for the first three; None for none. As in timm, it is not applied with
            an `auto_augment`, except one with ``'3a'`` in it.
        color_jitter_prob: probability of colour jitter; None for always.
        force_color_jitter: apply colour jitter with any `auto_augment`.
        grayscale_prob: probability of a gray image.
        gaussian_blur_prob: probability of a Gaussian blur. By default it is timm's.
        gaussian_blur_kernel: width of the kernel in pixels, odd: torchvision's `GaussianBlur`. None
            for Pillow's ``ImageFilter.GaussianBlur``, which the codes of MoCo, SwAV and DINO use;
            it approximates a Gaussian by box blurs and is faster.
        gaussian_blur_sigma: bounds of the blur's standard deviation in pixels, which Pillow calls
            the radius.
        solarize_prob: probability of solarization, as torchvision's `RandomSolarize`.
        solarize_threshold: the lowest value that it inverts, 0 to 256.
        cutout: side of a square at a random place, filled with `mean`, in pixels, at most the
            shorter side of `size`; 0 for none.
        re_prob: probability of random erasing. It works on bytes, so the mean and noise are
            rounded; timm erases normalised floats.
        re_mode: ``'const'`` (the mean), ``'rand'`` (one colour per box) or ``'pixel'`` (noise).
        re_count: the greatest number of boxes.
        re_num_splits: above 1, view number 0 is not erased, as timm spares the first split.
        mean: the mean of the model's normalisation, per channel, in 0 to 1. It is the colour
            outside the image in timm's policies, and of what is erased.
        std: the standard deviation of that normalisation, for the noise of `re_mode`.

    Raises:
        ValueError: a value out of its range, or a config string that timm refuses.
        TypeError: a value of the wrong type.

    Warns:
        UserWarning: a config string has parts that timm ignores.

    Source: ``transforms_imagenet_train`` of timm 1.0.31, ``RandomCrop``, ``GaussianBlur``,
    ``RandomSolarize`` and the policies of torchvision 0.29, Cutout as in the code of Kurtulus et
    al. 2023.
    """

    size: int | tuple[int, int] = 224
    scale: tuple[float, float] | None = None
    ratio: tuple[float, float] | None = None
    interpolation: str = "random"
    hflip: float = 0.5
    vflip: float = 0.0
    crop: Crop = "rrc"
    padding: int = 4
    crop_pct: float = 1.0
    crop_border_pixels: int = 0
    auto_augment: str | None = None
    color_jitter: float | Sequence[float] | None = None
    color_jitter_prob: float | None = None
    force_color_jitter: bool = False
    grayscale_prob: float = 0.0
    gaussian_blur_prob: float = 0.0
    gaussian_blur_kernel: int | None = 23
    gaussian_blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarize_prob: float = 0.0
    solarize_threshold: float = 128.0
    cutout: int = 0
    re_prob: float = 0.0
    re_mode: str = "const"
    re_count: int = 1
    re_num_splits: int = 0
    mean: tuple[float, float, float] = view_from_timm.IMAGENET_MEAN
    std: tuple[float, float, float] = view_from_timm.IMAGENET_STD

    def __post_init__(self) -> None:
        size = (self.size, self.size) if listed(self.size) is None else self.size
        height, width = check_pair("size", size, "(height, width)")
        size = (check_side(height), check_side(width))
        self._set("size", size)
        self._set("cutout", check_unsigned("cutout", self.cutout, 32, most=min(size)))
        for field in fields(self):
            if check := CHECKS.get(cast("str", field.type)):
                self._set(field.name, check(field.name, getattr(self, field.name)))
        self._set_bounds()
        self._set("color_jitter", jitter(self.color_jitter))
        self._set("auto_augment", self.auto_augment or None)
        _ = self._pipeline  # the core checks the rest
        self._refuse_idle()
        for remark in self._remarks():
            warnings.warn(remark, UserWarning, stacklevel=3)

    def _set_bounds(self) -> None:
        """Resolve and check the bounds of the crop."""
        keeps_ratio = self.crop in ("rkrc", "rkrr")
        for name, default in (
            ("scale", (0.8, 1.0) if keeps_ratio else (0.08, 1.0)),
            ("ratio", (0.9, 1 / 0.9) if keeps_ratio else (3 / 4, 4 / 3)),
        ):
            bounds = getattr(self, name)
            bounds = check_bounds(name, default if bounds is None else bounds)
            if bounds != default and self.crop in ("pad", *_EVALUATION):
                raise ValueError(f"{name}={bounds} has no effect with crop={self.crop!r}")
            self._set(name, bounds)

    def _refuse_idle(self) -> None:
        """Refuse a field that has no effect without another one."""
        if self.padding != View.padding and self.crop != "pad":
            raise ValueError(f"padding={self.padding} has no effect without crop='pad'")
        if self.crop not in _EVALUATION:
            for name in ("crop_pct", "crop_border_pixels"):
                if (value := getattr(self, name)) != getattr(View, name):
                    modes = "crop='center', 'squash' or 'border'"
                    raise ValueError(f"{name}={value} has no effect without {modes}")
        if self.color_jitter is None:
            for name in ("color_jitter_prob", "force_color_jitter"):
                if value := getattr(self, name):
                    raise ValueError(f"{name}={value} has no effect without color_jitter: give it")
        for prob, names in NEED.items():
            if getattr(self, prob) == 0:
                for name in names:
                    if (value := getattr(self, name)) != getattr(View, name):
                        raise ValueError(f"{name}={value!r} has no effect without {prob}: give it")

    def _remarks(self) -> Iterator[str]:
        """What timm ignores silently, and this view too."""
        if self.auto_augment is None:
            return
        yield from _core.policy_remarks(self.auto_augment)
        if self.color_jitter is not None and not self._jitters:
            yield (
                f"color_jitter is not applied beside auto_augment={self.auto_augment!r}, as in "
                "timm: set force_color_jitter=True, or leave color_jitter out"
            )

    @property
    def _jitters(self) -> bool:
        """Whether `color_jitter` is applied, if it is given."""
        return self.force_color_jitter or view_from_timm.keeps_color_jitter(self.auto_augment)

    def __repr__(self) -> str:
        """Only the fields that differ from the defaults for this crop."""
        default = View(crop=self.crop)
        shown = [
            f"{field.name}={value!r}"
            for field in fields(self)
            for value in [getattr(self, field.name)]
            if value != ("rrc" if field.name == "crop" else getattr(default, field.name))
        ]
        return f"View({', '.join(shown)})"

    @classmethod
    def eval(
        cls,
        size: int | tuple[int, int] = 224,
        crop_pct: float | None = None,
        crop_mode: str = "center",
        interpolation: str = "bicubic",
        *,
        crop_border_pixels: int = 0,
        mean: tuple[float, float, float] = view_from_timm.IMAGENET_MEAN,
    ) -> View:
        """The view for validation: timm's ``transforms_imagenet_eval``; nothing is drawn.

        Args:
            size: as in `View`.
            crop_pct: `size` as a fraction of the size that is resized to; None for 0.875. Above 1,
                the output has a border.
            crop_mode: ``'center'`` keeps the aspect ratio and covers the size that is resized to,
                ``'border'`` keeps it and fits into that size, ``'squash'`` does not keep it. Then
                follows a crop of `size` in the centre. Outside the image are black pixels, or with
                ``'border'`` those of `mean`.
            interpolation: as in `View`, except ``'random'``.
            crop_border_pixels: pixels that are cut off each side of the image before.
            mean: the mean of the model's normalisation.

        Raises:
            ValueError: a value out of its range.
            TypeError: a value of the wrong type.

        Source: timm 1.0.31. Where timm fails because it rounds a side to 0, it is 1 here.
        """
        return cls(
            **view_from_timm.evaluation_fields(
                size, crop_pct, crop_mode, interpolation, crop_border_pixels
            ),
            mean=mean,
        )

    @classmethod
    def from_timm(cls, **options: Any) -> View:
        """The view that ``timm.data.create_transform(is_training=True, **options)`` makes.

        Names, defaults and meaning are those of timm 1.0.31, except that `is_training` is True by
        default. The view is uint8, so normalisation is left to the loader. As in timm, nothing is
        erased with `use_prefetcher` or without `normalize`. Options for evaluation only
        (`crop_pct`, ...) have no effect, so that
        ``View.from_timm(**resolve_data_config(model=model))`` works. With ``is_training=False`` it
        is the view for validation, and likewise options for training only have no effect.

        Raises:
            TypeError: an option that timm does not have.
            ValueError: an option that is not supported, named, or has a value that timm refuses.
        """
        return cls(**view_from_timm.fields_from_options(options))

    @classmethod
    def from_args(cls, args: Namespace, model: object = None) -> View:
        """The view that timm's train.py trains on when called with `args`.

        Args:
            args: what the parser of train.py returns, of any release since 0.9.16.
            model: the model, whose input size and normalisation are used where `args` has none.

        Raises:
            ValueError: an option that is not supported, named.
        """
        return cls.from_timm(**view_from_timm.options_from_args(args, model))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def filters(self) -> tuple[str, ...]:
        """The resize filters. One is drawn per view, with equal chances."""
        return ("bilinear", "bicubic") if self.interpolation == "random" else (self.interpolation,)

    @cached_property
    def _pipeline(self) -> _core.Pipeline:
        return _core.Pipeline([self], False, False, None)

    def plan(
        self,
        shape: tuple[int, int],
        index: int | None = None,
        epoch: int | None = None,
        seed: int | None = None,
        view: int = 0,
    ) -> Plan:
        """Decide this view of an image, without touching one.

        Args:
            shape: (height, width) of the image in pixels.
            index: the image's index in its data set, 0 to 2**64 - 1. None for a new draw at every
                call.
            epoch: 0 to 2**32 - 1; only with `index`. None for 0.
            seed: the run's seed, 0 to 2**64 - 1; only with `index`. None for 0.
            view: the view's number, 0 to 65535: the second one of `Views` is number 1.

        Raises:
            ValueError: a number out of its range, `epoch` or `seed` without `index`, or an image
                too small for ``crop='pad'``.
        """
        return self._plans(shape, index, epoch, seed, view)[0]

    def __call__(
        self,
        sample: Sample,
        index: int | None = None,
        epoch: int | None = None,
        seed: int | None = None,
        view: int = 0,
    ) -> Pixels:
        """Make this view of one sample: ``(3, height, width)`` uint8.

        Arguments and errors as in `Views.__call__` and `plan`.
        """
        height, width = cast("tuple[int, int]", self.size)
        out = np.empty((1, 1, 3, height, width), np.uint8)
        self._one(sample, index, epoch, seed, view, out)
        pixels: Pixels = out[0, 0]
        return pixels

    def batch(
        self,
        samples: Sequence[Sample],
        indices: Indices | None = None,
        epoch: int | None = None,
        seed: int | None = None,
        threads: int | None = None,
        view: int = 0,
    ) -> Pixels:
        """Make this view of B samples: ``(B, 3, height, width)`` uint8.

        Arguments and errors as in `Views.batch` and `plan`.
        """
        height, width = cast("tuple[int, int]", self.size)
        out = np.empty((1, count_samples(samples), 3, height, width), np.uint8)
        self._run(samples, indices, epoch, seed, view, threads, out)
        pixels: Pixels = out[0]
        return pixels
