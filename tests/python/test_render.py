"""`render` executes a plan. Its pixels are those of the view that drew the plan."""

import json
import re

import numpy as np
import pytest

from tied_augment import DecodeError, TwoView, View, decode, render

VIEWS = {
    "plain": View(64),
    "vflip": View((40, 56), hflip=1.0, vflip=1.0, interpolation="lanczos"),
    "padded": View(64, crop="pad", padding=8),
    "rand": View(64, auto_augment="rand-m9-mstd0.5-inc1"),
    "augmix": View(64, auto_augment="augmix-m3-w3"),
    "blended": View(64, auto_augment="augmix-m3-w3-b1"),
    "torchvision": View(64, auto_augment="tv-rand-n2-m9"),
}
PLAN = {"ops": [("crop", {"x": 0, "y": 0, "w": 8, "h": 6})]}


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", VIEWS)
def test_a_plan_makes_what_its_view_makes(photos, name):
    view = VIEWS[name]
    size = (64, 64) if name == "padded" else (300, 400)
    image = photos[3][: size[0], : size[1]]
    for index in range(40):
        plan = view.plan(image.shape[:2], index=index, epoch=3, seed=5)
        made = view(image, index=index, epoch=3, seed=5)
        assert (render(image, plan) == made).all(), plan
        stored = json.loads(json.dumps(plan))
        assert (render(image, stored) == made).all(), plan


def test_both_views_of_a_file(photos, image_folder):
    path = next(image_folder.glob("*/*.jpg"))
    views = TwoView(View(32, auto_augment="rand-m9"))
    height, width = decode(path).shape[:2]
    made = views(path, index=4)
    for view, plan in zip(made, views.plan((height, width), index=4), strict=True):
        assert (render(path, plan) == view).all()
        assert (render(path.read_bytes(), plan) == view).all()


def test_a_plan_may_be_edited(image):
    plan = View(32, interpolation="bicubic", hflip=0.0).plan((70, 90), index=0)
    plain = render(image, plan)
    plan["ops"].append(("Invert", {}))
    assert (render(image, plan) == 255 - plain).all()
    plan["ops"].append(["Invert", {}])
    assert (render(image, plan) == plain).all()


def test_a_half_edited_plan_is_refused(image):
    plan = View(32, hflip=0.0).plan((70, 90), index=0)
    plan["hflip"] = True
    with pytest.raises(ValueError, match="the plan's hflip is True, but its ops say False"):
        render(image, plan)
    plan["hflip"], plan["crop"] = False, (0, 0, 1, 1)
    with pytest.raises(ValueError, match=r"the plan's crop is \(0, 0, 1, 1\)"):
        render(image, plan)


