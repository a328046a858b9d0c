"""Masks and boxes go where torchvision's v2 transforms and Pillow move them, for the same plan."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from reference import GEOMETRY
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from tied_augment import View, Views, apply_to_boxes, apply_to_mask

CROPS = {
    "rrc": View((33, 47), vflip=0.5, scale=(0.01, 1), ratio=(0.2, 5)),
    "rkrc": View((40, 30), crop="rkrc", vflip=0.5, scale=(0.4, 2), ratio=(0.5, 2)),
    "rkrr": View((40, 30), crop="rkrr", vflip=0.5, scale=(0.4, 2), ratio=(0.5, 2)),
    "center": View(32, crop="center"),
    "squash": View((50, 20), crop="squash", vflip=0.5),
    "pad": View(24, crop="pad", padding=8, vflip=0.5),
}
DTYPES = (np.uint8, np.int64, np.int16, np.uint16, np.bool_, np.float32)
POLICY = View(48, auto_augment="rand-m9-n4-p1-mstd3", interpolation="bicubic", cutout=8)


def by_torchvision(plan, target):
    """What torchvision's v2 functions make of a mask or of boxes by the geometry of a plan."""
    for name, arguments in plan["ops"]:
        if name == "crop":
            x, y, w, h = (arguments[key] for key in "xywh")
            target = F.crop(target, y, x, h, w)  # filled with 0 outside
        elif name == "resize":
            target = F.resize(target, list(arguments["size"]), InterpolationMode.NEAREST)
        elif name == "frame":
            target = framed(target, arguments)
        elif name == "hflip":
            target = F.horizontal_flip(target)
        elif name == "vflip":
            target = F.vertical_flip(target)
    return target


def framed(target, frame):
    is_mask = isinstance(target, tv_tensors.Mask)
    side = target.shape[-2:] if is_mask else target.canvas_size
    left, top, (height, width) = frame["x"], frame["y"], frame["size"]
    pad = [max(-left, 0), max(-top, 0)]
    pad += [max(left + width - side[1], 0), max(top + height - side[0], 0)]
    # torchvision mirrors masks as images, once; a mask here is mirrored further where need be.
    padded = F.pad(target, pad, padding_mode="reflect" if is_mask else "constant")
    return F.crop(padded, max(top, 0), max(left, 0), height, width)


def cases(view, count, seed=0):
    rng = np.random.default_rng(seed)
    for index in range(count):
        shape = tuple(int(side) for side in rng.integers(20, 120, 2))
        yield index, rng, shape, view.plan(shape, index)


@pytest.mark.parametrize("crop", CROPS)
def test_masks_are_torchvisions(crop):
    for index, rng, shape, plan in cases(CROPS[crop], 150):
        dtype = DTYPES[index % len(DTYPES)]
        # torchvision resizes integers as float32, which holds them up to 2**24.
        mask = rng.integers(0, {np.int64: 1 << 24}.get(dtype, 200), shape).astype(dtype)
        mask = mask if index % 2 else mask[None].repeat(3, 0)
        ours = apply_to_mask(mask, plan)
        assert ours.dtype == dtype
        theirs = by_torchvision(plan, tv_tensors.Mask(torch.from_numpy(mask.astype(np.int64))))
        assert ours.shape == theirs.shape == (*mask.shape[:-2], *CROPS[crop].size)
        assert (ours.astype(np.int64) == theirs.numpy()).all(), plan


@pytest.mark.parametrize("crop", CROPS)
def test_boxes_are_torchvisions(crop):
    for index, rng, (height, width), plan in cases(CROPS[crop], 150, 1):
        corners = rng.uniform(0, 1, (7, 2, 2)) * (width, height)
        boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
        boxes = boxes if index % 3 else boxes.round()
        ours = apply_to_boxes(boxes, plan)
        theirs = by_torchvision(
            plan,
            tv_tensors.BoundingBoxes(
                torch.from_numpy(boxes), format="XYXY", canvas_size=(height, width)
            ),
        )
        assert theirs.canvas_size == CROPS[crop].size
        # torchvision's factors of a resize are float32, so a place may be 6e-8 of itself apart.
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-7, atol=2e-5, err_msg=plan)
        if crop == "pad":
            assert (ours == theirs.numpy()).all(), plan


