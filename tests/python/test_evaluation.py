"""Views for validation: equal to timm's transform, over sizes, modes, filters and images."""

import io
import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import timm
from PIL import Image
from reference import assert_equal, by_timm
from timm.data import create_transform, resolve_data_config

from tied_augment import DecodeError, TiedLoader, TwoView, View, render

MODES = ("center", "squash", "border")
FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
MEANS = ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0), (1.0, 0.1, 0.3))


def timms(options, image):
    """What timm's evaluation makes of an (H, W, 3) array, (3, H, W) uint8.

    None where timm fails: of long images it rounds the short side to 0, which Pillow refuses.
    """
    transform = create_transform(**options, normalize=False)
    try:
        return transform(Image.fromarray(image)).numpy()
    except ValueError as error:
        if "must be > 0" not in str(error):
            raise
        return None


def noise(rng, height, width):
    """Random bytes, half of them at the ends of the range, where rounding and clamping show."""
    return np.clip(rng.integers(-255, 511, (height, width, 3)), 0, 255).astype(np.uint8)


def drawn_options(rng):
    """Options of timm's ``create_transform`` for evaluation."""
    side, height, width = (int(n) for n in rng.integers(1, 90, 3))
    sizes = [side, (side, side), (height, width), (3, height, width), [3, side, side]]
    options = {
        "is_training": False,
        "input_size": sizes[rng.integers(len(sizes))],
        "crop_mode": (*MODES, None)[rng.integers(4)],
        "interpolation": FILTERS[rng.integers(len(FILTERS))],
        "mean": MEANS[rng.integers(len(MEANS))],
    }
    smallest = min(np.atleast_1d(options["input_size"])[-2:])
    crop_pcts = [None, 0.875, 1.0, 0.5, 0.96, float(rng.uniform(0.2, 1.0)), 0]
    crop_pcts += [float(rng.uniform(1.0, min(2.5, smallest)))]  # above 1, a border remains
    options["crop_pct"] = crop_pcts[rng.integers(len(crop_pcts))]
    if rng.integers(4) == 0:
        options["crop_border_pixels"] = int(rng.integers(0, 5))
    return options


@pytest.mark.parametrize("seed", range(20))
def test_equals_timm(seed):
    rng = np.random.default_rng(seed)
    compared = 0
    for _ in range(150):
        options = drawn_options(rng)
        longest = int(rng.choice([16, 60, 200]))
        image = noise(rng, *(int(side) for side in rng.integers(9, 9 + longest, 2)))
        view = View.from_timm(**options)
        ours = view(image)
        theirs = timms(options, image)
        if theirs is None:
            continue
        assert_equal(ours, theirs, options, image.shape)
        compared += 1
        plan = view.plan(image.shape[:2])
        assert_equal(ours, by_timm(plan, image), plan)
        stored = json.loads(json.dumps(plan))
        assert_equal(ours, render(image, stored), stored)
    assert compared > 100


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(3, 900), (900, 3), (1, 400), (400, 1), (2, 4001), (1, 1)])
def test_extreme_ratios(mode, shape):
    image = noise(np.random.default_rng(0), *shape)
    for interpolation in FILTERS:
        for size, crop_pct in ((32, 0.875), ((20, 48), 0.9), ((48, 20), 1.25), (64, 1.0)):
            options = {
                "is_training": False,
                "input_size": size,
                "crop_mode": mode,
                "crop_pct": crop_pct,
                "interpolation": interpolation,
            }
            ours = View.from_timm(**options)(image)
            theirs = timms(options, image)
            assert theirs is not None or mode == "border"
            if theirs is not None:
                assert_equal(ours, theirs, options)


