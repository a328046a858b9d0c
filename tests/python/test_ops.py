"""Every operation against the installed Pillow, timm and torchvision: whole arrays, `== 0`."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tv
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from timm.data import auto_augment as timm_ops
from timm.data.auto_augment import AugMixAugment

from tied_augment import render

FILL = (124, 116, 104)
RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
LEVELS = [half / 2 for half in range(21)]
SIZE = {"translate_const": 100}


@pytest.fixture(scope="module")
def images(photos):
    """Photos, noise, constants, grays, two tones, lines and odd sizes, (H, W, 3) uint8."""
    rng = np.random.default_rng(7)

    def noise(*shape):
        return rng.integers(0, 256, (*shape, 3), dtype=np.uint8)

    gray = photos[1][:45, :61].copy()
    gray[...] = gray.mean(-1, keepdims=True)
    return [
        photos[0][100:211, 120:243].copy(),
        photos[2][:64, 100:161].copy(),
        noise(33, 50),
        gray,
        np.full((17, 9, 3), 77, np.uint8),
        np.full((3, 3, 3), (0, 255, 3), np.uint8),
        np.where(noise(24, 24) > 127, 255, 0).astype(np.uint8),
        (noise(16, 40) // 8 + 100).astype(np.uint8),
        noise(1, 13),
        noise(14, 1),
        noise(2, 2),
        noise(1, 1),
        noise(40, 3),
    ]


def apply(image, *ops):
    """Our ops on a whole image, as (H, W, 3)."""
    height, width = image.shape[:2]
    crop = ("crop", {"x": 0, "y": 0, "w": width, "h": height})
    return render(image, {"ops": [crop, *ops]}).transpose(1, 2, 0)


def check(images, op, reference):
    """`op` does to each image exactly what `reference` does to it as a PIL image."""
    for image in images:
        name, arguments = op(image) if callable(op) else op
        expected = np.asarray(reference(Image.fromarray(image)))
        ours = apply(image, (name, arguments))
        wrong = np.count_nonzero(ours != expected)
        assert wrong == 0, f"{name} {arguments} on {image.shape}: {wrong} bytes differ"


def geometric(name, **arguments):
    return [
        (interpolation, (name, {**arguments, "interpolation": interpolation, "fill": FILL}))
        for interpolation in RESAMPLE
    ]


def timm_arguments(name, level):
    """timm's arguments of an op at a level, with both signs where timm draws one."""
    function = timm_ops.LEVEL_TO_ARG[name]
    if function is None:
        return [()]
    found = set()
    for sign in (0.2, 0.7):  # what decides it is whether a draw exceeds a half
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timm_ops.random, "random", lambda sign=sign: sign)
            found.add(tuple(function(level, SIZE)))
    return sorted(found)


PLAIN = {
    "AutoContrast": lambda: ("AutoContrast", {}),
    "Equalize": lambda: ("Equalize", {}),
    "Invert": lambda: ("Invert", {}),
    "Posterize": lambda bits: ("Posterize", {"bits": bits}),
    "Solarize": lambda threshold: ("Solarize", {"threshold": threshold}),
    "SolarizeAdd": lambda add: ("SolarizeAdd", {"add": add, "threshold": 128}),
    "Color": lambda factor: ("Color", {"factor": factor}),
    "Contrast": lambda factor: ("Contrast", {"factor": factor}),
    "Brightness": lambda factor: ("Brightness", {"factor": factor}),
    "Sharpness": lambda factor: ("Sharpness", {"factor": factor}),
    "Desaturate": lambda factor: ("Color", {"factor": min(1.0, max(0.0, 1.0 - factor))}),
    "GaussianBlur": lambda radius: ("GaussianBlur", {"radius": radius}),
}
MOVES = {
    "Rotate": lambda _, degrees: ("Rotate", {"degrees": degrees}),
    "ShearX": lambda _, factor: ("ShearX", {"factor": factor}),
    "ShearY": lambda _, factor: ("ShearY", {"factor": factor}),
    "TranslateX": lambda _, pixels: ("TranslateX", {"pixels": pixels}),
    "TranslateY": lambda _, pixels: ("TranslateY", {"pixels": pixels}),
    "TranslateXRel": lambda image, share: ("TranslateX", {"pixels": share * image.shape[1]}),
    "TranslateYRel": lambda image, share: ("TranslateY", {"pixels": share * image.shape[0]}),
}


