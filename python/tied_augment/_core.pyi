"""The Rust core. Private: use the names that `tied_augment` exports."""

from collections.abc import Sequence
from typing import Any, TypedDict, final

import numpy as np
from numpy.typing import NDArray

from tied_augment.view import View

__all__ = [
    "Catalog",
    "DecodeError",
    "Loader",
    "Located",
    "Pipeline",
    "build_info",
    "checked_plan",
    "decode",
    "pack_jpeg",
    "policy_remarks",
    "render",
    "tied_loss",
    "unpack_jpeg",
]

class _BuildInfo(TypedDict):
    version: str
    target: str
    optimized: bool
    jpeg_simd: bool
    resize_simd: str
    threads: int

class _Counts(TypedDict):
    images: int
    busy: float

class DecodeError(OSError):
    """A file is not an image, broken, beyond `max_pixels`, or too thin for a view."""

@final
class Catalog:
    """A data set whose samples the core finds by index, without Python."""

    @staticmethod
    def files(paths: Sequence[str]) -> Catalog:
        """One image file per sample."""

    @staticmethod
    def members(
        archives: Sequence[str],
        members: NDArray[np.uint64],
        names: Sequence[str | None] | None = None,
    ) -> Catalog:
        """Members of archives; `members` has a row (archive, first byte, bytes) per sample.

        Errors call a member by its name in `names`; without one, by its place.
        """

    @staticmethod
    def buffers(buffers: Sequence[NDArray[np.uint8]], members: NDArray[np.uint64]) -> Catalog:
        """Files in memory, not copied; `members` has a row (buffer, first byte, bytes) each."""

    @staticmethod
    def pixels(array: NDArray[np.uint8]) -> Catalog:
        """The images of an (N, height, width, 3) uint8 array, which is not copied."""

    def sample(self, index: int) -> Located:
        """The sample at `index`, for what takes samples one by one."""

    def __len__(self) -> int: ...

@final
class Located:
    """A sample of a `Catalog`, which the core reads when it needs it."""

    def read(self) -> bytes:
        """The content of the file or member."""

@final
class Loader:
    """Threads that make batches ahead of their consumer, for one iteration."""

    def __new__(
        cls,
        threads: int,
        pipelines: Sequence[Pipeline],
        seed: int,
        epoch: int,
        table: bytes | None,
        normalised: tuple[Sequence[float], Sequence[float]] | None,
        channels_last: bool,
    ) -> Loader: ...
    def submit(
        self,
        catalog: Catalog | None,
        samples: Sequence[object],
        indices: NDArray[np.uint64],
        views: NDArray[np.uint16],
        choice: int,
        out: NDArray[np.uint8],
    ) -> None:
        """Begins a batch with pipeline number `choice`, written to the bytes `out`."""

    def wait(self, seconds: float) -> list[tuple[int, Exception]] | None:
        """Waits for the oldest batch. Returns what failed and why; None after `seconds`."""

    def redo(
        self,
        catalog: Catalog | None,
        samples: Sequence[object],
        indices: NDArray[np.uint64],
        views: NDArray[np.uint16],
        positions: Sequence[int],
    ) -> None:
        """Makes samples of the batch that `wait` returned last again."""

    def ready(self) -> int:
        """The number of finished batches that `wait` has not returned yet."""

    def counts(self) -> _Counts:
        """What the threads have done: samples made or failed, and the seconds spent on them."""

    def close(self) -> None:
        """Ends the threads and waits until they have ended."""

@final
class Pipeline:
    """Makes all views of samples."""

    def __new__(
        cls,
        views: Sequence[View],
        same_crop: bool,
        own_flips: bool,
        max_pixels: int | None,
    ) -> Pipeline: ...
    def plan(
        self, shape: tuple[int, int], seed: int, epoch: int, index: int, view: int
    ) -> list[list[tuple[str, dict[str, Any]]]]:
        """The steps of the plans of all views of an image. The first view has number `view`."""

    def run(
        self,
        samples: Sequence[object],
        seed: int,
        epoch: int,
        indices: NDArray[np.uint64],
        view: int,
        threads: int | None,
        outs: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
    ) -> None:
        """Writes all views of `samples` into `outs`.

        That is an array (views, samples, 3, height, width), or a list with an array (samples, 3,
        height, width) for each view.
        """

def build_info() -> _BuildInfo:
    """What this build can do: versions and the SIMD in use."""

def checked_plan(ops: object, shape: tuple[int, int]) -> list[tuple[str, dict[str, Any]]]:
    """The steps of a plan's `ops` after the checks of `render`, for an image of (height, width)."""

def decode(sample: object, max_pixels: int | None) -> NDArray[np.uint8]:
    """Decodes a whole image to (height, width, 3)."""

def pack_jpeg(data: bytes, max_pixels: int | None) -> bytes:
    """Packs a JPEG file."""

def policy_remarks(auto_augment: str) -> list[str]:
    """Sentences about the parts of a config string that timm accepts and ignores."""

def render(sample: object, ops: object, max_pixels: int | None) -> NDArray[np.uint8]:
    """Executes a plan's `ops` on one sample, to (3, height, width)."""

def tied_loss(
    logits: object,
    features: object,
    target: object,
    grad_logits: object | None,
    grad_features: object | None,
    tied_weight: float,
    similarity: str,
    label_smoothing: float,
    first_only: bool,
    ignore_index: int,
    threads: int | None,
) -> tuple[float, float, float]:
    """(loss, ce, similarity) of one batch; writes the gradients into the buffers that are given.

    Buffers are DLPack capsules or have `__dlpack__`.
    """

def unpack_jpeg(data: bytes) -> bytes:
    """Writes the JPEG file that was packed."""