def test_files_are_decoded_where_they_are_needed(photos):
    rng = np.random.default_rng(1)
    for number in range(60):
        photo = Image.fromarray(photos[number % len(photos)])
        width, height = (int(side) for side in rng.integers(60, 500, 2))
        file = io.BytesIO()
        kind = ("JPEG", "PNG", "JPEG")[number % 3]
        options = {"quality": 90, "subsampling": number % 3} if kind == "JPEG" else {}
        photo.resize((width, height)).save(file, kind, **options)
        image = np.asarray(Image.open(file).convert("RGB"))
        options = drawn_options(rng) | {"input_size": int(rng.integers(16, 225))}
        theirs = timms(options, image)
        if theirs is not None:
            assert_equal(View.from_timm(**options)(file.getvalue()), theirs, options)


def test_broken_files_are_refused_where_pillow_refuses_them(photos):
    """Although only a part of the image is decoded, of which nothing may be missing."""
    refused = 0
    for number, photo in enumerate(photos):
        file = io.BytesIO()
        Image.fromarray(photo).resize((300, 220)).save(file, "JPEG", quality=80 + number)
        for cut in (2, 3, 20, 200, 1000, 4000):
            data = file.getvalue()[:-cut]
            try:
                Image.open(io.BytesIO(data)).convert("RGB")
            except OSError:
                refused += 1
                with pytest.raises(DecodeError):
                    View.eval(64)(data)
            else:
                View.eval(64)(data)
    assert refused > 10


def test_a_view_with_random_zoom_is_equal_in_its_frame():
    """The random modes with a frame: only that is resized, and mirrored outside."""
    rng = np.random.default_rng(2)
    for crop in ("rkrc", "rkrr"):
        view = View((40, 56), crop=crop, scale=(0.3, 2.0), ratio=(0.5, 2.0), vflip=0.5)
        for index in range(150):
            image = noise(rng, *(int(side) for side in rng.integers(1, 120, 2)))
            plan = view.plan(image.shape[:2], index=index)
            frame = dict(plan["ops"])["frame"]
            resized = dict(plan["ops"])["resize"]["size"]
            if min(resized) < 3 or abs(frame["x"]) >= resized[1] or abs(frame["y"]) >= resized[0]:
                continue  # Pillow pads by less than a side
            assert_equal(view(image, index=index), by_timm(plan, image), plan)


def test_an_edited_frame_may_lie_anywhere():
    image = noise(np.random.default_rng(3), 30, 40)
    view = View.eval((16, 24), crop_pct=1.0)
    (crop, resize, (_, frame)) = view.plan((30, 40))["ops"]
    for fill in (None, (1, 2, 3)):
        for x, y in ((-30, 0), (3, -40), (90, 90), (-5, 2), (10, 4), (-1000, 5)):
            edited = frame | {"x": x, "y": y} | ({} if fill is None else {"fill": fill})
            resized = Image.fromarray(image).resize(resize[1]["size"][::-1], Image.BICUBIC)
            if fill is None:
                height, width = resize[1]["size"]
                rows = [_mirrored(y + row, height) for row in range(16)]
                columns = [_mirrored(x + column, width) for column in range(24)]
                expected = np.asarray(resized)[np.ix_(rows, columns)]
            else:
                expected = np.full((16, 24, 3), fill, np.uint8)
                canvas = Image.fromarray(expected)
                canvas.paste(resized, (-x, -y))
                expected = np.asarray(canvas)
            ours = render(image, {"ops": [crop, resize, ("frame", edited)]})
            assert_equal(ours, expected.transpose(2, 0, 1), edited)


def _mirrored(i, length):
    i %= 2 * (length - 1)
    return min(i, 2 * (length - 1) - i)