FILL = {"interpolation": "bicubic", "fill": (0, 0, 0)}
BOX = {"x": 0, "y": 0, "w": 1, "h": 1}
EMPTY_MIX = {"mixing": "blends", "chains": []}


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (("Posterise", {}), "no op named 'Posterise'"),
        (("Posterize", {}), "Posterize: missing field `bits`"),
        (("Posterize", {"bits": 9}), "bits must be from 0 to 8, not 9"),
        (
            ("Posterize", {"bits": "3"}),
            "Posterize: argument 'bits': TypeError: 'str' object cannot be",
        ),
        (("Invert", {"factor": 1.0}), "Invert: argument 'factor': unknown field"),
        (("Color", {"factor": float("nan")}), "Color: factor must be finite and within a million"),
        (("Color", {"factor": 1e300}), "Color: factor must be"),
        (("Hue", {"factor": 0.7}), "from -0.5 to 0.5, not 0.7"),
        (("Rotate", {"degrees": float("inf"), **FILL}), "degrees must be finite"),
        (
            ("Rotate", {"degrees": 1, **FILL, "interpolation": "box"}),
            "Rotate: argument 'interpolation': unknown variant `box`, expected one of `nearest`, ",
        ),
        (
            ("Rotate", {"degrees": 1, **FILL, "fill": (0, 0, 300)}),
            "Rotate: argument 'fill[2]': Overf",
        ),
        (("ShearX", {"factor": 1e300, **FILL}), "ShearX: factor must be finite and within"),
        (("TranslateY", {"pixels": 1e300, **FILL}), "TranslateY: pixels must be finite and within"),
        (("GaussianBlur", {"radius": -1}), "radius must be from 0"),
        (("GaussianKernel", {"kernel_size": 4, "sigma": 1}), "kernel_size must be odd"),
        (("GaussianKernel", {"kernel_size": 3, "sigma": 0}), "sigma must be above 0"),
        (
            ("Mix", {"mixing": "add", "chains": []}),
            "Mix: argument 'mixing': unknown variant `add`, expected one of `sum`, `bl",
        ),
        (("Mix", {"mixing": "blends", "chains": [1.0]}), "expected a pair of a chain's weight and"),
        (
            ("Mix", {"mixing": "blends", "chains": [(1.0, [("Hue", {"factor": "x"})])]}),
            "Hue: argument",
        ),
        (("Mix", {"mixing": "blends", "chains": [(1.0, [("Posterize", {"bits": 9})])]}), "not 9"),
        (("Mix", {"mixing": "blends", "chains": [(float("nan"), [])]}), "weight must be finite"),
        (
            ("Mix", {"mixing": "blends", "chains": [(1.0, [("Mix", EMPTY_MIX)])]}),
            "a chain cannot hold another Mix",
        ),
        (("Erase", {**BOX, "fill": "red"}), "argument 'fill': must be a colour (three integers"),
        (("Erase", {**BOX, "fill": "noise", "seed": 1}), "Erase: noise needs mean, std and seed"),
        (
            ("Erase", {**BOX, "fill": (0, 0, 0), "seed": 1}),
            "Erase: a colour has no mean, std or seed",
        ),
        (("Erase", {**BOX, "w": 1 << 16, "fill": (0, 0, 0)}), "w and h must be at most"),
    ],
)
def test_an_op_that_is_wrong_is_refused_by_name(image, op, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        render(image, {"ops": [*PLAN["ops"], op]})


@pytest.mark.parametrize("names", [["hflip", "hflip"], ["vflip", "hflip"], ["Invert", "vflip"]])
def test_flips_come_first_and_once(image, names):
    ops = [(name, {}) for name in names]
    with pytest.raises(ValueError, match=f"'{names[1]}' is out of order"):
        render(image, {"ops": [*PLAN["ops"], *ops]})


@pytest.mark.parametrize("name", ["crop", "resize", "frame"])
def test_the_geometry_comes_before_ops(image, name):
    steps = {
        "crop": {"x": 0, "y": 0, "w": 4, "h": 4},
        "resize": {"size": (4, 4), "interpolation": "box"},
        "frame": {"x": 0, "y": 0, "size": (4, 4), "fill": (0, 0, 0)},
    }
    with pytest.raises(ValueError, match=f"'{name}' is out of order: a plan's ops are crop"):
        render(image, {"ops": [*PLAN["ops"], ("Invert", {}), (name, steps[name])]})


@pytest.mark.parametrize("entry", ["Invert", ("Invert",), ("Invert", 3), (1, {}), 7])
def test_an_entry_is_a_pair(image, entry):
    with pytest.raises(TypeError, match="must be a pair of a name and a dict"):
        render(image, {"ops": [*PLAN["ops"], entry]})


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        ({"x": 85, "y": 0, "w": 8, "h": 8}, "reaches outside the image"),
        ({"x": -1, "y": 0, "w": 8, "h": 8}, "reaches outside the image"),
        ({"x": 0, "y": 0, "w": 0, "h": 8}, "is not a part of an image"),
    ],
)
def test_a_crop_lies_in_the_image(image, crop, message):
    resize = ("resize", {"size": (4, 4), "interpolation": "box"})
    with pytest.raises(ValueError, match=message):
        render(image, {"ops": [("crop", crop), resize]})