def our_name(name):
    for suffix in ("Increasing", "Original"):
        name = name.removesuffix(suffix)
    return name


# GaussianBlurRand draws a radius for GaussianBlur, which the plan has decided.
TIMM = sorted(set(timm_ops.NAME_TO_OP) - {"GaussianBlurRand"})


def test_every_op_of_timm_is_tested():
    assert {our_name(name) for name in TIMM} == set(PLAIN) | set(MOVES)


@pytest.mark.parametrize("name", [name for name in TIMM if our_name(name) in PLAIN])
def test_tones_and_filters_at_every_level(images, name):
    for level in LEVELS:
        for arguments in timm_arguments(name, level):
            if our_name(name) == "Posterize" and arguments[0] == 0:
                continue  # see test_posterize_to_no_bits_is_black
            op = PLAIN[our_name(name)](*arguments)
            check(images, op, lambda im, a=arguments: timm_ops.NAME_TO_OP[name](im, *a))


@pytest.mark.parametrize("interpolation", RESAMPLE)
@pytest.mark.parametrize("name", [name for name in TIMM if our_name(name) in MOVES])
def test_moves_at_every_level(images, name, interpolation):
    look_up = {"interpolation": interpolation, "fill": FILL}
    theirs = {"resample": RESAMPLE[interpolation], "fillcolor": FILL}
    for level in LEVELS[::2]:
        for arguments in timm_arguments(name, level):

            def op(image, arguments=arguments):
                own, values = MOVES[name](image, *arguments)
                return own, {**values, **look_up}

            check(images, op, lambda im, a=arguments: timm_ops.NAME_TO_OP[name](im, *a, **theirs))


@pytest.mark.parametrize("interpolation", RESAMPLE)
def test_rotation_by_any_angle(images, interpolation):
    angles = [0, 90, 180, 270, 360, -90, 45, 89.999, 1e-9, -1e-9, 720.5, 123.456, -213.2]
    for degrees in angles:
        op = {"degrees": degrees, "interpolation": interpolation, "fill": FILL}
        check(
            images,
            ("Rotate", op),
            lambda im, d=degrees: im.rotate(d, RESAMPLE[interpolation], fillcolor=FILL),
        )


# The largest are beyond the 16.16 fixed point of Pillow's nearest neighbour.
STEPS = [1e-9, -1e-3, 0.5, -1.0, 3.7, -40.25, 4e4, -9e5, 1e6]
MATRICES = {
    "ShearX": lambda value: (1, value, 0, 0, 1, 0),
    "ShearY": lambda value: (1, 0, 0, value, 1, 0),
    "TranslateX": lambda value: (1, 0, value, 0, 1, 0),
    "TranslateY": lambda value: (1, 0, 0, 0, 1, value),
}


@pytest.mark.parametrize("interpolation", RESAMPLE)
@pytest.mark.parametrize("name", MATRICES)
def test_moves_of_any_size(images, name, interpolation):
    argument = "factor" if name.startswith("Shear") else "pixels"
    rng = np.random.default_rng(3)
    for value in [*STEPS, *rng.normal(size=20), *rng.normal(scale=20, size=20)]:
        data = MATRICES[name](float(value))
        op = {argument: float(value), "interpolation": interpolation, "fill": FILL}
        check(
            images,
            (name, op),
            lambda im, data=data: im.transform(
                im.size, Image.Transform.AFFINE, data, RESAMPLE[interpolation], fillcolor=FILL
            ),
        )


@pytest.mark.parametrize(("name", "shape"), [("ShearX", (1100, 40)), ("ShearY", (40, 1100))])
def test_moves_beyond_fixed_point_that_leave_a_part_inside(name, shape):
    image = np.random.default_rng(4).integers(0, 256, (*shape, 3), np.uint8)
    for factor in (33.0, -33.0):
        data = MATRICES[name](factor)
        check(
            [image],
            (name, {"factor": factor, "interpolation": "nearest", "fill": FILL}),
            lambda im, data=data: im.transform(
                im.size, Image.Transform.AFFINE, data, Image.Resampling.NEAREST, fillcolor=FILL
            ),
        )


