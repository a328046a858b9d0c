"""The demo's images: scikit-learn's handwritten digits, written as JPEG files.

1,797 real digits of 8 x 8 pixels (UCI, Alpaydin and Kaynak) that ship with scikit-learn, so that
nothing is downloaded. They are enlarged, so that there is something to crop.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

__all__ = ["write_digits"]

_SIDE = 48
_TRAIN_PER_CLASS, _UNLABELLED_PER_CLASS = 5, 100


def write_digits(folder: Path) -> dict[str, int]:
    """Write the ImageFolders ``train``, ``unlabelled`` and ``val``, the same files each time.

    ``train`` has 5 images of each class, ``unlabelled`` 100 and ``val`` the rest. ``unlabelled``
    has a single folder, ``digits``; the others have a folder per class.

    Returns:
        The number of images in each of the three.
    """
    digits = load_digits()
    counts = {"train": 0, "unlabelled": 0, "val": 0}
    order = np.random.default_rng(0).permutation(len(digits.target))
    ends = _TRAIN_PER_CLASS, _TRAIN_PER_CLASS + _UNLABELLED_PER_CLASS
    for label in range(10):
        members = np.split(order[digits.target[order] == label], ends)
        for part, indices in zip(counts, members, strict=True):
            target = folder / part / ("digits" if part == "unlabelled" else str(label))
            target.mkdir(parents=True, exist_ok=True)
            for index in indices:
                _picture(digits.images[index]).save(target / f"{index:04}.jpg", quality=95)
            counts[part] += len(indices)
    return counts


def _picture(ink: np.ndarray) -> Image.Image:
    """Dark on white, from `ink`, ``(8, 8)``, 0 for paper to 16 for ink."""
    gray = Image.fromarray(np.uint8(255 - ink / 16 * 255))
    return gray.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).convert("RGB")
