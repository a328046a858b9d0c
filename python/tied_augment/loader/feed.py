"""How batches reach the core.

A feed begins batches in the core, and finds replacements for samples that failed there.
`LocatedFeed` is for samples that the core reads by itself; `fetch` has the feeds for all else. A
feed never refers to an iteration, so that the feed's thread does not keep the iteration alive.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tied_augment import _core
from tied_augment.exits import INSIDE
from tied_augment.loader.memory import BatchMemory
from tied_augment.loader.output import Output, Shape
from tied_augment.loader.pending import Pending
from tied_augment.located import Located

__all__ = ["Feed", "LocatedFeed", "Submission"]


@dataclass(frozen=True)
class Submission:
    """What the core must know of every batch.

    Attributes:
        core: the core's threads.
        shapes: for each choice, what is made of a sample.
        output: the form of the images.
        memory: what the core writes to.
    """

    core: _core.Loader
    shapes: Sequence[Shape]
    output: Output
    memory: BatchMemory

    def begin(
        self, batch: Pending, catalog: _core.Catalog | None, images: Sequence[Any] = ()
    ) -> None:
        """Hand a batch to the core."""
        size = self.output.size(self.shapes[batch.choice], len(batch.indices))
        with INSIDE:
            batch.memory = self.memory.lend(size)
            self.core.submit(
                catalog,
                images,
                batch.indices,
                batch.first_views,
                batch.choice,
                cast("NDArray[np.uint8]", batch.memory.numpy()),
            )
        batch.begun.set()

    def redo(
        self,
        batch: Pending,
        catalog: _core.Catalog | None,
        images: Sequence[Any],
        positions: Sequence[int],
    ) -> None:
        """Have the core make some samples of a finished batch again, from its present indices."""
        chosen = list(positions)
        indices, first_views = batch.indices[chosen], batch.first_views[chosen]
        self.core.redo(catalog, images, indices, first_views, chosen)


class Feed(ABC):
    """Begins batches, and finds replacements for samples that failed."""

    @abstractmethod
    def begin(self, batch: Pending) -> None:
        """Begin a batch; it may be fetched first, so that ``batch.begun`` is set later."""

    @abstractmethod
    def replace(self, batch: Pending, failed: Sequence[int]) -> None:
        """Have the core make samples at positions anew, from the samples that come next."""

    def lost(self, batch: Pending, failed: int) -> bool:  # noqa: ARG002  (by default never)
        """Whether no sample is left that could replace those that failed."""
        return False

    @abstractmethod
    def rest(self, batch: Pending) -> Sequence[tuple[Any, ...]]:
        """What follows the image, for each sample of a batch."""

    def close(self) -> None:  # noqa: B027  (by default nothing runs)
        """End what runs in the background."""


class LocatedFeed(Feed):
    """Samples that the core reads by itself."""

    def __init__(self, submission: Submission, located: Located, catalog: _core.Catalog) -> None:
        self._submission = submission
        self._catalog = catalog
        self._rest = located.rest

    def begin(self, batch: Pending) -> None:
        """See `Feed.begin`."""
        self._submission.begin(batch, self._catalog)

    def replace(self, batch: Pending, failed: Sequence[int]) -> None:
        """See `Feed.replace`."""
        for position in failed:
            batch.indices[position] = (int(batch.indices[position]) + 1) % len(self._catalog)
        self._submission.redo(batch, self._catalog, (), failed)

    def rest(self, batch: Pending) -> Sequence[tuple[Any, ...]]:
        """See `Feed.rest`."""
        return [self._rest(index) for index in batch.indices.tolist()]