def by_pillow(plan, mask, fill):
    """The ops of a policy, with Pillow's nearest on an image of 8 or 32 bits."""
    image, nearest = Image.fromarray(mask), Image.Resampling.NEAREST
    for name, arguments in plan["ops"]:
        value = next(iter(arguments.values()), None)
        matrix = {
            "ShearX": (1, value, 0, 0, 1, 0),
            "ShearY": (1, 0, 0, value, 1, 0),
            "TranslateX": (1, 0, value, 0, 1, 0),
            "TranslateY": (1, 0, 0, 0, 1, value),
        }.get(name)
        if name == "Rotate":
            image = image.rotate(value, nearest, fillcolor=fill)
        elif matrix:
            affine = Image.Transform.AFFINE
            image = image.transform(image.size, affine, matrix, nearest, fillcolor=fill)
    return np.asarray(image)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_the_ops_of_a_policy_move_masks_as_pillow_does(dtype):
    seen = set()
    for index, rng, shape, plan in cases(POLICY, 150, 2):
        mask = rng.integers(0, 250, shape).astype(dtype)
        fill = 255 if index % 2 else 0
        geometry = {"ops": [step for step in plan["ops"] if step[0] in GEOMETRY]}
        expected = by_pillow(plan, apply_to_mask(mask, geometry), fill)
        assert (apply_to_mask(mask, plan, fill) == expected).all(), plan
        seen |= {name for name, _ in plan["ops"]}
    assert seen >= {"Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY", "Color", "Erase"}


def moved_by_torchvision(boxes, name, value):
    given = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    if name == "Rotate":
        return F.rotate(boxes, value)
    if name.startswith("Shear"):
        degrees = math.degrees(math.atan(value))
        shear = [degrees, 0.0] if name == "ShearX" else [0.0, degrees]
        return F.affine(boxes, **given | {"shear": shear}, center=[0.0, 0.0])
    translate = [-value, 0] if name == "TranslateX" else [0, -value]
    return F.affine(boxes, **given | {"translate": translate})


@pytest.mark.parametrize("size", [(48, 48), (40, 64)])
def test_the_ops_of_a_policy_move_boxes_as_torchvision_does(size):
    view = dataclasses.replace(POLICY, size=size)
    seen = 0
    for _, rng, shape, plan in cases(view, 150, 3):
        corners = rng.uniform(0, 1, (7, 2, 2)) * shape[::-1]
        boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
        ours = apply_to_boxes(boxes, plan)
        geometry = {"ops": [step for step in plan["ops"] if step[0] in GEOMETRY]}
        theirs = tv_tensors.BoundingBoxes(
            torch.from_numpy(apply_to_boxes(boxes, geometry)), format="XYXY", canvas_size=size
        )
        for name, arguments in plan["ops"]:
            if name.startswith(("Rotate", "Shear", "Translate")):
                theirs = moved_by_torchvision(theirs, name, next(iter(arguments.values())))
                seen += 1
        # torchvision computes its matrix in float32.
        np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-3)
    assert seen > 100


