"""What may be passed as a sample, and what is said of everything else."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loader_sets import Items
from PIL import Image

from tied_augment import DecodeError, TiedLoader, TwoView, View, decode

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
two = TwoView(View(8))


def png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "PNG")
    return out.getvalue()


def test_every_form_gives_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png())
    wide = np.zeros((14, 18, 3), np.uint8)
    wide[::2, ::2] = PIXELS
    forms = [png(), bytearray(png()), path, str(path), Image.fromarray(PIXELS), PIXELS]
    forms += [wide[::2, ::2], np.asfortranarray(PIXELS)]
    for form in forms:
        assert np.array_equal(decode(form), PIXELS), type(form)


REFUSED: dict[str, tuple[Any, str]] = {
    "CHW": (PIXELS.transpose(2, 0, 1), r"looks like \(3, H, W\): pass array.transpose\(1, 2, 0\)"),
    "gray": (PIXELS[..., 0], r"gray: pass numpy.stack\(\[array\] \* 3, axis=-1\)"),
    "gray HW1": (PIXELS[..., :1], r"gray: pass numpy.repeat\(array, 3, axis=2\)"),
    "gray 1HW": (PIXELS[None, ..., 0], r"gray, \(1, H, W\): pass numpy.stack"),
    "RGBA": (np.zeros((7, 9, 4), np.uint8), r"RGBA: pass array\[:, :, :3\]"),
    "batch": (PIXELS[None], "several images: pass them one by one"),
    "float": (PIXELS / 255, r"\(array \* 255\).round\(\).astype\('uint8'\)"),
    "float32 CHW": (
        np.zeros((3, 7, 9), np.float32),
        r"float32; it looks like \(3, H, W\): .*; if its values are 0 to 1",
    ),
    "uint16": (PIXELS.astype(np.uint16), r"\(array // 257\).astype\('uint8'\)"),
    "int64": (PIXELS.astype(int), r"int64; make its values 0 to 255 and .astype\('uint8'\)"),
    "bool": (PIXELS > 9, r"bool; make its values 0 to 255"),
    "empty": (PIXELS[:0], "it has no pixels"),
    "file in an array": (np.frombuffer(png(), np.uint8), r"pass array.tobytes\(\)"),
    "memoryview": (memoryview(png()), r"got memoryview; pass bytes\(sample\)"),
    "number": (np.zeros((), np.uint8), r"got shape \[\] of uint8"),
    "tensor": (
        torch.zeros(3, 8, 8),
        "got Tensor; if a transform made the tensor, take ToTensor out",
    ),
    "None": (None, "got NoneType; the data set gave no image"),
    "int": (7, "uint8 numpy array, got int"),
    "pair": ((PIXELS, 1), "got tuple; pass the image alone, not a pair of image and target"),
    "list": ([PIXELS], "got list; pass the image alone"),
    "dict": ({"image": PIXELS}, "uint8 numpy array, got dict"),
    "file": (io.BytesIO(b""), r"got BytesIO; pass file.read\(\) or the file's path"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_what_to_pass(case: str) -> None:
    sample, message = REFUSED[case]
    for call in (decode, two, lambda sample: two.batch([png(), sample], [0, 1])):
        with pytest.raises(TypeError, match=message):
            call(sample)


def test_what_is_not_an_image_is_shown() -> None:
    with pytest.raises(DecodeError, match=r"27 bytes that begin with '<!DOCTYPE html><'"):
        decode(b"<!DOCTYPE html><html></html>"[:27])
    with pytest.raises(DecodeError, match=r"that begin with '\\x00\\x00\\x00\\x18ftypheic"):
        decode(b"\0\0\0\x18ftypheic" + bytes(50))


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="path is empty"):
        decode("")


def test_a_data_set_that_makes_tensors_is_told_the_remedy() -> None:
    loader = TiedLoader(Items([(torch.zeros(3, 8, 8), 0)]), two, 1)
    with pytest.raises(TypeError, match="remove the data set's own ToTensor"):
        next(iter(loader))
