"""What timm and torchvision draw, recorded while their own code runs, and our draws for comparison.

A draw is a list of (name, value, interpolation), with the names and values of our plans.
"""

import random
from functools import cache
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from reference import GEOMETRY
from timm.data import auto_augment as timm_aa
from timm.data.transforms_factory import transforms_imagenet_train
from torchvision.transforms import InterpolationMode, autoaugment


class Recorder:
    """Stands in for an image: timm's ops run on it, and it records what they ask of Pillow."""

    mode = "RGB"

    def __init__(self, size, log):
        self.size, self.log = size, log

    def add(self, name, value=0.0, resample=None):
        self.log.append((name, float(value), None if resample is None else resample.name.lower()))
        return self

    def transform(self, size, method, matrix, resample, fillcolor):
        a, b, c, d, e, f = matrix
        assert (size, method, a, e) == (self.size, Image.Transform.AFFINE, 1, 1)
        names = {"ShearX": b, "TranslateX": c, "ShearY": d, "TranslateY": f}
        # With a magnitude of zero all these ops look alike: on both sides they are "Nothing".
        name = next((name for name, value in names.items() if value), "Nothing")
        return self.add(name, names.get(name, 0.0), resample)

    def rotate(self, degrees, resample, fillcolor):
        return self.add("Rotate" if degrees else "Nothing", degrees, resample)

    def filter(self, blur):
        return self.add("GaussianBlur", blur.radius)

    def point(self, lut):
        assert lut[128] == 128
        return self.add("SolarizeAdd", lut[0])

    def __array__(self, dtype=None, copy=None):
        return np.zeros((1, 1, 3), dtype)


PILLOW = {
    "ImageOps": SimpleNamespace(
        autocontrast=lambda image: image.add("AutoContrast"),
        equalize=lambda image: image.add("Equalize"),
        invert=lambda image: image.add("Invert"),
        solarize=lambda image, threshold: image.add("Solarize", threshold),
        posterize=lambda image, bits: image.add("Posterize", max(bits, 0)),
    ),
    "ImageEnhance": SimpleNamespace(
        **{
            name: lambda image, name=name: SimpleNamespace(
                enhance=lambda factor: image.add(name, factor)
            )
            for name in ("Color", "Contrast", "Brightness", "Sharpness")
        }
    ),
}


def policy_of_timm(config, size, interpolation="random"):
    """The policy in timm's training transform for a config string."""
    _, secondary, _ = transforms_imagenet_train(
        size, auto_augment=config, interpolation=interpolation, color_jitter=None, separate=True
    )
    return secondary.transforms[0]


def timm_draws(policy, size, count, monkeypatch):
    """`count` draws of one of timm's RandAugment or AutoAugment."""
    for name, fake in PILLOW.items():
        monkeypatch.setattr(timm_aa, name, fake)
    random.seed(1)
    np.random.seed(1)
    draws = []
    for _ in range(count):
        draws.append([])
        policy(Recorder(size[::-1], draws[-1]))
    return draws


def timm_mixes(policy, size, count, monkeypatch):
    """`count` draws of timm's AugMix: its weights, its amount and its chains."""
    for name, fake in PILLOW.items():
        monkeypatch.setattr(timm_aa, name, fake)
    mixes = []

    def record(image, weights, amount):
        chains = []
        for _ in weights:
            chains.append([])
            depth = policy.depth if policy.depth > 0 else np.random.randint(1, 4)
            for op in np.random.choice(policy.ops, depth, replace=True):
                op(Recorder(size[::-1], chains[-1]))
        mixes.append((weights, amount, chains))

    monkeypatch.setattr(policy, "_apply_basic", record)
    monkeypatch.setattr(policy, "_apply_blended", record)
    random.seed(1)
    np.random.seed(1)
    for _ in range(count):
        policy(None)
    return mixes


def torchvision_draws(policy, size, count, monkeypatch):
    """`count` draws of one of torchvision's policies, in the values of our plans."""
    draws = []

    def record(image, name, magnitude, interpolation, fill):
        filter_ = InterpolationMode(interpolation).value
        geometric = name.startswith(("Shear", "Translate")) or name == "Rotate"
        if name.startswith("Translate"):
            value = -int(magnitude)
        elif name in ("Brightness", "Color", "Contrast", "Sharpness"):
            value = 1 + magnitude
        else:
            value = magnitude
        if name != "Identity":
            # torchvision converts shears to degrees and back, which changes the last digits.
            draws[-1].append((name, round(value, 9), filter_ if geometric else None))
        return image

    monkeypatch.setattr(autoaugment, "_apply_op", record)
    # It depends on the size only; without a cache, its tensors take most of the time.
    monkeypatch.setattr(policy, "_augmentation_space", cache(policy._augmentation_space))
    torch.manual_seed(1)
    image = Image.new("RGB", size[::-1])
    for _ in range(count):
        draws.append([])
        policy(image)
    return draws


def ours(ops, digits=None):
    """The ops of a plan, or of a chain, in the same form."""
    draw = []
    for name, arguments in ops:
        if name in GEOMETRY:
            continue
        keys = [key for key in arguments if key not in ("interpolation", "fill")]
        value = arguments[keys[0]] if keys else 0.0
        if digits is None and value == 0 and "interpolation" in arguments:
            name = "Nothing"
        value = float(value) if digits is None else round(float(value), digits)
        draw.append((name, value, arguments.get("interpolation")))
    return draw
