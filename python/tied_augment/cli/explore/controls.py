"""The controls of the page: fields, sliders and switches, and the `Settings` that they say.

A control is known by the name of what it sets. An error or a remark is shown beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from nicegui import ui

from tied_augment import View
from tied_augment.cli.explore.settings import METHODS, MULTICROP, Settings

__all__ = ["Controls"]

POLICIES = {
    "rand-m9-mstd0.5-inc1": "RandAugment of timm",
    "rand-m9-n3-mstd0.5": "RandAugment, 3 ops",
    "original": "AutoAugment",
    "v0": "AutoAugment of EfficientNet",
    "3a": "3-Augment of DeiT III",
    "augmix-m5-w4-d2": "AugMix",
    "tv-rand-n2-m9-ibicubic": "RandAugment of torchvision",
    "tv-trivial": "TrivialAugment",
    "tv-auto-imagenet": "AutoAugment of torchvision",
    "": "no policy",
}
CROPS = {
    "rrc": "random resized crop",
    "rkrc": "resize, keep ratio, centre crop",
    "rkrr": "resize, keep ratio, random crop",
    "pad": "pad and crop, as for CIFAR",
    "center": "evaluation: centre",
    "squash": "evaluation: squash",
    "border": "evaluation: border",
}
FILTERS = ("random", "nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
_CHANCES = {
    "grayscale_prob": "Grayscale",
    "gaussian_blur_prob": "Gaussian blur",
    "solarize_prob": "Solarize",
}


class Controls:
    """Builds the controls where it is made, and reads them.

    Args:
        changed: called after every change of a value.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._fields: dict[str, Any] = {}
        self._notes: dict[str, ui.label] = {}
        self._own: list[ui.element] = []  # those that a preset leaves no choice in
        self._build_views()
        self._build_policy()
        self._build_geometry()
        self._build_colours()
        self._build_erasing()
        self._build_draw()
        self._apply()

    def settings(self, epoch: int) -> Settings:
        """What the controls say, with the epoch, whose slider is elsewhere."""
        value = {name: _whole(field.value) for name, field in self._fields.items()}
        low, high = _usual(value["crop"]).ratio
        view = {
            "crop": value["crop"],
            "scale": (value["scale"]["min"], value["scale"]["max"]),
            "ratio": (
                low if value["ratio_low"] is None else value["ratio_low"],
                high if value["ratio_high"] is None else value["ratio_high"],
            ),
            "cutout": value["cutout"] or 0,
            "color_jitter": value["color_jitter"] or None,
        }
        same = ("interpolation", "hflip", "vflip", "auto_augment", "re_prob", "re_mode", *_CHANCES)
        view |= {name: value[name] for name in same}
        others = ("method", "size", "views", "local_views", "same_crop", "own_flips")
        draw = {"seed": value["seed"], "index": value["index"], "epoch": epoch}
        return Settings(**{name: value[name] for name in others}, view=view, **draw)

    def say(self, errors: dict[str, str], remarks: dict[str, str]) -> None:
        """Show these texts beside their controls, and no others."""
        for name, note in self._notes.items():
            error, text = errors.get(name), errors.get(name) or remarks.get(name) or ""
            note.set_text(text)
            note.set_visibility(bool(text))
            note.classes(add="bad" if error else "remark", remove="remark" if error else "bad")
            field = self._fields.get(name)
            if isinstance(field, ui.input | ui.number | ui.select):
                field.props(f"error={'true' if error else 'false'} no-error-icon")

    @property
    def names(self) -> set[str]:
        """The controls beside which something can be said."""
        return set(self._notes)

    # --- what is built

    def _build_views(self) -> None:
        with self._group("Views"):
            self._select("method", "Method", METHODS, "")
            with ui.element("div").classes("pair"):
                self._number("size", "Size in pixels", 224)
                self._number("views", "Number of views", 2)
                self._number("local_views", "Small views", None, hint="default")
            with ui.element("div") as sharing:
                self._switch("same_crop", "Same crop for all views")
                self._switch("own_flips", "but own flips")
        self._own.append(sharing)

    def _build_policy(self) -> None:
        with self._group("Policy", own=True):
            text = ui.input("As timm's --aa", value="rand-m9-mstd0.5-inc1")
            text.props("outlined dense clearable hide-bottom-space debounce=300 spellcheck=false")
            text.props('aria-label="Policy"')
            with text.add_slot("append"):
                more = ui.button(icon="expand_more").props("flat dense round")
            with more.props('aria-label="Examples"'), ui.menu():
                for policy, meaning in POLICIES.items():
                    self._example(text, policy, meaning)
            self._add("auto_augment", text)

    def _example(self, text: ui.input, policy: str, meaning: str) -> None:
        with ui.menu_item(on_click=lambda: text.set_value(policy)).classes("example"):
            ui.label(policy or "(empty)").classes("code")
            ui.label(meaning).classes("quiet")

    def _build_geometry(self) -> None:
        with self._group("Crop", own=True):
            self._select("crop", "Mode", CROPS, "rrc")
            with ui.element("div").classes("ranges"):
                self._range("scale", "Scale, part of the area", (0.08, 1.0))
                with ui.element("div").classes("pair"):
                    self._number("ratio_low", "Ratio, least", None, hint="3/4", step=0.05)
                    self._number("ratio_high", "Ratio, most", None, hint="4/3", step=0.05)
                self._note("ratio")
            self._select("interpolation", "Filter", list(FILTERS), "random")
            self._slider("hflip", "Left-right flip", 0.5)
            self._slider("vflip", "Top-bottom flip", 0.0)

    def _build_colours(self) -> None:
        with self._group("Colour", own=True):
            self._slider("color_jitter", "Colour jitter, strength", 0.0)
            for name, label in _CHANCES.items():
                self._slider(name, label, 0.0)

    def _build_erasing(self) -> None:
        with self._group("Erasing", own=True):
            self._slider("re_prob", "Random erasing", 0.0)
            with ui.element("div").classes("pair"):
                self._select("re_mode", "Filled with", ["const", "rand", "pixel"], "const")
                self._number("cutout", "Cutout, pixels", None, hint="none")

    def _build_draw(self) -> None:
        with self._group("Random draw"), ui.element("div").classes("pair"):
            self._number("seed", "Seed", 0)
            self._number("index", "Index of the image", 0)

    # --- the kinds of controls

    def _group(self, title: str, own: bool = False) -> ui.element:
        group = ui.element("section").classes("group")
        self._own += [group] * own
        with group:
            ui.label(title).classes("heading")
        return group

    def _add(self, name: str, field: Any) -> None:
        self._fields[name] = field
        field.on_value_change(self._on_change)
        field.mark(name).props(f'data-control="{name}"')
        self._note(name)

    def _note(self, name: str) -> None:
        note = ui.label().classes("note").props(f'data-note="{name}" role="status"')
        note.set_visibility(False)
        self._notes[name] = note

    def _number(
        self,
        name: str,
        label: str,
        value: int | None,
        *,
        hint: str | None = None,
        step: float = 1,
    ) -> None:
        with ui.element("div").classes("field"):
            field = ui.number(label, value=value, placeholder=hint, step=step)
            field.props("outlined dense hide-bottom-space debounce=200")
            # Without `min` and `max`, with which NiceGUI would change a value silently.
            if hint is not None:
                field.props("stack-label")
            self._add(name, field)

    def _select(self, name: str, label: str, options: Any, value: str) -> None:
        with ui.element("div").classes("field"):
            field = ui.select(options, label=label, value=value)
            self._add(name, field.props("outlined dense hide-bottom-space options-dense"))

    def _switch(self, name: str, label: str) -> None:
        self._add(name, ui.switch(label).props("dense"))

    def _slider(self, name: str, label: str, value: float) -> None:
        with ui.element("div").classes("slide"):
            with ui.element("div").classes("line"):
                ui.label(label)
                shown = ui.label().classes("value")
            field = ui.slider(min=0, max=1, step=0.05, value=value).props(f'aria-label="{label}"')
            shown.bind_text_from(field, "value", lambda chance: f"{chance:g}")
            self._add(name, field)

    def _range(self, name: str, label: str, value: tuple[float, float]) -> None:
        with ui.element("div").classes("slide"):
            with ui.element("div").classes("line"):
                ui.label(label)
                shown = ui.label().classes("value")
            field = ui.range(
                min=0.01, max=1, step=0.01, value={"min": value[0], "max": value[1]}
            ).props("drag-range")
            shown.bind_text_from(field, "value", lambda ends: f"{ends['min']:g} - {ends['max']:g}")
            self._add(name, field)

    # --- what depends on what

    def _on_change(self, event: Any) -> None:
        if event.sender is self._fields["crop"]:
            low, high = _usual(event.value).scale
            self._fields["scale"].set_value({"min": low, "max": high})
        self._apply()
        self._changed()

    def _apply(self) -> None:
        """Show and enable the controls that have an effect."""
        value = {name: field.value for name, field in self._fields.items()}
        own = not value["method"]
        for name, needed in {
            "local_views": value["method"] in MULTICROP,
            "views": own,
        }.items():
            self._fields[name].parent_slot.parent.set_visibility(needed)
        for name, needed in {
            "scale": value["crop"] in ("rrc", "rkrc", "rkrr"),
            "ratio_low": value["crop"] in ("rrc", "rkrc", "rkrr"),
            "ratio_high": value["crop"] in ("rrc", "rkrc", "rkrr"),
            "own_flips": value["same_crop"],
            "re_mode": bool(value["re_prob"]),
        }.items():
            self._fields[name].set_enabled(needed)
        if not value["same_crop"] and value["own_flips"]:
            self._fields["own_flips"].set_value(False)
        for group in self._own:
            group.set_visibility(own)


def _usual(crop: str) -> Any:
    """A view with the defaults for this crop."""
    return View(crop=cast("Any", crop))


def _whole(value: Any) -> Any:
    """A whole number as an int: NiceGUI gives floats. Beyond 2**53 they are not exact."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 1 << 53:
        return int(value)
    return value
