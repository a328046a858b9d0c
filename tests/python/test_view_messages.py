"""What the views refuse, and how they say it."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from tied_augment import TwoView, View, render

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def test_a_class_is_not_a_view() -> None:
    with pytest.raises(TypeError, match="first must be a View, got the class View"):
        TwoView(View)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [torch.tensor(0.5), np.array(0.5)])
def test_a_number_in_a_tensor(number: object) -> None:
    expected = (
        rf"hflip must be a number, got {type(number).__name__} of shape \(\): pass .*item\(\)"
    )
    with pytest.raises(TypeError, match=expected):
        View(hflip=number)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [-1, 0, 32_769, 1 << 40, (32, -1)])
def test_the_size_has_one_rule(size: int) -> None:
    with pytest.raises(ValueError, match="size must be from 1 to 32768"):
        View(size=size)


def test_interpolation() -> None:
    expected = "interpolation must be one of 'random', 'nearest', .*'lanczos', not 'cubic'"
    with pytest.raises(ValueError, match=expected):
        View(interpolation="cubic")


@pytest.mark.parametrize(("size", "side"), [(32, 32), ((48, 40), 40)])
def test_cutout_fits_in_the_view(size: int, side: int) -> None:
    View(size, cutout=side)
    for wrong in (-1, side + 1):
        with pytest.raises(ValueError, match=f"cutout must be from 0 to {side}, got {wrong}"):
            View(size, cutout=wrong)


@pytest.mark.parametrize(
    "option", [{"re_mode": "pixel"}, {"re_count": 2}, {"re_num_splits": 2}], ids=str
)
def test_erasing_without_a_probability(option: dict[str, object]) -> None:
    (name, value) = next(iter(option.items()))
    expected = re.escape(f"{name}={value!r} has no effect without re_prob: give it")
    with pytest.raises(ValueError, match=expected):
        View(**option)  # type: ignore[arg-type]
    assert getattr(View(**option, re_prob=0.1), name) == value  # type: ignore[arg-type]


@pytest.mark.parametrize("crop", [None, 5, "all", [1, 2]])
def test_the_crop_of_an_edited_plan(crop: object) -> None:
    plan = View(16).plan((20, 30), 0)
    expected = re.escape(f"the plan's crop is {crop!r}, but its ops say ")
    with pytest.raises(ValueError, match=expected):
        render(IMAGE, {**plan, "crop": crop})


@pytest.mark.parametrize("form", [tuple, list, np.array])
def test_the_crop_of_a_plan_has_any_form(form: type) -> None:
    plan = View(16).plan((20, 30), 0)
    assert render(IMAGE, {**plan, "crop": form(plan["crop"])}).shape == (3, 16, 16)


@pytest.mark.parametrize("fill", [np.array([1, 2, 3]), tuple(np.arange(3)), torch.ones(3)])
def test_a_fill_of_an_edited_plan_that_is_not_of_plain_numbers(fill: object) -> None:
    plan = View(16, re_prob=1).plan((20, 30), 0)
    ops = [(name, step | {"fill": fill} if name == "Erase" else step) for name, step in plan["ops"]]
    with pytest.raises(ValueError, match=r"Erase: argument 'fill.*\.tolist\(\)"):
        render(IMAGE, {"ops": ops})


@pytest.mark.parametrize(
    "indices", [[2**63, 1], [2**64 - 1, 0], [np.uint64(2**63), 1], np.array([2**63, 1], object)]
)
def test_large_indices(indices: list[int]) -> None:
    view = View(16)
    pixels = view.batch([IMAGE] * 2, indices)
    for made, index in zip(pixels, indices, strict=True):
        assert np.array_equal(made, view(IMAGE, int(index)))


@pytest.mark.parametrize("indices", [[2**64, 1], [2**63, -1], [1.0, 2**63], [-1, 0], [True, False]])
def test_indices_out_of_range(indices: list[int]) -> None:
    with pytest.raises(ValueError, match=r"indices must be integers from 0 up to 2\*\*64 - 1, got"):
        View(16).batch([IMAGE] * 2, indices)