def test_all_calls_give_the_same(image_folder):
    view = View.eval((48, 40), 0.9, "border", mean=(0.1, 0.2, 0.3))
    paths = sorted(str(path) for path in image_folder.rglob("*.jpg"))
    batch = view.batch(paths, threads=2)
    assert_equal(batch, view.batch(paths, indices=range(5, 17), epoch=3, seed=9))
    assert_equal(batch, np.stack([view(path) for path in paths]))
    pairs = TwoView(view).batch(paths)
    assert_equal(pairs[0], batch)
    assert_equal(pairs[1], batch)
    both = TwoView(view, View((48, 40)), same_crop=False)
    assert_equal(both.batch(paths)[0], batch)
    loader = TiedLoader([(path, 0) for path in paths], view, batch_size=5, threads=2)
    assert_equal(np.concatenate([images.numpy() for images, _ in loader]), batch)
    assert view.plan((100, 80), index=1) == view.plan((100, 80), index=7, epoch=2, seed=3)


def test_the_data_config_of_a_model():
    model = timm.create_model("test_vit", num_classes=4)
    config = resolve_data_config(model=model)
    image = noise(np.random.default_rng(4), 300, 200)
    view = View.from_timm(**config, is_training=False)
    theirs = create_transform(**config, normalize=False)(Image.fromarray(image)).numpy()
    assert_equal(view(image), theirs)
    assert View.from_timm(**config).crop == "rrc"  # a training view, unless told otherwise
    cfg = {"input_size": (3, 64, 48), "crop_pct": 1.0, "crop_mode": "squash"}
    squashed = resolve_data_config(model=SimpleNamespace(pretrained_cfg=cfg))
    view = View.from_timm(**squashed, is_training=False)
    assert (view.size, view.crop, view.crop_pct) == ((64, 48), "squash", 1.0)


def test_training_options_have_no_effect_in_evaluation():
    training = {"hflip": 1.0, "auto_augment": "rand-m9", "re_prob": 1.0, "no_aug": True}
    plain = View.from_timm(is_training=False)
    assert View.from_timm(is_training=False, **training, train_crop_mode="rkrc") == plain
    assert plain == View.eval(224, interpolation="bilinear")


def test_shows_what_it_is():
    view = View.eval(256)
    shown = "View(size=(256, 256), interpolation='bicubic', hflip=0.0, crop='center'"
    assert repr(view) == f"{shown}, crop_pct=0.875)"
    assert eval(repr(view), {"View": View}) == view


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: View.eval(crop_mode="centre"), "crop_mode must be 'center', 'squash' or 'border'"),
        (lambda: View.eval(crop_pct=0), "crop_pct must be a fraction such as 0.875, not 0"),
        (lambda: View.eval(crop_pct=-0.9), "crop_pct must be a fraction such as 0.875, not -0.9"),
        (lambda: View.eval(crop_pct=300.0), "not 300: it would resize the image to 0 x 0"),
        (lambda: View.eval(crop_pct=1e-6), "crop_pct must be a fraction"),
        (lambda: View.eval(crop_pct=float("nan")), "crop_pct"),
        (lambda: View.eval(interpolation="random"), "'random' is not for evaluation"),
        (lambda: View.eval(crop_border_pixels=-1), "crop_border_pixels must be from 0"),
        (lambda: View.eval(mean=(124, 116, 104)), "mean must be of values from 0 to 1"),
        (lambda: View(crop_pct=0.9), "crop_pct=0.9 has no effect without crop='center'"),
        (lambda: View(crop_border_pixels=2), "crop_border_pixels=2 has no effect without crop="),
        (lambda: View.from_timm(is_training=False, naflex=True), "naflex=True is not supported"),
        (
            lambda: View.eval(8, crop_border_pixels=4).plan((20, 8)),
            "nothing is left of an image of .* without crop_border_pixels=4",
        ),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_file_that_is_too_small_for_its_border_is_named(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    with pytest.raises(DecodeError, match=r"small\.png.*crop_border_pixels=4"):
        View.eval(8, crop_border_pixels=4)(tmp_path / "small.png")


def test_what_timm_says_of_random():
    """timm refuses it where it resizes by torchvision, and draws a filter where it does itself."""
    with warnings.catch_warnings(), pytest.raises(KeyError, match="random"):
        create_transform(32, interpolation="random")
    create_transform(32, interpolation="random", crop_mode="border")
