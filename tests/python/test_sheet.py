"""Contact sheets, and `show`, which draws one in a notebook."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tied_augment import DecodeError, TwoView, View, Views, decode, sheet
from tied_augment.sheet import contact_sheet, headline, make_row

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
BLUE, ORANGE = (0, 114, 178), (213, 94, 0)  # of views 1 and 2


def holds(picture, view):
    """Whether the ``(3, h, w)`` view is a part of the picture, unchanged."""
    whole, part = np.asarray(picture), view.transpose(1, 2, 0)
    windows = np.lib.stride_tricks.sliding_window_view(whole[:, :, 0], part.shape[1], axis=1)
    return any(
        np.array_equal(whole[y : y + part.shape[0], x : x + part.shape[1]], part)
        for y, x in np.argwhere((windows == part[0, :, 0]).all(-1))
    )


@pytest.mark.parametrize(
    "views",
    [
        View(160),
        TwoView(View(160), same_crop=True),
        Views(*2 * [View((150, 160))], *3 * [View(96)]),
        Views(View(48), View((160, 150), auto_augment="augmix-m5-w4-d2")),
    ],
    ids=["View", "TwoView", "several sizes", "a small one first"],
)
def test_show_draws_the_views_of_training(views, tmp_path):
    path = tmp_path / "dog.png"
    Image.fromarray(PIXELS).save(path)
    for sample in (PIXELS, path, str(path), path.read_bytes(), Image.fromarray(PIXELS)):
        picture = views.show(sample, index=4, epoch=2, seed=7)
        assert picture.mode == "RGB"
        made = views(sample, index=4, epoch=2, seed=7)
        for view in [made] if isinstance(views, View) else made:
            assert holds(picture, view)


def test_show_without_an_index_draws_anew_from_torchs_state():
    views = TwoView(View(160))
    torch.manual_seed(5)
    seed = int(torch.randint(1 << 62, ()))
    torch.manual_seed(5)
    first, second = views.show(PIXELS), views.show(PIXELS)
    assert first == views.show(PIXELS, index=0, seed=seed)
    assert first != second


def test_show_refuses_what_the_views_refuse():
    views = Views(View(8), max_pixels=100)
    with pytest.raises(ValueError, match=r"epoch=1 needs index="):
        views.show(PIXELS, epoch=1)
    with pytest.raises(TypeError, match=r"got shape \[90, 160\] of uint8; gray: pass"):
        views.show(PIXELS[..., 0])
    with pytest.raises(DecodeError, match="not an image"):
        views.show(b"no image file, but bytes of text")
    with pytest.raises(ValueError, match="crop='rrc'"):
        View(200, crop="pad").show(PIXELS, index=0)


def test_show_respects_max_pixels(tmp_path):
    path = tmp_path / "dog.png"
    Image.fromarray(PIXELS).save(path)
    with pytest.raises(DecodeError, match="max_pixels"):
        Views(View(8), max_pixels=100).show(path)


def test_show_needs_pillow():
    code = """
import sys
sys.modules["PIL"] = None
import numpy, tied_augment
try:
    tied_augment.View(8).show(numpy.zeros((9, 9, 3), "uint8"))
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "show() draws with Pillow: pip install pillow\n"


def test_crops_of_one_place_are_both_seen():
    def colored(views):
        row = make_row(views, PIXELS, ["x"], 3, 0, 0)
        # The original with its frames: the first cell, to the left of the first view's border.
        whole = np.asarray(contact_sheet([row], "title"))[60:230, 24:192]
        return [int((whole == color).all(-1).sum()) for color in (BLUE, ORANGE)]

    one = colored(Views(View(160)))[0]
    first, second = colored(TwoView(View(160), same_crop=True))
    assert first + second == one
    assert abs(first - second) < one / 4


def test_no_caption_is_cut_or_wider_than_its_cell():
    font = sheet._font(14)
    text = "ShearY factor -0.277, interpolation bicubic, fill (124, 116, 104)"
    lines = sheet._wrapped(text, font, 152)
    assert len(lines) > 1
    assert " ".join(line.strip() for line in lines) == text
    assert max(map(font.getlength, lines)) <= 152
    name = 60 * "long_name" + ".jpg"
    lines = sheet._wrapped(name, font, 152)
    assert "".join(line.strip() for line in lines) == name
    assert max(map(font.getlength, lines)) <= 152
    assert sheet._wrapped("", font, 152) == [""]


@pytest.mark.parametrize(
    ("views", "epochs", "title"),
    [
        (View(8), range(3, 4), "1 view of 8 x 8, seed 7, epoch 3"),
        (TwoView(View((6, 8), auto_augment="rand-m9")), range(1), "2 views of 8 x 6, rand-m9, "),
        (
            Views(*2 * [View(9, auto_augment="rand-m9")], View(8)),
            range(3),
            "2 views of 9 x 9 and 1 view of 8 x 8, rand-m9 and no policy, seed 7, epochs 0 to 2",
        ),
    ],
)
def test_the_headline(views, epochs, title):
    assert headline(views, 7, epochs).startswith(title)


@pytest.mark.parametrize("name", ["two\nlines.png", "surrogate\udcff.png", 40 * "long" + ".png"])
def test_a_caption_shows_any_name(tmp_path, name):
    try:
        Image.fromarray(PIXELS).save(tmp_path / name)
    except OSError as error:
        pytest.skip(f"this system has no such names: {error}")
    assert View(160).show(tmp_path / name, index=0).width == 2 * 24 + 2 * 168 + 12


def test_show_does_not_change_the_sample():
    pixels = PIXELS.copy()
    View(32, auto_augment="rand-m9").show(pixels)
    assert np.array_equal(pixels, PIXELS)
    assert decode(pixels) is not pixels
