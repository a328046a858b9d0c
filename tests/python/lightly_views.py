"""lightly's transforms for self-supervised methods, executed from our plans and recorded.

`made_by` calls the steps of one of lightly's transforms with the numbers of a plan in place of
their own draws. `draws_of` runs a transform as it is and records what it draws, in the quantities
of our plans.
"""

import numpy as np
import torch
from lightly.transforms import gaussian_blur, rotation, solarize
from PIL import Image
from reference import GEOMETRY
from torchvision.transforms import v2

JITTER = ("Brightness", "Contrast", "Color", "Hue")
_FACTORS = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")


def steps_of(transform):
    """The steps of the transform of one view, without the conversion to a normalised tensor."""
    if type(transform).__name__ in ("ToTensor", "Normalize"):
        return []
    inner = getattr(transform, "transform", None)
    if isinstance(inner, v2.Compose):
        return steps_of(inner)
    if isinstance(transform, v2.Compose):
        return [step for part in transform.transforms for step in steps_of(part)]
    return [transform]


def made_by(steps, plan, image):
    """The PIL image that lightly's `steps` make of one with the numbers of `plan`."""
    ops = {name: arguments for name, arguments in plan["ops"] if name not in GEOMETRY}
    used = set()
    for step in steps:
        match step:
            case v2.RandomResizedCrop():
                x, y, w, h = plan["crop"]
                image = step.transform(image, {"top": y, "left": x, "height": h, "width": w})
            case v2.RandomHorizontalFlip():
                image = step.transform(image, {}) if plan["hflip"] else image
            case v2.RandomVerticalFlip():
                assert step.p == 0
            case rotation.RandomRotate():
                assert step.prob == 0
            case v2.ColorJitter():  # SwAV's has one that does nothing
                assert not any((step.brightness, step.contrast, step.saturation, step.hue))
            case v2.RandomApply():
                (jitter,) = step.transforms
                used.update(JITTER)
                if order := [JITTER.index(name) for name in ops if name in JITTER]:
                    factors = {key: ops[JITTER[i]]["factor"] for i, key in enumerate(_FACTORS)}
                    image = jitter.transform(image, {"fn_idx": order, **factors})
            case v2.RandomGrayscale():
                used.add("Grayscale")
                if "Grayscale" in ops:
                    image = step.transform(image, {"num_input_channels": 3})
            case gaussian_blur.GaussianBlur():
                used.add("GaussianBlur")
                if "GaussianBlur" in ops:
                    radius = ops["GaussianBlur"]["radius"]
                    image = gaussian_blur.GaussianBlur(prob=1, sigmas=(radius, radius))(image)
            case solarize.RandomSolarization():
                used.add("Solarize")
                if "Solarize" in ops:
                    assert ops["Solarize"]["threshold"] == step.threshold
                    image = solarize.RandomSolarization(prob=1, threshold=step.threshold)(image)
            case _:
                raise AssertionError(step)
    assert ops.keys() <= used
    return image


def draws_of(transform, shape, count, monkeypatch):
    """`count` draws of lightly's transform of one view, for images of (height, width) `shape`."""
    draws = []

    def record(owner, name, quantities):
        def recorded(*arguments, **options):
            draws[-1].update(quantities(*arguments, **options))
            return Image.new("RGB", (1, 1))

        monkeypatch.setattr(owner, name, recorded)

    record(v2.RandomResizedCrop, "transform", lambda _, __, p: _crop(p))
    record(v2.RandomHorizontalFlip, "transform", lambda *_: {"hflip": True})
    record(v2.ColorJitter, "transform", lambda _, __, p: _jitter(p))
    record(v2.RandomGrayscale, "transform", lambda *_: {"Grayscale": True})
    record(Image.Image, "filter", lambda _, blur: {"GaussianBlur": blur.radius})
    record(solarize.ImageOps, "solarize", lambda _, threshold: {"Solarize": threshold})
    image = Image.new("RGB", shape[::-1])
    torch.manual_seed(0)
    np.random.seed(0)
    for _ in range(count):
        draws.append({})
        transform(image)
    return draws


def _crop(params):
    return {"x": params["left"], "y": params["top"], "w": params["width"], "h": params["height"]}


def _jitter(params):
    if params["brightness_factor"] is None:
        return {}
    order = [JITTER[int(i)] for i in params["fn_idx"]]
    factors = {JITTER[i]: params[key] for i, key in enumerate(_FACTORS)}
    return {"order": "".join(order)} | factors


def our_draw(plan):
    """The same quantities of a plan."""
    draw = dict(zip("xywh", plan["crop"], strict=True))
    if plan["hflip"]:
        draw["hflip"] = True
    ops = {name: arguments for name, arguments in plan["ops"] if name not in GEOMETRY}
    order = "".join(name for name in ops if name in JITTER)
    draw |= {"order": order} if order else {}
    for name, arguments in ops.items():
        draw[name] = next(iter(arguments.values()), True)
    return draw
