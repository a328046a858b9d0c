"""What Pillow, timm and torchvision make of files and plans, by their own functions.

Our pixels must equal theirs, bit for bit.
"""

import inspect
import io
import warnings

import numpy as np
from PIL import Image, ImageFilter
from timm.data import auto_augment as timm_aa
from torchvision.transforms import InterpolationMode, autoaugment
from torchvision.transforms import functional as F

from tied_augment import decode

# The steps of a plan that say where its pixels come from; the ops come after them.
GEOMETRY = {"crop", "resize", "frame", "hflip", "vflip"}


def assert_equal(ours, theirs, *what):
    """Whole arrays, no tolerance; ``what`` names the case in the message."""
    assert ours.dtype == theirs.dtype == np.uint8, what
    assert ours.shape == theirs.shape, what
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() == 0, (*what, f"{(difference > 0).mean():.2%} differ")


def decoded(data):
    """The pixels that Pillow decodes from a file, (H, W, 3)."""
    with warnings.catch_warnings():
        # Pillow warns that it drops the transparency of palettes.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def assert_decodes_as_pillow(data, *what):
    """Ours and Pillow's pixels of a file are equal."""
    assert_equal(decode(data), decoded(data), *what)


def view_of(plan, image):
    """The PIL image that the geometry of a plan makes of an (H, W, 3) array."""
    view = Image.fromarray(image)
    for name, arguments in plan["ops"]:
        if name == "crop":
            x, y, w, h = (arguments[key] for key in "xywh")
            view = view.crop((x, y, x + w, y + h))  # Pillow fills with black outside
        elif name == "resize":
            height, width = arguments["size"]
            filter_ = Image.Resampling[arguments["interpolation"].upper()]
            view = view.resize((width, height), filter_)
        elif name == "frame":
            view = framed(view, arguments)
        elif name == "hflip":
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        elif name == "vflip":
            view = view.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return view


def framed(image, frame):
    """What lies in a frame, as by timm's `crop_or_pad`; outside a colour, or the mirrored image."""
    height, width = frame["size"]
    left, top = frame["x"], frame["y"]
    padding = [max(-left, 0), max(-top, 0)]
    padding += [max(left + width - image.width, 0), max(top + height - image.height, 0)]
    if (fill := frame.get("fill")) is None:
        image = F.pad(image, padding, padding_mode="reflect")
    else:
        image = F.pad(image, padding, fill=tuple(fill))
    return F.crop(image, max(top, 0), max(left, 0), height, width)


def planes(image):
    return np.asarray(image).transpose(2, 0, 1)


def by_timm(plan, image):
    """What a whole plan makes of an image, (3, H, W). The ops are timm's where timm has them."""
    view = view_of(plan, image)
    for name, arguments in plan["ops"]:
        if name not in GEOMETRY:
            view = TIMM[name](view, **arguments)
    return planes(view)


def _geometric(function):
    def apply(image, interpolation, fill, **value):
        (value,) = value.values()
        resample = Image.Resampling[interpolation.upper()]
        return function(image, value, resample=resample, fillcolor=tuple(fill))

    return apply


def _posterize(image, bits):
    # timm asks for 0 bits. Pillow 13 refuses that; before, it gave black.
    return timm_aa.posterize(image, bits) if bits else Image.new("RGB", image.size)


def _mix(image, mixing, chains, amount=None):
    results = []
    for _, ops in chains:
        result = image
        for name, arguments in ops:
            result = TIMM[name](result, **arguments)
        results.append(result)
    weights = np.array([weight for weight, _ in chains], np.float32)
    if mixing == "sum":
        return _summed(image, weights, np.float32(amount), results)
    assert mixing == "blends"
    # Our weights are those of the single blends. timm computes them from the weights in the whole
    # mixture, so we compute these back and hold timm's result against ours.
    rests = np.cumprod([1, *(1 - weights.astype(float))[::-1]])[:-1][::-1]
    shares = timm_aa.AugMixAugment([])._calc_blended_weights(weights * rests, 1.0)
    np.testing.assert_allclose(shares, weights, rtol=1e-4, atol=1e-6)
    mixed = image
    for share, result in zip(weights, results, strict=True):
        mixed = Image.blend(mixed, result, share)
    return mixed