def test_a_box_holds_the_labels_that_it_held():
    """The pixels of a label lie in its box after any plan, up to the rounding of places."""
    for _, _, shape, plan in cases(POLICY, 100, 4):
        mask = np.zeros(shape, np.uint8)
        height, width = shape
        box = (width // 4, height // 4, width - width // 4, height - height // 4)
        mask[box[1] : box[3], box[0] : box[2]] = 1
        rows, columns = np.nonzero(apply_to_mask(mask, plan))
        (x1, y1, x2, y2) = apply_to_boxes([box], plan)[0]
        if len(rows):
            scale = 1 + 48 / min(plan["crop"][2:])
            assert x1 - scale <= columns.min()
            assert columns.max() <= x2 + scale
            assert y1 - scale <= rows.min()
            assert rows.max() <= y2 + scale


def test_all_views_of_an_image_and_stored_plans():
    views = Views(View(32), View((16, 24), vflip=1))
    mask = np.random.default_rng(0).integers(0, 9, (50, 60), np.uint8)
    for view, plan in zip(views.views, views.plan((50, 60), index=3), strict=True):
        made = apply_to_mask(mask, plan)
        assert made.shape == view.size
        assert (apply_to_mask(mask, json.loads(json.dumps(plan))) == made).all()
        assert (apply_to_mask(Image.fromarray(mask), plan) == made).all()
        assert (apply_to_mask(torch.from_numpy(mask), plan) == made).all()
        assert made.flags.owndata
        assert made.flags.c_contiguous
    assert apply_to_boxes(np.zeros((0, 4)), plan).shape == (0, 4)


PLAN = View(16).plan((50, 60), index=0)


@pytest.mark.parametrize(
    ("mask", "fill", "message"),
    [
        (
            np.zeros(5),
            0,
            r"mask must be \(H, W\) or \(N, H, W\), one channel, got ndarray of shape",
        ),
        (np.zeros((0, 5)), 0, "mask must be"),
        (Image.new("RGB", (60, 50)), 0, "mask must be .* got Image"),
        (np.zeros((50, 60), np.uint8), 300, "fill must be a value of the mask's uint8, got 300"),
        (np.zeros((50, 60), np.uint8), 0.5, "fill must be a value of the mask's uint8, got 0.5"),
        (np.zeros((50, 60), np.uint8), None, "fill must be a value of the mask's uint8, got None"),
        (np.zeros((5, 6), np.uint8), 0, "reaches outside the image"),
    ],
)
def test_refuses_masks(mask, fill, message):
    with pytest.raises(ValueError, match=message):
        apply_to_mask(mask, PLAN, fill)


def test_refuses_plans_and_boxes():
    mask, boxes = np.zeros((50, 60), np.uint8), np.zeros((2, 4))
    mixed = View(16, auto_augment="augmix-m3").plan((50, 60), index=0)
    wrong = {"ops": [*PLAN["ops"], ("Rotated", {})]}
    for plan, error, message in (
        (mixed, ValueError, r"the plan has a Mix \(AugMix\)"),
        (wrong, ValueError, "no op named 'Rotated'"),
        (mask, TypeError, "plan must be a mapping with 'ops'"),
        (PLAN | {"hflip": not PLAN["hflip"]}, ValueError, "the plan's hflip is"),
    ):
        for apply, target in ((apply_to_mask, mask), (apply_to_boxes, boxes)):
            with pytest.raises(error, match=message):
                apply(target, plan)
    for wrong in (np.zeros(4), np.zeros((4, 2)), np.zeros((1, 2, 4))):
        with pytest.raises(ValueError, match=r"boxes must be \(N, 4\)"):
            apply_to_boxes(wrong, PLAN)
    large = {"ops": [("crop", {"x": 0, "y": 0, "w": 5000, "h": 5000})]}
    rotate = ("Rotate", {"degrees": 9, "interpolation": "bicubic", "fill": (0, 0, 0)})
    with pytest.raises(ValueError, match="a view of 5000 x 5000 pixels is too large for Rotate"):
        apply_to_mask(np.zeros((5000, 5000), np.uint8), {"ops": [*large["ops"], rotate]})


def test_the_channels_of_a_mask_come_first():
    plan = View(16).plan((40, 50), index=0)
    with pytest.raises(ValueError, match=r"mask of shape \(40, 50, 3\), .*\(N, H, W\): the crop"):
        apply_to_mask(np.zeros((40, 50, 3), np.uint8), plan)
