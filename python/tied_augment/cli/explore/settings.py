"""What the controls of the page say, as the views that they declare.

Lives here: `Settings`, the views and their call in Python made from it, and which control an error
belongs to. Nothing of the page is imported.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tied_augment import TwoView, View, Views, presets

__all__ = [
    "METHODS",
    "MULTICROP",
    "SettingError",
    "Settings",
    "declared",
    "field_of",
    "view_fields",
]

# The methods of `presets`, by the names of its functions. '' is a view of the user's own.
METHODS = {
    "": "Your own view",
    "simclr": "SimCLR",
    "byol": "BYOL",
    "moco_v2": "MoCo v2",
    "moco_v3": "MoCo v3",
    "dino": "DINO",
    "swav": "SwAV",
    "vicreg": "VICReg",
}
# Those with small views besides the large ones.
MULTICROP = ("dino", "swav")

# The page draws every view at every change: more would only be slow.
_MOST_VIEWS, _LARGEST = 16, 1024
_DRAWN = ("rrc", "rkrc", "rkrr")  # crops that use `scale` and `ratio`
# Controls that are not fields of `View`.
_OTHERS = ("views", "local_views", "same_crop", "own_flips", "seed", "epoch", "index")


@dataclass(frozen=True)
class Settings:
    """The values of all controls.

    Attributes:
        method: a key of `METHODS`. With a preset, `size` and `local_views` count and the other
            attributes of views don't.
        size: side of the views in pixels.
        views: how many views.
        local_views: how many small views of DINO and SwAV; None for the preset's own number.
        same_crop: as in `Views`.
        own_flips: as in `Views`.
        view: the fields of `View` by name, `size` left out. None and '' stand for 'not given'.
        seed: the run's seed.
        epoch: the epoch.
        index: the index of the image in its data set.
    """

    method: str = ""
    size: int | None = 224
    views: int | None = 2
    local_views: int | None = None
    same_crop: bool = False
    own_flips: bool = False
    view: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = 0
    epoch: int | None = 0
    index: int | None = 0

    @property
    def draw(self) -> dict[str, Any]:
        """The arguments of a call of the views, besides the image."""
        return {name: getattr(self, name) for name in ("index", "epoch", "seed")}


class SettingError(ValueError):
    """Something that the user can put right.

    Attributes:
        control: the name of the control that it belongs to; None for none of them.
    """

    def __init__(self, message: str, control: str | None) -> None:
        super().__init__(message)
        self.control = control


def view_fields(settings: Settings) -> dict[str, Any]:
    """The fields of the user's own `View` that were given and count, without `size`.

    A range that the crop does not use is left out, and so is what needs a chance that is 0.
    """
    given = {name: value for name, value in settings.view.items() if value not in (None, "")}
    if given.get("crop", "rrc") not in _DRAWN:
        given.pop("scale", None)
        given.pop("ratio", None)
    if not given.get("re_prob"):
        given.pop("re_mode", None)
    if not given.get("color_jitter"):
        given.pop("color_jitter", None)
    default = View(crop=given.get("crop", "rrc"))
    return {
        name: value
        for name, value in given.items()
        if value != ("rrc" if name == "crop" else getattr(default, name))
    }


def declared(settings: Settings) -> tuple[Views, list[tuple[str | None, str]]]:
    """The views that `settings` declare, and remarks about them.

    Returns:
        The views, and the warnings of `View`, each after the control that it belongs to.

    Raises:
        SettingError: a control has a value that is refused.
    """
    own = () if settings.method else ("views",)
    for name in ("size", *own, *settings.draw):
        if getattr(settings, name) is None:
            raise SettingError(f"{name} must be a whole number", name)
    _at_most("size", settings.size, _LARGEST)
    _at_most("views", settings.views, _MOST_VIEWS)
    _at_most("local_views", settings.local_views, _MOST_VIEWS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            views = _views(settings)
            # What the numbers of the draw must be, an image of any size says.
            views.plan((4096, 4096), **settings.draw)
        except (TypeError, ValueError) as error:
            raise SettingError(str(error), field_of(str(error))) from error
    return views, [(field_of(str(one.message)), str(one.message)) for one in caught]


def field_of(message: str) -> str | None:
    """The control that a message of `View` or `Views` is about; None for none."""
    names = [each.name for each in fields(View)]
    known, unmistakable = "|".join([*names, *_OTHERS]), "|".join(n for n in names if "_" in n)
    pattern = rf"^({known})\b|\b({known})(?==)|\b({unmistakable})\b"
    found = re.search(pattern, message)
    return found[0] if found else None


def _at_most(name: str, value: int | None, most: int) -> None:
    if value is not None and value > most:
        raise SettingError(f"{name} must be at most {most} on this page, got {value}", name)


def _views(settings: Settings) -> Views:
    if settings.method:
        few = {} if settings.local_views is None else {"local_views": settings.local_views}
        made: Views = getattr(presets, settings.method)(settings.size, **few)
        return made
    view = View(settings.size, **view_fields(settings))  # type: ignore[arg-type]
    same_crop, own_flips = settings.same_crop, settings.own_flips
    if settings.views == 2:
        return TwoView(view, same_crop=same_crop, own_flips=own_flips)
    return Views(*(settings.views or 0) * [view], same_crop=same_crop, own_flips=own_flips)
