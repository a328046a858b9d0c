"""What may be passed as a sample, and what is said of everything else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loader_sets import Items
from PIL import Image

from tied_augment import DecodeError, TiedDataset, TiedLoader, TwoView, View, decode

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


def by_dataset(sample: Any) -> Any:
    dataset = TiedDataset(Items([(sample, 0)]), two)
    dataset.set_epoch(0)
    return torch.stack(dataset[0][0]).numpy()


# Every way from one sample to its two views, of index 0 in epoch 0 with seed 0.
WAYS: dict[str, Callable[[Any], Any]] = {
    "Views": lambda sample: np.stack(two(sample, index=0)),
    "View": lambda sample: np.stack([two.first(sample, index=0, view=v) for v in (0, 1)]),
    "batch": lambda sample: two.batch([sample, PIXELS], [0, 1])[:, 0],
    "TiedDataset": by_dataset,
    "TiedLoader": lambda sample: next(iter(TiedLoader(Items([(sample, 0)]), two, 1)))[0][:, 0],
}


# Modes of more than 8 bits.
WIDE = {"I": "=i4", "I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2", "F": "=f4"}


def of_mode(mode: str) -> Image.Image:
    """A PIL image of random pixels of this mode."""
    if mode in ("P", "PA"):
        image = Image.fromarray(PIXELS).convert("P")  # with a palette of colours
        image.info["transparency"] = 3
        return image.convert(mode) if mode == "PA" else image
    rng = np.random.default_rng(1)
    if mode in WIDE:
        # Also values above 255 and, where there are any, below 0: Pillow clips them.
        least = 0 if mode.startswith("I;") else -100
        content = rng.integers(least, 400, PIXELS.shape[:2]).astype(WIDE[mode])
    else:
        size = len(Image.new(mode, PIXELS.shape[1::-1]).tobytes())
        content = rng.integers(0, 256, size, np.uint8)
    return Image.frombytes(mode, PIXELS.shape[1::-1], content.tobytes())


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", [*MODES, *WIDE])
def test_pil_images_of_every_mode_are_converted_as_pillow_does(mode: str, way: str) -> None:
    image = of_mode(mode)
    assert image.mode == mode
    rgb = np.asarray(image.convert("RGB"))
    assert len(np.unique(rgb)) > 1
    assert np.array_equal(decode(image), rgb)
    assert np.array_equal(WAYS[way](image), WAYS["Views"](rgb))


def test_a_mode_that_pillow_cannot_convert_is_an_error() -> None:
    for make in (*WAYS.values(), decode):
        with pytest.raises(ValueError, match="conversion from La to"):
            make(Image.new("La", (9, 7)))


REFUSED: dict[str, tuple[Any, str]] = {
    "CHW": (PIXELS.transpose(2, 0, 1), r"looks like \(3, H, W\): pass array.transpose\(1, 2, 0\)"),
    "gray": (PIXELS[..., 0], r"gray: pass numpy.stack\(\[array\] \* 3, axis=-1\)"),
    "gray HW1": (PIXELS[..., :1], r"gray: pass numpy.repeat\(array, 3, axis=2\)"),
    "gray 1HW": (PIXELS[None, ..., 0], r"gray, \(1, H, W\): pass numpy.stack"),
    "RGBA": (np.zeros((7, 9, 4), np.uint8), r"RGBA: pass array\[:, :, :3\]"),
    "RGBA CHW": (
        np.zeros((4, 7, 9), np.uint8),
        r"RGBA, \(4, H, W\): pass array\[:3\].transpose\(1, 2, 0\)",
    ),
    "gray with alpha": (PIXELS[..., :2], r"gray with alpha: pass numpy.repeat\(array\[:, :, :1\]"),
    "batch": (PIXELS[None], "several images: pass them one by one"),
    "float": (PIXELS / 255, r"\(array \* 255\).round\(\).astype\('uint8'\)"),
    "float32 CHW": (
        np.zeros((3, 7, 9), np.float32),
        r"float32; it looks like \(3, H, W\): .*; if its values are 0 to 1",
    ),
    "uint16": (PIXELS.astype(np.uint16), r"\(array // 257\).astype\('uint8'\)"),
    "int64": (PIXELS.astype(int), r"int64; make its values 0 to 255 and .astype\('uint8'\)"),
    "uint16 gray": (np.zeros((7, 9), np.uint16), r"gray: pass .*; if its values are 0 to 65,535"),
    "int8": (PIXELS.view(np.int8), "int8; make its values 0 to 255"),
    "bool": (PIXELS > 9, r"bool; make its values 0 to 255"),
    "bool gray": (PIXELS[..., 0] > 9, "bool; gray: pass .*; make its values 0 to 255"),
    "empty": (PIXELS[:0], "it has no pixels"),
    "file in an array": (np.frombuffer(png(), np.uint8), r"pass array.tobytes\(\)"),
    "memoryview": (memoryview(png()), r"got memoryview; pass bytes\(sample\)"),
    "number": (np.zeros((), np.uint8), r"got shape \[\] of uint8"),
    "None": (None, "got NoneType; the data set gave no image"),
    "int": (7, "uint8 numpy array, got int"),
    "pair": ((PIXELS, 1), "got tuple; pass the image alone, not a pair of image and target"),
    "list": ([PIXELS], "got list; pass the image alone"),
    "dict": ({"image": PIXELS}, "uint8 numpy array, got dict"),
    "file": (io.BytesIO(b""), r"got BytesIO; pass file.read\(\) or the file's path"),
}


@pytest.mark.parametrize("way", [*WAYS, "decode"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_what_to_pass(case: str, way: str) -> None:
    sample, message = REFUSED[case]
    with pytest.raises(TypeError, match=message):
        (WAYS | {"decode": decode})[way](sample)


REMEDIES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "CHW": (PIXELS.transpose(2, 0, 1), lambda array: array.transpose(1, 2, 0)),
    "gray": (PIXELS[..., 0], lambda array: np.stack([array] * 3, axis=-1)),
    "gray HW1": (PIXELS[..., :1], lambda array: np.repeat(array, 3, axis=2)),
    "gray 1HW": (PIXELS[None, ..., 0], lambda array: np.stack([array[0]] * 3, axis=-1)),
    "RGBA": (np.dstack((PIXELS, PIXELS[..., 0])), lambda array: array[:, :, :3]),
    "RGBA CHW": (
        np.dstack((PIXELS, PIXELS[..., 0])).transpose(2, 0, 1),
        lambda array: array[:3].transpose(1, 2, 0),
    ),
    "gray with alpha": (PIXELS[..., :2], lambda array: np.repeat(array[:, :, :1], 3, axis=2)),
    "float": (PIXELS / 255, lambda array: (array * 255).round().astype("uint8")),
    "tensor CHW": (
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        lambda tensor: tensor.permute(1, 2, 0).numpy(),
    ),
    "tensor HWC": (torch.from_numpy(PIXELS), lambda tensor: tensor.numpy()),
}


@pytest.mark.parametrize("case", REMEDIES)
def test_the_remedies_give_what_pillow_converts(case: str) -> None:
    sample, remedy = REMEDIES[case]
    with pytest.raises(TypeError):
        decode(sample)
    wanted = PIXELS
    if case.startswith("gray"):
        wanted = np.asarray(Image.fromarray(PIXELS[..., 0]).convert("RGB"))
    assert np.array_equal(decode(remedy(sample)), wanted)


TENSORS = {
    "ToTensor": torch.zeros(3, 7, 9),
    "CHW": torch.zeros(3, 7, 9, dtype=torch.uint8),
    "HWC": torch.zeros(7, 9, 3, dtype=torch.uint8),
    "gray": torch.zeros(7, 9, dtype=torch.uint8),
    "bool": torch.zeros(3, 7, 9, dtype=torch.bool),
}


@pytest.mark.parametrize("case", TENSORS)
@pytest.mark.parametrize("way", WAYS)
def test_tensors_are_refused_with_the_remedy(case: str, way: str) -> None:
    message = (
        r"got Tensor; if a transform made .*: tensor.numpy\(\) if it is \(H, W, 3\), tensor.per"
    )
    if way.startswith("Tied"):
        message = "got a torch tensor: remove the data set's own ToTensor, or use ArrayDataset"
    with pytest.raises(TypeError, match=message):
        WAYS[way](TENSORS[case])


def test_what_is_not_an_image_is_shown() -> None:
    with pytest.raises(DecodeError, match=r"27 bytes that begin with '<!DOCTYPE html><'"):
        decode(b"<!DOCTYPE html><html></html>"[:27])
    with pytest.raises(DecodeError, match=r"that begin with '\\x00\\x00\\x00\\x18ftypheic"):
        decode(b"\0\0\0\x18ftypheic" + bytes(50))


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="path is empty"):
        decode("")