@pytest.mark.parametrize("interpolation", RESAMPLE)
def test_moves_are_torchvisions(images, interpolation):
    """torchvision's `affine`, as its policies call it: the corner stays where it is in a shear."""
    mode = tv.InterpolationMode(interpolation)
    look_up = {"interpolation": interpolation, "fill": (0, 0, 0)}
    for degrees in (11.3, -16.7):
        radians = math.radians(degrees)
        for name, factor, shear in [
            ("ShearX", math.tan(radians), [degrees, 0.0]),
            ("ShearY", math.sin(radians) / math.cos(radians), [0.0, degrees]),
        ]:
            check(
                images,
                (name, {"factor": factor, **look_up}),
                lambda im, s=shear: tv.affine(im, 0.0, [0, 0], 1.0, s, mode, center=[0, 0]),
            )
    for name, translate in [("TranslateX", [7, 0]), ("TranslateY", [0, -3])]:
        check(
            images,
            (name, {"pixels": float(-sum(translate)), **look_up}),
            lambda im, t=translate: tv.affine(im, 0.0, t, 1.0, [0.0, 0.0], mode),
        )


@pytest.mark.parametrize("name", ["Color", "Contrast", "Brightness", "Sharpness"])
def test_enhancement_beyond_timms_levels(images, name):
    for factor in (-1.5, -0.01, 0.0, 1e-3, 0.5, 1.0, 1.0001, 2.0, 3.7, 100.0):
        enhance = getattr(ImageEnhance, name)
        op = (name, {"factor": factor})
        check(images, op, lambda im, e=enhance, f=factor: e(im).enhance(f))


def test_solarize_and_posterize_at_every_value(images):
    for threshold in [*range(0, 257, 8), 127.5, 8.5, -1.0, 300.0, 1e-9]:
        op = ("Solarize", {"threshold": threshold})
        check(images, op, lambda im, t=threshold: ImageOps.solarize(im, t))
    for bits in range(1, 9):
        op = ("Posterize", {"bits": bits})
        check(images, op, lambda im, b=bits: ImageOps.posterize(im, b))
    for threshold in (0, 50, 256):
        op = ("SolarizeAdd", {"add": 110, "threshold": threshold})
        check(images, op, lambda im, t=threshold: timm_ops.solarize_add(im, 110, t))


def test_posterize_to_no_bits_is_black(images):
    """Pillow 13 refuses 0 bits, which timm's levels reach; before, it gave black, as we do."""
    for image in images:
        assert not apply(image, ("Posterize", {"bits": 0})).any()


def test_blur_of_any_radius(images):
    for radius in (0, 0.05, 0.1, 0.33, 0.5, 0.99, 1, 1.5, 2, 2.7, 4, 9.3, 30):
        op = ("GaussianBlur", {"radius": radius})
        check(images, op, lambda im, r=radius: im.filter(ImageFilter.GaussianBlur(r)))


def test_hue_and_grayscale(images):
    for factor in np.linspace(-0.5, 0.5, 41):
        op = ("Hue", {"factor": float(factor)})
        check(images, op, lambda im, f=float(factor): tv.adjust_hue(im, f))
    check(images, ("Grayscale", {}), lambda im: tv.to_grayscale(im, 3))


def test_hue_of_every_colour():
    """All 2^24 colours would take long: each plane of a grid of 86 values a channel."""
    values = np.arange(0, 256, 3, dtype=np.uint8)
    grid = np.stack(np.meshgrid(values, values, values, indexing="ij"), -1).reshape(86, -1, 3)
    for factor in (0.0, 0.1, -0.37):
        check([grid], ("Hue", {"factor": factor}), lambda im, f=factor: tv.adjust_hue(im, f))


def test_torchvisions_blur_to_the_rounding(photos):
    """Sums of 529 floats in another order: at most 1 apart, and next to never."""
    for photo, sigma in zip(photos, (0.1, 0.5, 1.0, 1.4, 2.0), strict=True):
        image = photo[:200, :150].copy()
        expected = np.asarray(tv.gaussian_blur(Image.fromarray(image), 23, sigma))
        ours = apply(image, ("GaussianKernel", {"kernel_size": 23, "sigma": sigma}))
        apart = np.abs(ours.astype(int) - expected)
        assert apart.max() <= 1
        assert np.count_nonzero(apart) <= apart.size // 10_000