def test_a_plan_begins_with_a_crop(image):
    with pytest.raises(ValueError, match="must begin with 'crop'"):
        render(image, {"ops": []})


def test_a_plan_is_a_mapping(image):
    for plan in (None, {}, []):
        with pytest.raises(TypeError, match="plan must be a mapping with 'ops'"):
            render(image, plan)
    for ops in ("crop", None, {"crop": {}}):
        with pytest.raises(TypeError, match="ops must be a list of "):
            render(image, {"ops": ops})


@pytest.mark.parametrize("side", [0, 1 << 16])
def test_sizes_have_bounds(image, side):
    resize = ("resize", {"size": (side, 4), "interpolation": "box"})
    with pytest.raises(ValueError, match="size must be from 1 to 32768"):
        render(image, {"ops": [*PLAN["ops"], resize]})


@pytest.mark.parametrize("resized", [(1, 1 << 25), (1 << 25, 1), (1 << 15, 1 << 15), (0, 4)])
def test_a_frame_has_bounds(image, resized):
    resize = ("resize", {"size": resized, "interpolation": "box"})
    # Mirrored pixels may come from anywhere, so the whole image is made.
    frame = ("frame", {"x": -1, "y": -1, "size": (4, 4)})
    with pytest.raises(ValueError, match=f"cannot be resized to {resized[0]} x {resized[1]}"):
        render(image, {"ops": [*PLAN["ops"], resize, frame]})


@pytest.mark.parametrize("corner", [(1 << 30, 0), (0, 1 << 30), (-(1 << 30), 0)])
def test_a_crop_far_away_is_outside(image, corner):
    crop = ("crop", {"x": corner[0], "y": corner[1], "w": 1 << 30, "h": 1 << 30})
    resize = ("resize", {"size": (4, 4), "interpolation": "box"})
    with pytest.raises(ValueError, match=r"reaches outside|cannot be resized"):
        render(image, {"ops": [crop, resize]})


def test_a_box_far_away_erases_nothing(image):
    box = ("Erase", {"x": -(1 << 31), "y": (1 << 31) - 1, "w": 1 << 15, "h": 1, "fill": (0, 0, 0)})
    assert (render(image, {"ops": [*PLAN["ops"], box]}) == render(image, PLAN)).all()


def test_max_pixels_bounds_files(photos, image_folder):
    path = next(image_folder.glob("*/*.jpg"))
    height, width = decode(path).shape[:2]
    plan = View(8).plan((height, width), index=0)
    assert render(path, plan, max_pixels=height * width).shape == (3, 8, 8)
    with pytest.raises(DecodeError, match="exceeds the limit"):
        render(path, plan, max_pixels=height * width - 1)
    with pytest.raises(ValueError, match="max_pixels must be from 1"):
        render(path, plan, max_pixels=0)


@pytest.mark.parametrize("resized", [(1, 1), (2, 3), (5, 40), (30, 4), (50, 50)])
def test_a_frame_mirrors_as_numpy_does(image, resized):
    """Also where the frame is larger than the image and its mirror image together."""
    resize = ("resize", {"size": resized, "interpolation": "bilinear"})
    plain = render(image[:6, :8], {"ops": [*PLAN["ops"], resize]})
    for x, y in [(0, 0), (-7, 0), (3, -20), (-20, 9)]:
        size = (24, 20)
        frame = ("frame", {"x": x, "y": y, "size": size})
        ours = render(image[:6, :8], {"ops": [*PLAN["ops"], resize, frame]})
        low, high = (max(-y, 0), max(-x, 0)), (y + size[0], x + size[1])
        pad = [
            (below, max(end - side, 0)) for below, end, side in zip(low, high, resized, strict=True)
        ]
        padded = np.pad(plain, [(0, 0), *pad], mode="reflect")
        top, left = y + low[0], x + low[1]
        assert (ours == padded[:, top : top + size[0], left : left + size[1]]).all()
