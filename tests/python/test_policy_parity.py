"""Policies end to end: our plan's pixels against those that timm and torchvision make of it."""

import numpy as np
import pytest
from PIL import Image, ImageOps
from reference import GEOMETRY, TIMM, Torchvision, assert_equal, by_timm, planes, view_of
from torchvision.transforms import InterpolationMode, autoaugment, v2
from torchvision.transforms import functional as F

from tied_augment import TwoView, View

TIMM_POLICIES = [
    "rand-m9-mstd0.5-inc1",
    "rand-m15-n4-p1-mmax20-mstd4-inc1",
    "rand-m7-n3-p0.9-mstd101",
    "rand-m10-n6-p1-tweights",
    "rand-m8-n5-p1-t3aw-mstd2",
    "rand-m6-n3-p1-t3a",
    "original-mstd0.5",
    "originalr-mstd3",
    "v0",
    "v0r-mstd1",
    "3a-mstd4",
    "augmix-m5-w4-d2",
    "augmix-m9-b1",
    "augmix-m10-mstd1-a0.3",
]

FILTERS = {name: InterpolationMode(name) for name in ("nearest", "bilinear", "bicubic")}


def samples(photos, count, seed):
    """Photographs' parts, gray and constant images and noise, of many shapes."""
    rng = np.random.default_rng(seed)
    for case in range(count):
        photo = photos[case % len(photos)]
        height, width = rng.integers(20, 300, 2)
        y, x = (rng.integers(photo.shape[axis] - (height, width)[axis] + 1) for axis in (0, 1))
        image = np.ascontiguousarray(photo[y : y + height, x : x + width])
        if case % 8 == 5:
            image[...] = image[..., :1]
        elif case % 8 == 6:
            image[...] = rng.integers(256)
        elif case % 8 == 7:
            image = rng.integers(0, 256, image.shape, np.uint8)
        yield case, image


@pytest.mark.parametrize("interpolation", ["random", "nearest"])
@pytest.mark.parametrize("policy", TIMM_POLICIES)
def test_equals_timms_functions(photos, policy, interpolation):
    seen = set()
    size = (61, 48) if interpolation == "nearest" else (64, 72)
    view = View(size, auto_augment=policy, interpolation=interpolation, mean=(0.5, 0.4, 0.1))
    for case, image in samples(photos, 80, TIMM_POLICIES.index(policy)):
        plan = view.plan(image.shape[:2], index=case)
        assert_equal(view(image, index=case), by_timm(plan, image), case, plan)
        seen |= {name for name, _ in plan["ops"]} - GEOMETRY
    assert len(seen) >= (1 if policy.startswith("augmix") else 3)


# Each with torchvision's policy, the bins of its magnitudes and how many of them it draws from.
TORCHVISION = {
    "tv-rand-n2-m9": (autoaugment.RandAugment(2, 9), 31, None),
    "tv-rand-n4-m6-b10-ibilinear": (
        autoaugment.RandAugment(4, 6, 10, FILTERS["bilinear"]),
        10,
        None,
    ),
    "tv-rand-n3-m30-ibicubic-p0.8": (
        autoaugment.RandAugment(3, 30, interpolation=FILTERS["bicubic"]),
        31,
        None,
    ),
    "tv-trivial": (autoaugment.TrivialAugmentWide(), 31, None),
    "trivial": (autoaugment.TrivialAugmentWide(), 31, None),
    "tv-trivial-b11-ibicubic": (
        autoaugment.TrivialAugmentWide(11, FILTERS["bicubic"]),
        11,
        None,
    ),
    **{
        f"tv-auto-{policy.value}": (autoaugment.AutoAugment(policy), 10, None)
        for policy in autoaugment.AutoAugmentPolicy
    },
    "tv-augmix": (autoaugment.AugMix(), 10, 3),
    "tv-augmix-m10-w2-d4-a0.5-inearest": (
        autoaugment.AugMix(10, 2, 4, 0.5, interpolation=FILTERS["nearest"]),
        10,
        10,
    ),
}