class Cycle:
    """A timm op that is another one at each call."""

    def __init__(self, functions):
        self.functions = functions
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        return self.functions[(self.calls - 1) % len(self.functions)](image)


CHAIN_OPS = [("Invert", {}), ("Posterize", {"bits": 3}), ("Color", {"factor": 1.7})]
CHAIN_FUNCTIONS = [
    ImageOps.invert,
    lambda im: ImageOps.posterize(im, 3),
    lambda im: ImageEnhance.Color(im).enhance(1.7),
]


@pytest.mark.parametrize("blended", [False, True])
def test_augmix_is_timms(images, blended):
    rng = np.random.default_rng(11)
    for image in images:
        weights, amount = np.float32(rng.dirichlet([1.0] * 3)), np.float32(rng.beta(1, 1))
        theirs = AugMixAugment([Cycle(CHAIN_FUNCTIONS)], width=3, depth=1)
        if blended:
            shares = theirs._calc_blended_weights(weights, amount)
            mix = {"mixing": "blends"}
            expected = theirs._apply_blended(Image.fromarray(image), weights, amount)
        else:
            shares, mix = weights, {"mixing": "sum", "amount": float(amount)}
            expected = theirs._apply_basic(Image.fromarray(image), weights, amount)
        chains = [(float(w), [op]) for w, op in zip(shares, CHAIN_OPS, strict=True)]
        assert (apply(image, ("Mix", {**mix, "chains": chains})) == np.asarray(expected)).all()


def test_augmix_is_torchvisions(images):
    """torchvision's sum in f32 and its cast, of the same chains."""
    rng = np.random.default_rng(12)
    for image in images:
        own, *weights = np.float32(rng.dirichlet([1.0] * 4))
        mix = own * torch.from_numpy(image)
        for weight, function in zip(weights, CHAIN_FUNCTIONS, strict=True):
            chain = np.array(function(Image.fromarray(image)))
            mix.add_(torch.tensor(weight) * torch.from_numpy(chain))
        chains = [(float(w), [op]) for w, op in zip(weights, CHAIN_OPS, strict=True)]
        op = ("Mix", {"mixing": "weighted", "image": float(own), "chains": chains})
        assert (apply(image, op) == mix.to(torch.uint8).numpy()).all()


def test_a_chain_has_several_ops(images):
    for image in images:
        alone = apply(image, *CHAIN_OPS)
        mix = {"mixing": "blends", "chains": [(1.0, CHAIN_OPS)]}
        assert (apply(image, ("Mix", mix)) == alone).all()


@pytest.mark.parametrize(("x", "y"), [(5, 3), (-4, -6), (45, 28), (200, 0), (-20, -20)])
def test_a_box_is_erased(photos, x, y):
    image = photos[0][:40, :50].copy()
    expected = image.copy()
    left, top = max(x, 0), max(y, 0)
    expected[top : max(y + 20, 0), left : max(x + 10, 0)] = (1, 2, 3)
    box = {"x": x, "y": y, "w": 10, "h": 20}
    assert (apply(image, ("Erase", {**box, "fill": (1, 2, 3)})) == expected).all()


def test_noise_is_normal_and_follows_from_its_seed():
    image = np.zeros((300, 300, 3), np.uint8)
    box = {"x": 0, "y": 0, "w": 300, "h": 300, "fill": "noise", "seed": 2**63 + 1}
    noise = {**box, "mean": (100.0, 120.0, 140.0), "std": (5.0, 10.0, 20.0)}
    erased = apply(image, ("Erase", noise))
    # 90,000 numbers: standard errors of std / 300 for the mean, std / 424 for the std; five each.
    for channel, (mean, std) in enumerate(zip(noise["mean"], noise["std"], strict=True)):
        values = erased[..., channel].astype(float)
        assert abs(values.mean() - mean) < 5 * std / 300
        assert abs(values.std() - std) < 5 * std / 424 + 0.02
        assert abs(np.corrcoef(values[:, :-1].ravel(), values[:, 1:].ravel())[0, 1]) < 0.02
    assert (apply(image, ("Erase", noise)) == erased).all()
    assert (apply(image, ("Erase", {**noise, "seed": 5})) != erased).any()
    moved = apply(image, ("Erase", {**noise, "x": -7, "y": -9}))
    assert (moved[:291, :293] == erased[9:, 7:]).all()
