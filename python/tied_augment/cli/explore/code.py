"""The code to copy: the page's views in Python, as options of ``tied-augment train``, as plans.

Each function returns text. What it says when it is executed is what the page shows.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from tied_augment import Plan, Views
from tied_augment.cli.explore.photos import Photo
from tied_augment.cli.explore.settings import Settings, view_fields
from tied_augment.timm.views import TIMMS_NAMES

__all__ = ["plans_json", "python_code", "timm_command"]

_WIDTH = 80
# The fields of `View` that train.py has options for, with its defaults.
_TRAIN_DEFAULTS: dict[str, Any] = {
    "crop": "rrc",
    "scale": (0.08, 1.0),
    "ratio": (3 / 4, 4 / 3),
    "interpolation": "random",
    "hflip": 0.5,
    "vflip": 0.0,
    "auto_augment": None,
    "grayscale_prob": 0.0,
    "gaussian_blur_prob": 0.0,
    "re_prob": 0.0,
}
_NOT_IN_TIMM = ("solarize_prob", "cutout")


def python_code(settings: Settings, views: Views, photo: Photo) -> str:
    """A program that makes ``made``, the views on the page.

    Args:
        settings: those of the page.
        views: what `declared` returned for them.
        photo: the image on the page.
    """
    if settings.method:
        few = {} if settings.local_views is None else {"local_views": settings.local_views}
        names, lines = (
            ["presets"],
            [f"views = {_call(f'presets.{settings.method}', [str(settings.size)], few)}"],
        )
    else:
        names, lines = _own(settings, len(views.views))
    imports = [f"from tied_augment import {', '.join(sorted(names))}"]
    first = [photo.imports] if photo.imports else []
    call = _call("views", [photo.expression], settings.draw)
    sizes = dict.fromkeys(f"(3, {height}, {width})" for height, width in views.sizes)
    count = len(views.views)
    comment = f"# {count} uint8 array{'s' * (count > 1)}, {' and '.join(sizes)}"
    return "\n".join([*first, *imports, "", *lines, f"made = {call}", comment])


def _own(settings: Settings, count: int) -> tuple[list[str], list[str]]:
    """The names to import and the lines for the user's own view."""
    name, drawn = {
        1: ("Views", ["view"]),
        2: ("TwoView", ["view"]),
    }.get(count, ("Views", [f"*{count} * [view]"]))
    shared = ("same_crop", "own_flips")
    sharing = {key: True for key in shared if getattr(settings, key)}
    view = _call("View", [str(settings.size)], view_fields(settings))
    return ["View", name], [f"view = {view}", f"views = {_call(name, drawn, sharing)}"]


def _call(function: str, arguments: Sequence[str], keywords: dict[str, Any]) -> str:
    """A call in Python, on several lines if it is long."""
    parts = [*arguments, *(f"{name}={_literal(value)}" for name, value in keywords.items())]
    line = f"{function}({', '.join(parts)})"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{function}(", *(f"    {part}," for part in parts), ")"])


def _literal(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def timm_command(settings: Settings, views: Views) -> tuple[str, str]:
    """The command that trains on such views with timm's train.py.

    Args:
        settings: those of the page.
        views: what `declared` returned for them.

    Returns:
        The command and a remark; the command is empty if train.py has no options for these views,
        and the remark says why.
    """
    if settings.method:
        return "", "timm's train.py has no options for this method: use the Python code."
    view, count = views.views[0], len(views.views)
    if count == 1:
        return "", "The tied loss compares views, so it needs 2 or more."
    if view.crop not in ("rrc", "rkrc", "rkrr"):
        return "", f"timm's train.py does not train with crop={view.crop!r}: use the Python code."
    for name in _NOT_IN_TIMM:
        if getattr(view, name):
            return "", f"timm's train.py has no option for {name}: use the Python code."
    given = {
        name: getattr(view, name)
        for name, default in _TRAIN_DEFAULTS.items()
        if getattr(view, name) != default
    }
    if view.re_prob:
        given["re_mode"] = view.re_mode
    # train.py's default is 0.4, which a policy replaces.
    if view.color_jitter is not None or view.auto_augment is None or "3a" in view.auto_augment:
        given["color_jitter"] = settings.view.get("color_jitter") or 0
    height, _ = views.sizes[0]
    words = [_option("size", height), *(_option(name, value) for name, value in given.items())]
    words += [f"--seed {settings.seed}", "--tied-augment"]
    words += [f"--tied-views {count}"] * (count > 2)
    words += ["--tied-same-crop"] * settings.same_crop + ["--tied-own-flips"] * settings.own_flips
    remarks = ["train.py erases on the device, after the views."] * (view.re_prob > 0)
    if given.get("color_jitter") == 0 and (view.grayscale_prob or view.gaussian_blur_prob):
        # --color-jitter 0 draws numbers and changes no colour. No flag leaves it out.
        remarks.append("train.py draws grayscale and blur from other numbers than this page.")
    start = "tied-augment train train.py --data-dir DATA --model resnet50"
    return _wrapped(start, words), " ".join(remarks)


def _option(name: str, value: Any) -> str:
    flag = TIMMS_NAMES.get(name, f"--{name.replace('_', '-')}")
    values = value if isinstance(value, tuple) else (value,)
    return " ".join([flag, *(shlex.quote(str(each)) for each in values)])


def _wrapped(start: str, words: Iterable[str]) -> str:
    """A shell command in lines of `_WIDTH`."""
    lines = [start]
    for word in words:
        if lines[1:] and len(f"{lines[-1]} {word} \\") <= _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"    {word}")
    return " \\\n".join(lines)


def plans_json(plans: Sequence[Plan]) -> str:
    """The plans as JSON, one op a line, as `render` takes each of them."""
    texts = []
    for plan in plans:
        ops = ",\n    ".join(json.dumps(op) for op in plan["ops"])
        texts.append(f'{{"ops": [\n    {ops}\n  ]}}')
    return "[\n  " + ",\n  ".join(texts) + "\n]"