@pytest.mark.parametrize("policy", TORCHVISION)
def test_equals_torchvisions_functions(photos, policy):
    theirs, bins, severity = TORCHVISION[policy]
    # A square: there Pillow rotates by 90 degrees in another way.
    for size in ((56, 56), (43, 60)):
        reference = Torchvision(theirs, bins, size, severity)
        view = View(size, auto_augment=policy)
        for case, image in samples(photos, 60, 1):
            plan = view.plan(image.shape[:2], index=case)
            assert_equal(view(image, index=case), reference(plan, image), case, plan)


@pytest.mark.parametrize("name", ["ShearX", "ShearY", "Rotate", "TranslateX", "TranslateY"])
def test_every_geometric_magnitude_of_torchvision(photos, name):
    """All bins and signs, so that no last bit of a matrix goes unseen."""
    image = photos[0][:90, :90]
    view = View(48, crop="squash", auto_augment="tv-trivial-ibilinear", hflip=0)
    reference = Torchvision(
        autoaugment.TrivialAugmentWide(interpolation=FILTERS["bilinear"]), 31, (48, 48)
    )
    left = set(reference.magnitudes[name]) - {-0.0}
    for index in range(20_000):
        plan = view.plan((90, 90), index=index)
        op = next((op for op in plan["ops"] if op[0] == name), None)
        magnitude = op and reference.call(*op)[1]
        if magnitude in left:
            left.discard(magnitude)
            assert_equal(view(image, index=index), reference(plan, image), op)
    # Translations of less than a pixel can't be told from each other.
    assert {m for m in left if name[:-1] != "Translate" or abs(m) >= 1} <= {-0.0}


def test_the_rest_of_timms_transform(photos):
    view = View(
        64,
        crop="rkrr",
        vflip=0.5,
        color_jitter=(0.4, 0.3, 0.6, 0.2),
        color_jitter_prob=0.8,
        grayscale_prob=0.2,
        cutout=21,
        re_prob=0.5,
        re_count=3,
    )
    seen = set()
    for case, image in samples(photos, 300, 2):
        plan = view.plan(image.shape[:2], index=case)
        assert_equal(view(image, index=case), by_timm(plan, image), case, plan)
        seen |= {name for name, _ in plan["ops"]}
    named = {"Brightness", "Contrast", "Color", "Hue", "Grayscale", "Erase", "frame", "vflip"}
    assert named <= seen


@pytest.mark.parametrize("crop", ["rkrc", "rkrr", "center", "squash"])
def test_crops_of_resized_images(photos, crop):
    rng = np.random.default_rng(3)
    for case, image in samples(photos, 100, 4):
        side = int(rng.integers(1, 150))
        size = side if crop == "center" else (side, int(rng.integers(1, 150)))
        # A strong change of the ratio leaves much to mirror, sometimes more than once.
        ranges = {"scale": (0.5, 4), "ratio": (0.1, 10)} if crop.startswith("rkr") else {}
        view = View(size, crop=crop, vflip=0.5, **ranges)
        plan = view.plan(image.shape[:2], index=case)
        assert_equal(view(image, index=case), planes(view_of(plan, image)), case, plan)


def test_blur_equals_torchvisions_up_to_rounding(photos):
    """torch sums 529 floats in an order of its own: a byte in 10,000 may round the other way."""
    view = View(64, gaussian_blur_prob=1)
    differences = []
    for case, image in samples(photos, 40, 5):
        plan = view.plan(image.shape[:2], index=case)
        ours, theirs = view(image, index=case), by_timm(plan, image)
        differences.append(np.abs(ours.astype(int) - theirs))
    assert np.max(differences) <= 1
    assert np.mean(differences) < 1e-4


@pytest.mark.parametrize("kernel_size", [1, 3, 9, 31])
def test_blurs_of_any_kernel_equal_torchvisions_up_to_rounding(photos, kernel_size):
    fields = {"gaussian_blur_kernel": kernel_size, "gaussian_blur_sigma": (0.3, 6)}
    view = View((40, 64), gaussian_blur_prob=1, **fields)
    differences = []
    for case, image in samples(photos, 40, 6):
        plan = view.plan(image.shape[:2], index=case)
        ours, theirs = view(image, index=case), by_timm(plan, image)
        differences.append(np.abs(ours.astype(int) - theirs))
    assert np.max(differences) <= 1
    assert np.mean(differences) < 2e-4


