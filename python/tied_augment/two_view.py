"""`TwoView`: two views of every image, declared. Also `decode`.

This module does not need torch.
"""

from __future__ import annotations

from tied_augment import _core
from tied_augment.arguments import check_unsigned, described
from tied_augment.exits import INSIDE
from tied_augment.pipeline import Pixels, Plan, Sample
from tied_augment.view import View
from tied_augment.views import Views

__all__ = ["Plan", "TwoView", "View", "decode"]


class TwoView(Views):
    """Two views of every image, made from one decode: `Views` of two.

    View 0 is made by `first`, view 1 by `second`.

    Args:
        first: the first view.
        second: the second view; None for another draw of `first`.
        same_crop: as in `Views`, and so are the others.
        own_flips: likewise.
        max_pixels: likewise.

    Raises:
        TypeError, ValueError: as `Views`.
    """

    def __init__(
        self,
        first: View,
        second: View | None = None,
        *,
        same_crop: bool = False,
        own_flips: bool = False,
        max_pixels: int | None = None,
    ) -> None:
        second = first if second is None else second
        for name, view in (("first", first), ("second", second)):
            if not isinstance(view, View):
                raise TypeError(f"{name} must be a View, got {described(view)}")
        super().__init__(
            first, second, same_crop=same_crop, own_flips=own_flips, max_pixels=max_pixels
        )

    @property
    def first(self) -> View:
        """What makes view 0."""
        return self.views[0]

    @property
    def second(self) -> View:
        """What makes view 1."""
        return self.views[1]

    def __repr__(self) -> str:
        """Only what differs from the defaults."""
        views = self.views if self.first != self.second else self.views[:1]
        return self._shown(", ".join(map(repr, views)))


def decode(sample: Sample, max_pixels: int | None = None) -> Pixels:
    """Decode one sample to ``(H, W, 3)`` uint8, as ``PIL.Image.open(sample).convert('RGB')`` does.

    Args:
        sample: as in `Views.__call__`.
        max_pixels: as in `Views`.

    Raises:
        OSError, DecodeError, TypeError: as `Views.__call__`.
    """
    if max_pixels is not None:
        max_pixels = check_unsigned("max_pixels", max_pixels, 64, least=1)
    with INSIDE:
        return _core.decode(sample, max_pixels)
