"""What can be checked of an installed wheel with numpy and Pillow alone.

    python tests/smoke.py

For systems without PyTorch (musl, Python without the GIL). The whole suite is in `tests/python`.
"""

from __future__ import annotations

import importlib.metadata
import io
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

import tied_augment
from tied_augment import TwoView, View, decode

KINDS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")


def files() -> dict[str, bytes]:
    """The same picture, smooth with some noise, in every format."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (9, 13, 3), np.uint8))
    picture = small.resize((130, 90), Image.Resampling.BICUBIC)
    written = {}
    for kind in KINDS:
        out = io.BytesIO()
        picture.save(out, kind)
        written[kind] = out.getvalue()
    return written


def main() -> None:
    """Decode every format as Pillow does; draw the same views on one thread and on many.

    The wheel must also carry the licences and the list of what was compiled into it.
    """
    checkout = Path(__file__).parents[1] / "python"
    assert checkout not in Path(tied_augment.__file__).parents, "this is not an installed wheel"
    print(tied_augment.build_info())
    assert tied_augment.build_info()["optimized"]
    assert tied_augment.build_info()["jpeg_simd"], "nasm was missing when the wheel was built"
    carried = {path.name for path in importlib.metadata.files("tied-augment") or ()}
    assert {"THIRD_PARTY.md", "tied-augment.cyclonedx.json", "py.typed"} <= carried
    samples = files()
    for kind, data in samples.items():
        theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.array_equal(decode(data), theirs), kind
    two = TwoView(View(64, auto_augment="rand-m9-mstd0.5-inc1", re_prob=0.25))

    def batch(seed: int) -> np.ndarray:
        return two.batch(list(samples.values()), range(len(samples)), epoch=0, seed=seed)

    alone = [batch(seed) for seed in range(8)]
    assert alone[0].shape == (2, len(samples), 3, 64, 64)
    with ThreadPoolExecutor(8) as pool:
        for first, second in zip(alone, pool.map(batch, range(8)), strict=True):
            assert np.array_equal(first, second)
    free = getattr(sys, "_is_gil_enabled", lambda: True)() is False
    assert free or not sysconfig.get_config_var("Py_GIL_DISABLED"), "something turned the GIL on"
    print(f"{len(samples)} formats, {len(alone)} batches: equal; without the GIL: {free}")


if __name__ == "__main__":
    main()
