"""`Views`: several views of every image, declared.

The fields are checked here and in the Rust core, which draws the numbers and makes the pixels. This
module does not need torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import groupby
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core
from tied_augment.arguments import check_bool, check_unsigned, described
from tied_augment.pipeline import Declaration, Indices, Pixels, Plan, Sample, Size, count_samples
from tied_augment.view import View

__all__ = ["Views", "draws"]


@dataclass(frozen=True, init=False, repr=False)
class Views(Declaration):
    """Any number of views of every image, of any sizes, made from one decode.

    A value, as `View` is. View number v is made by the v-th of `views`, with v in the key of its
    randomness: the first views are the same however many follow. Eight draws of one view are
    ``Views(*8 * [View(224)])``; two large and six small crops, as in DINO and SwAV, are
    ``Views(*2 * [View(224, scale=(0.25, 1))], *6 * [View(96, scale=(0.05, 0.25))])``.

    With an index the views follow from (seed, epoch, index). Without one they are drawn anew at
    every call, as a ``transform`` must: ``ImageFolder(root, transform=Views(view, view, view))``
    gives ``((view1, view2, view3), target)``.

    Args:
        views: the views, 1 to 65,535.
        same_crop: give all views the crop, filter and flips of the first, as timm's
            `AugMixDataset` does. Their own must then be equal. Views of several sizes get the same
            part of the image, each resized to its own size, which needs ``crop='rrc'`` or
            ``'squash'``.
        own_flips: with `same_crop`, draw the flips of each view, as the ImageNet code of Kurtulus
            et al. 2023 does: the views share the crop and the filter.
        max_pixels: refuse larger image files; None for Pillow's limit of 178,956,970 pixels. Does
            not apply to PIL images and arrays, whose pixels exist already.

    Raises:
        ValueError: no view or too many, `same_crop` with views that are cropped, resized or flipped
            differently, or `own_flips` without `same_crop`.
        TypeError: a view that is not a `View`, or a switch that is not a bool.
    """

    views: tuple[View, ...]
    same_crop: bool
    own_flips: bool
    max_pixels: int | None

    def __init__(
        self,
        *views: View,
        same_crop: bool = False,
        own_flips: bool = False,
        max_pixels: int | None = None,
    ) -> None:
        _check(views)
        check_bool("same_crop", same_crop)
        check_bool("own_flips", own_flips)
        if own_flips and not same_crop:
            raise ValueError(
                "own_flips=True has an effect with same_crop=True only: without it each view has "
                "its own flips anyway"
            )
        if max_pixels is not None:
            max_pixels = check_unsigned("max_pixels", max_pixels, 64, least=1)
        for field, value in zip(
            fields(Views), (views, same_crop, own_flips, max_pixels), strict=True
        ):
            object.__setattr__(self, field.name, value)
        _ = self._pipeline

    def __repr__(self) -> str:
        """Only what differs from the defaults, and each run of equal views once."""
        return self._shown(draws(self.views))

    def _shown(self, views: str) -> str:
        switches = {"same_crop": False, "own_flips": False, "max_pixels": None}
        shown = [views] + [
            f"{name}={getattr(self, name)!r}"
            for name, default in switches.items()
            if getattr(self, name) != default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    @cached_property
    def _pipeline(self) -> _core.Pipeline:
        return _core.Pipeline(self.views, self.same_crop, self.own_flips, self.max_pixels)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """(height, width) of each view."""
        return tuple(cast("Size", view.size) for view in self.views)

    @property
    def size(self) -> Size:
        """(height, width) of every view.

        Raises:
            ValueError: the views have several sizes.
        """
        sizes = self.sizes
        if len(set(sizes)) > 1:
            several = ", ".join(map(str, dict.fromkeys(sizes)))
            raise ValueError(f"the views have several sizes, {several}: use .sizes")
        return sizes[0]

    def plan(
        self,
        shape: tuple[int, int],
        index: int | None = None,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> list[Plan]:
        """Decide all views of an image of (height, width) `shape`; see `View.plan`."""
        return self._plans(shape, index, epoch, seed, 0)

    def __call__(
        self,
        sample: Sample,
        index: int | None = None,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> tuple[Pixels, ...]:
        """Make all views of one sample.

        Args:
            sample: an image file's bytes or path, a PIL image, or an ``(H, W, 3)`` uint8 array.
            index: the sample's index in its data set, 0 to 2**64 - 1. None for a new draw at every
                call, from torch's random state if torch is loaded, else from numpy's.
            epoch: 0 to 2**32 - 1; only with `index`. None for 0.
            seed: the run's seed, 0 to 2**64 - 1; only with `index`. None for 0.

        Returns:
            The views in their order, ``(3, height, width)`` uint8 each.

        Raises:
            OSError: the file can't be read (`FileNotFoundError`, ...).
            DecodeError: the file is not an image, broken, beyond `max_pixels` or too long and thin
                for the view. An OSError too.
            TypeError: `sample` is none of these.
            ValueError: a number out of its range, `epoch` or `seed` without `index`, or an image
                too small for ``crop='pad'``.
        """
        outs = _empty(self.sizes, 1)
        self._one(sample, index, epoch, seed, 0, outs)
        return tuple(out[0] for out in outs)

    def batch(
        self,
        samples: Sequence[Sample],
        indices: Indices | None = None,
        epoch: int | None = None,
        seed: int | None = None,
        threads: int | None = None,
        out: Any = None,
    ) -> Any:
        """Make all views of B samples, in parallel and without the GIL.

        With `indices` the result depends on each sample, its index, `epoch`, `seed` and these views
        only: not on `threads`, on the order of the samples or on how they are split into batches.

        Args:
            samples: a list of what `__call__` takes, in any mix. Don't change them meanwhile.
            indices: their B indices in the data set. None for a new draw at every call, from
                torch's random state if torch is loaded, else from numpy's.
            epoch: 0 to 2**32 - 1; only with `indices`. None for 0.
            seed: the run's seed, 0 to 2**64 - 1; only with `indices`. None for 0.
            threads: how many threads to use, including the calling one; None for one per core that
                this process may use. There are never more than views to make, nor than twice the
                cores or 64, whichever is more.
            out: where to write: C-contiguous, writable uint8 numpy arrays or CPU tensors. For V
                views of one size a single one of shape ``(V, B, 3, height, width)``; for several
                sizes a list of V, ``(B, 3, height, width)`` each. None for new arrays. After an
                error the content is unspecified.

        Returns:
            `out`, view-major: ``out[v][b]`` is view v of sample b. A new one is an array, or for
            several sizes a list of arrays.

        Raises:
            ValueError: `out` or `indices` of another shape or kind.
            OSError, DecodeError, TypeError, ValueError: as `__call__`, for the first sample that
                failed, with its path or position.
        """
        sizes, count = self.sizes, count_samples(samples)
        made = _empty(sizes, count) if out is None else out
        outs = _checked_outputs(made, sizes, count)
        self._run(samples, indices, epoch, seed, 0, threads, outs)
        return made


def draws(views: Sequence[View]) -> str:
    """The views as arguments, each run of equal ones once: ``*8 * [View(size=(96, 96))]``."""
    runs = [(view, len(list(run))) for view, run in groupby(views)]
    return ", ".join(repr(view) if n == 1 else f"*{n} * [{view!r}]" for view, n in runs)


def _check(views: tuple[object, ...]) -> None:
    if not views:
        raise ValueError("Views needs at least one View: for eight draws give Views(*8 * [view])")
    for number, view in enumerate(views):
        if isinstance(view, View):
            continue
        remedy = ""
        if isinstance(view, (list, tuple)):
            remedy = ": give the views one by one, Views(*views)"
        elif isinstance(view, Views):
            remedy = ": give its views, Views(*declared.views)"
        elif isinstance(view, int):
            remedy = f": for {view} draws of a view give Views(*{view} * [view])"
        raise TypeError(f"view {number} must be a View, got {described(view)}{remedy}")


def _empty(sizes: Sequence[Size], samples: int) -> Any:
    """Memory for a batch: one array, or a list of one per view where their sizes differ."""
    if len(set(sizes)) == 1:
        return np.empty((len(sizes), samples, 3, *sizes[0]), np.uint8)
    return [np.empty((samples, 3, *size), np.uint8) for size in sizes]


def _checked_outputs(out: Any, sizes: Sequence[Size], samples: int) -> list[Pixels]:
    """The memory of each view in the caller's `out`.

    Raises:
        ValueError: it is of another shape or kind.
    """
    if len(set(sizes)) == 1:
        return list(_array("out", out, (len(sizes), samples, 3, *sizes[0])))
    if not isinstance(out, (list, tuple)) or len(out) != len(sizes):
        got = f"{len(out)}" if isinstance(out, (list, tuple)) else described(out)
        raise ValueError(
            f"out must be a list of {len(sizes)} arrays, one for each view, since the views have "
            f"several sizes; got {got}"
        )
    shapes = [(samples, 3, *size) for size in sizes]
    pairs = zip(out, shapes, strict=True)
    return [_array(f"out[{view}]", one, shape) for view, (one, shape) in enumerate(pairs)]


def _array(name: str, out: object, shape: tuple[int, ...]) -> Pixels:
    """A caller's array, or the memory of a CPU tensor as one, if it can be written to."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(out, torch.Tensor):
        if out.device.type != "cpu":
            raise ValueError(f"{name} must be in CPU memory, got a tensor on {out.device}")
        out = out.detach().numpy()
    if not isinstance(out, np.ndarray) or out.dtype != np.uint8 or out.ndim != len(shape):
        got = type(out).__name__
        if isinstance(out, np.ndarray):
            got = f"{out.shape} of {out.dtype}"
        axes = ", ".join(("views", "samples", "3", "height", "width")[-len(shape) :])
        raise ValueError(f"{name} must be a uint8 array of shape ({axes}); got {got}")
    array: NDArray[np.uint8] = out
    problem = None
    if array.shape != shape:
        problem = f"got shape {list(array.shape)}"
    elif not array.flags.c_contiguous:
        problem = "it is not contiguous"
    if problem is not None:
        message = f"{name} must be C-contiguous and of shape {list(shape)}; {problem}"
        raise ValueError(message)
    if not array.flags.writeable:
        raise ValueError(f"{name} must be writable; it is read-only")
    return array
