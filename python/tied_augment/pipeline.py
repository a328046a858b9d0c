"""What `View` and `Views` share: how they call the core's pipeline.

This module has the Python types of a sample and of a plan. It draws the seed of a call without an
index. It touches no pixels and does not need torch.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core
from tied_augment.arguments import check_pair, check_unsigned
from tied_augment.exits import INSIDE

if TYPE_CHECKING:
    from PIL.Image import Image

    from tied_augment.view import View
    from tied_augment.views import Views

__all__ = [
    "Declaration",
    "Indices",
    "Pixels",
    "Plan",
    "Sample",
    "Size",
    "Step",
    "count_samples",
    "plan_of",
]

Sample: TypeAlias = "bytes | bytearray | str | os.PathLike[str] | Image | NDArray[np.uint8]"
Pixels: TypeAlias = NDArray[np.uint8]
Indices: TypeAlias = "Sequence[int] | NDArray[np.integer[Any]]"
Size: TypeAlias = tuple[int, int]
Step: TypeAlias = tuple[str, dict[str, Any]]


class Plan(TypedDict):
    """One view of one image, decided.

    Attributes:
        crop: the part of the image that is seen: (x, y, w, h) in pixels. With ``crop='pad'`` it may
            reach outside the image, which is black.
        interpolation: the resize filter; None with ``crop='pad'``, which does not resize.
        hflip: whether left and right are exchanged.
        vflip: whether top and bottom are exchanged.
        ops: all steps in the order of execution, each a pair of a name and its arguments. The
            geometry comes first, in lower case: crop, resize, frame (where the output lies in the
            resized image) and flips. The ops of the policy and the others follow, under timm's or
            torchvision's names. The other attributes only repeat steps of the geometry.
    """

    crop: tuple[int, int, int, int]
    interpolation: str | None
    hflip: bool
    vflip: bool
    ops: list[Step]


def plan_of(ops: Sequence[Step]) -> Plan:
    """The plan with these steps."""
    steps = dict(ops)
    crop = steps["crop"]
    return {
        "crop": (crop["x"], crop["y"], crop["w"], crop["h"]),
        "interpolation": steps.get("resize", {}).get("interpolation"),
        "hflip": "hflip" in steps,
        "vflip": "vflip" in steps,
        "ops": list(ops),
    }


class Declaration(ABC):
    """What is to be made of an image: the base of `View` and `Views`, which give a pipeline."""

    @property
    @abstractmethod
    def _pipeline(self) -> _core.Pipeline: ...

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_pipeline"}

    def show(
        self,
        sample: Sample,
        index: int | None = None,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> Image:
        """Draw the views of one sample, with their crops and plans. Notebooks display it.

        Args:
            sample: as in `Views.__call__`.
            index: likewise. None for a new draw; its seed is in the title, and with ``index=0`` it
                gives the same views again.
            epoch: likewise.
            seed: likewise.

        Returns:
            A contact sheet, an RGB PIL image: the sample with the crop of each view in its colour,
            the views, and under each what was done.

        Raises:
            ImportError: Pillow is missing.
            OSError, DecodeError, TypeError, ValueError: as `Views.__call__`.
        """
        try:
            from tied_augment.sheet import contact_sheet, headline, make_row
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "PIL":
                raise
            raise ImportError("show() draws with Pillow: pip install pillow") from error
        views = cast("View | Views", self)
        with INSIDE:
            epoch, seed = _epoch_and_seed("index", index, epoch, seed)
            index = check_unsigned("index", 0 if index is None else index, 64)
            pixels = _core.decode(sample, getattr(self, "max_pixels", None))
        name = "image"
        if isinstance(sample, (str, os.PathLike)):
            name = os.path.basename(os.fsdecode(sample))
        caption = [name, f"{pixels.shape[1]} x {pixels.shape[0]} pixels", f"index {index}"]
        row = make_row(views, pixels, caption, index, epoch, seed)
        return contact_sheet([row], headline(views, seed, range(epoch, epoch + 1)))

    def _plans(
        self,
        shape: tuple[int, int],
        index: int | None,
        epoch: int | None,
        seed: int | None,
        view: int,
    ) -> list[Plan]:
        height, width = check_pair("shape", shape, "(height, width)")
        sides = (check_unsigned("height", height, 32), check_unsigned("width", width, 32))
        with INSIDE:
            epoch, seed = _epoch_and_seed("index", index, epoch, seed)
            index = check_unsigned("index", 0 if index is None else index, 64)
            plans = self._pipeline.plan(sides, seed, epoch, index, check_unsigned("view", view, 16))
        return [plan_of(ops) for ops in plans]

    def _one(
        self,
        sample: Sample,
        index: int | None,
        epoch: int | None,
        seed: int | None,
        view: int,
        outs: Pixels | list[Pixels],
    ) -> None:
        """Write the views of one sample into `outs`, as `_run` does."""
        view = check_unsigned("view", view, 16)
        with INSIDE:
            epoch, seed = _epoch_and_seed("index", index, epoch, seed)
            index = check_unsigned("index", 0 if index is None else index, 64)
            indices = np.array([index], np.uint64)
            self._pipeline.run([sample], seed, epoch, indices, view, 1, outs)

    def _run(
        self,
        samples: Sequence[Sample],
        indices: Indices | None,
        epoch: int | None,
        seed: int | None,
        view: int,
        threads: int | None,
        outs: Pixels | list[Pixels],
    ) -> None:
        """Write the views of B samples.

        Into one array ``(views, B, 3, height, width)``, or into ``(B, 3, height, width)`` for each.
        """
        view = check_unsigned("view", view, 16)
        if threads is not None:
            threads = check_unsigned("threads", threads, 16, least=1)
        with INSIDE:
            epoch, seed = _epoch_and_seed("indices", indices, epoch, seed)
            numbers = _indices(indices, count_samples(samples))
            given = list(samples)
            if not given:
                return  # empty arrays would look like overlapping ones
            self._pipeline.run(given, seed, epoch, numbers, view, threads, outs)


def count_samples(samples: object) -> int:
    """The number of `samples`. A single sample is refused."""
    single = isinstance(samples, str | bytes | bytearray | Mapping) or (
        isinstance(samples, np.ndarray) and samples.dtype.kind not in "OUS" and samples.ndim != 4
    )
    if single or not hasattr(samples, "__len__") or not hasattr(samples, "__getitem__"):
        raise TypeError(
            f"samples must be a list of samples, got {type(samples).__name__}: for one sample call "
            "the view itself, or put it into a list"
        )
    return len(cast("Sequence[object]", samples))


def _epoch_and_seed(
    name: str, index: object, epoch: int | None, seed: int | None
) -> tuple[int, int]:
    """The epoch and seed of a call.

    Without an index the seed is drawn anew, from the random state that training scripts and
    DataLoader's workers seed: torch's if torch is loaded, else numpy's.
    """
    if index is not None:
        return (
            check_unsigned("epoch", 0 if epoch is None else epoch, 32),
            check_unsigned("seed", 0 if seed is None else seed, 64),
        )
    for key, value in (("epoch", epoch), ("seed", seed)):
        if value is not None:
            raise ValueError(
                f"{key}={value!r} needs {name}=: views follow from (seed, epoch, index). Leave all "
                "three out for a new draw at every call"
            )
    torch = sys.modules.get("torch")
    if torch is not None:
        return 0, int(torch.randint(1 << 62, (), device="cpu"))
    return 0, int(np.random.randint(1 << 62, dtype=np.int64))


def _indices(indices: Indices | None, count: int) -> NDArray[np.uint64]:
    if indices is None:
        return np.arange(count, dtype=np.uint64)
    array = np.asarray(indices)
    if array.shape != (count,):
        raise ValueError(
            f"indices must be {count} integers, one per sample, got shape {array.shape}"
        )
    if count and array.dtype.kind not in "ui":
        # numpy makes floats of a list with numbers above and below 2**63.
        array = np.asarray(indices, object)
        if all(_is_index(value) for value in array):
            array = array.astype(np.uint64)
    if count and (array.dtype.kind not in "ui" or array.min() < 0):
        raise ValueError(f"indices must be integers from 0 up to 2**64 - 1, got {array!r}")
    return np.ascontiguousarray(array, np.uint64)


def _is_index(value: object) -> bool:
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return integer and 0 <= int(cast("int", value)) < 1 << 64