def test_pillows_blur_of_any_radius_and_size(photos):
    rng = np.random.default_rng(7)
    for case, image in samples(photos, 150, 7):
        size = tuple(int(side) for side in rng.integers(1, 120, 2))
        view = View(
            size,
            gaussian_blur_prob=0.9,
            gaussian_blur_kernel=None,
            gaussian_blur_sigma=(0, rng.choice([0.5, 2, 30])),
            grayscale_prob=0.2,
        )
        plan = view.plan(image.shape[:2], index=case)
        assert_equal(view(image, index=case), by_timm(plan, image), case, plan)


def test_solarize_is_pillows_and_torchvisions(photos):
    """torchvision has one rule for tensors and another for PIL images. Both give these pixels."""
    rng = np.random.default_rng(8)
    for case, image in samples(photos, 150, 8):
        whole = case % 3 > 0
        threshold = int(rng.integers(0, 256)) if whole else float(rng.uniform(0, 255))
        view = View(48, solarize_prob=1, solarize_threshold=threshold)
        plan = view.plan(image.shape[:2], index=case)
        assert plan["ops"][-1] == ("Solarize", {"threshold": threshold})
        ours, plain = view(image, index=case), view_of(plan, image)
        assert_equal(ours, planes(ImageOps.solarize(plain, threshold)), case, plan)
        theirs = v2.RandomSolarize(threshold, p=1)
        assert_equal(ours, planes(theirs(plain)), case, plan)
        if whole:
            assert_equal(ours, theirs(F.pil_to_tensor(plain)).numpy(), case, plan)


def test_noise_is_normal_about_the_mean(photos):
    view = View(128, re_prob=1, re_mode="pixel", mean=(0.5, 0.4, 0.6), std=(0.1, 0.1, 0.15))
    boxes = 0
    for index in range(20):
        plan = view.plan((90, 90), index=index)
        pixels = view(photos[0][:90, :90], index=index)
        name, box = plan["ops"][-1]
        if name != "Erase" or box["w"] * box["h"] < 1000:
            continue
        boxes += 1
        x, y, w, h = (box[key] for key in "xywh")
        noise = pixels[:, y : y + h, x : x + w].reshape(3, -1)
        error = 255 * np.array(view.std) / np.sqrt(w * h)
        # Five standard errors, and the mean of what is rounded half to even.
        assert (np.abs(noise.mean(1) - 255 * np.array(view.mean)) < 5 * error + 0.01).all()
        assert np.allclose(noise.std(1), 255 * np.array(view.std), rtol=0.1)
        pairs = noise.reshape(3, h, w)
        assert abs(np.corrcoef(pairs[0].ravel(), pairs[1].ravel())[0, 1]) < 5 / np.sqrt(w * h)
        assert abs(np.corrcoef(noise[0, 1:], noise[0, :-1])[0, 1]) < 5 / np.sqrt(w * h)
    assert boxes > 5


def test_posterize_to_no_bits_is_black():
    """timm 1.0.31 asks Pillow for 0 bits there, which Pillow 13 refuses with a ValueError."""
    view = View(16, auto_augment="rand-m10-inc1-p1-n1")
    image = np.full((16, 16, 3), 200, np.uint8)
    plans = {index: view.plan((16, 16), index=index) for index in range(200)}
    black = [i for i, plan in plans.items() if ("Posterize", {"bits": 0}) in plan["ops"]]
    assert black
    assert not view(image, index=black[0]).any()
    assert np.asarray(TIMM["Posterize"](Image.fromarray(image), 0)).max() == 0


def test_the_first_view_is_spared_with_splits(photos):
    two = TwoView(View(32, re_prob=1, re_num_splits=2))
    plans = two.plan((90, 90), index=3)
    assert [any(name == "Erase" for name, _ in plan["ops"]) for plan in plans] == [False, True]
    both = TwoView(View(32, re_prob=1)).plan((90, 90), index=3)
    assert all(plan["ops"][-1][0] == "Erase" for plan in both)


def test_views_of_one_crop_have_ops_of_their_own():
    two = TwoView(View(32, auto_augment="rand-n2-p1"), same_crop=True)
    differ = 0
    for index in range(50):
        first, second = two.plan((90, 90), index=index)
        assert [first[key] for key in ("crop", "interpolation", "hflip", "vflip")] == [
            second[key] for key in ("crop", "interpolation", "hflip", "vflip")
        ]
        differ += first["ops"] != second["ops"]
    assert differ > 40