def _summed(image, weights, amount, results):
    """`AugMixAugment._apply_basic`, with the results of our chains in place of random chains."""
    remaining = iter(results)
    choose = np.random.choice
    np.random.choice = lambda *_, **__: [lambda _: next(remaining)]
    try:
        return timm_aa.AugMixAugment([], depth=1)._apply_basic(image, weights, amount)
    finally:
        np.random.choice = choose


def _erase(image, x, y, w, h, fill):
    pixels = np.array(image)
    pixels[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = fill
    return Image.fromarray(pixels)


TIMM = {
    "AutoContrast": timm_aa.auto_contrast,
    "Equalize": timm_aa.equalize,
    "Invert": timm_aa.invert,
    "Posterize": _posterize,
    "Solarize": lambda image, threshold: timm_aa.solarize(image, threshold),
    "SolarizeAdd": lambda image, add, threshold: timm_aa.solarize_add(image, add, threshold),
    "Color": timm_aa.color,
    "Contrast": timm_aa.contrast,
    "Brightness": timm_aa.brightness,
    "Sharpness": timm_aa.sharpness,
    "ShearX": _geometric(timm_aa.shear_x),
    "ShearY": _geometric(timm_aa.shear_y),
    "TranslateX": _geometric(timm_aa.translate_x_abs),
    "TranslateY": _geometric(timm_aa.translate_y_abs),
    "Rotate": _geometric(timm_aa.rotate),
    "GaussianBlur": lambda image, radius: image.filter(ImageFilter.GaussianBlur(radius)),
    "Grayscale": lambda image: F.rgb_to_grayscale(image, 3),
    "Hue": lambda image, factor: F.adjust_hue(image, factor),
    "GaussianKernel": lambda image, kernel_size, sigma: F.gaussian_blur(image, kernel_size, sigma),
    "Mix": _mix,
    "Erase": _erase,
}


class Torchvision:
    """One of torchvision's policies, which executes our plans with its own magnitudes."""

    def __init__(self, policy, bins, size, severity=None):
        parameters = inspect.signature(policy._augmentation_space).parameters
        space = policy._augmentation_space(bins, *([size] if len(parameters) > 1 else []))
        self.filter = policy.interpolation
        # The magnitudes that torchvision may pass to `_apply_op`, per op.
        self.magnitudes = {}
        for name, (values, signed) in space.items():
            bins = values.reshape(-1).tolist()[:severity]
            self.magnitudes[name] = [*bins, *(-m for m in bins if signed)]

    def call(self, name, arguments):
        """The name and the magnitude with which `_apply_op` does an op of our plan."""
        value = next((v for k, v in arguments.items() if k not in ("interpolation", "fill")), 0.0)
        if "interpolation" in arguments:
            assert InterpolationMode(arguments["interpolation"]) == self.filter
            assert arguments["fill"] == (0, 0, 0)
        as_ours = {
            "TranslateX": lambda m: -int(m),
            "TranslateY": lambda m: -int(m),
            "Brightness": lambda m: 1.0 + m,
            "Color": lambda m: 1.0 + m,
            "Contrast": lambda m: 1.0 + m,
            "Sharpness": lambda m: 1.0 + m,
        }.get(name, lambda m: m)
        found = [m for m in self.magnitudes[name] if abs(as_ours(m) - value) < 1e-12]
        assert found, (name, value, self.magnitudes[name])
        return name, found[0]

    def apply(self, image, name, arguments):
        name, magnitude = self.call(name, arguments)
        if name == "Posterize" and magnitude == 0:
            return Image.new("RGB", image.size)
        return autoaugment._apply_op(image, name, magnitude, self.filter, None)

    def __call__(self, plan, image):
        """What a whole plan makes of an image, (3, H, W). The ops are torchvision's."""
        view = view_of(plan, image)
        for name, arguments in plan["ops"]:
            if name == "Mix":
                view = self.mix(view, **arguments)
            elif name not in GEOMETRY:
                view = self.apply(view, name, arguments)
        return planes(view)

    def mix(self, view, mixing, image, chains):
        """The sum of `AugMix.forward`, on PIL images."""
        assert mixing == "weighted"
        mixed = np.float32(image) * np.asarray(view, np.float32)
        for weight, ops in chains:
            result = view
            for name, arguments in ops:
                result = self.apply(result, name, arguments)
            mixed += np.float32(weight) * np.asarray(result, np.float32)
        return Image.fromarray(mixed.astype(np.uint8))
