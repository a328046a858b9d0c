"""The endings of the image files that `tied_augment.decode` reads, in lower case."""

from __future__ import annotations

__all__ = ["ENDINGS"]

ENDINGS = ("jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff")
