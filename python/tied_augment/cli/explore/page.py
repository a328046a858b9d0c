"""The page: an image with the crops of its views, the views with their plans, the code.

One `Page` is made for each tab. Its settings are read and checked in the event loop; the pixels are
made in a thread, so that other tabs go on meanwhile. While one picture is made, changes are
remembered, and the latest is drawn next.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nicegui import background_tasks, events, run, ui

from tied_augment import Views
from tied_augment.cli.explore.code import plans_json, python_code, timm_command
from tied_augment.cli.explore.controls import Controls
from tied_augment.cli.explore.photos import Opened, Photo, opened, uploaded
from tied_augment.cli.explore.pictures import Drawn, draw
from tied_augment.cli.explore.settings import SettingError, Settings, declared, field_of

__all__ = ["Page"]

_STYLE = Path(__file__).with_name("page.css").read_text()
_LAST_EPOCH = 299
_MOST_BYTES = 100 << 20
_FEW = 4  # views that fit beside the image
_MODES = {None: "brightness_auto", False: "light_mode", True: "dark_mode"}


class Page:
    """The page of one tab.

    Args:
        photos: the images to choose from.
    """

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._photos = list(photos)
        self._image: Opened | None = None
        self._chosen = 0
        self._drawing = self._again = False
        self._cards: list[_Card] = []

    def build(self) -> None:
        """Put the elements on the page."""
        ui.add_css(_STYLE)
        ui.colors(primary="#0072b2", negative="#c4320a")
        ui.query(".nicegui-content").classes("explore")
        self._dark = ui.dark_mode(None)
        self._build_header()
        with ui.element("main") as self._main:
            with ui.element("div").classes("choice"):
                self._build_choice()
            with ui.element("div").classes("original"):
                self._build_original()
            with ui.element("div").classes("views"):
                self._grid = ui.element("div").classes("grid")
            with ui.element("div").classes("controls"):
                self._controls = Controls(self._changed)
            with ui.element("div").classes("texts"):
                self._build_code()
        if self._photos:
            self._select.set_value(0)  # which shows it
        else:
            self._say("Choose an image: upload one, or start with tied-augment explore FOLDER.")

    def _build_header(self) -> None:
        with ui.element("header"):
            ui.html("tied-augment <b>explore</b>", sanitize=False).classes("title")
            ui.element("div").classes("space")
            mode = ui.button(icon=_MODES[None]).props('flat round dense aria-label="Light or dark"')
            mode.on_click(lambda: self._next_mode(mode))

    def _next_mode(self, button: ui.button) -> None:
        order = list(_MODES)
        self._dark.value = order[(order.index(self._dark.value) + 1) % len(order)]
        button.props(f"icon={_MODES[self._dark.value]}")

    def _build_choice(self) -> None:
        with ui.element("div").classes("pick"):
            self._select = ui.select(self._names(), label="Image", with_input=True)
            self._select.props("outlined dense options-dense hide-bottom-space")
            self._select.on_value_change(lambda event: self._choose(event.value))
            self._upload = ui.upload(
                on_upload=self._uploaded,
                on_rejected=lambda: self._say(f"the file is larger than {_MOST_BYTES >> 20} MB"),
                auto_upload=True,
                max_file_size=_MOST_BYTES,
            ).classes("hidden")
            upload = ui.button("Upload", icon="upload").props("outline no-caps")
            upload.on("click", js_handler=f"() => getElement({self._upload.id}).pickFiles()")
        self._banner = ui.label().classes("banner").props('role="alert"')
        self._banner.set_visibility(False)

    def _build_original(self) -> None:
        with ui.element("figure"):
            self._photo = ui.element("img").props('alt="The image with the crops of its views"')
            self._crops = ui.html("", sanitize=False).classes("over")
        with ui.element("div").classes("epochs"):
            with ui.element("div").classes("line"):
                ui.label("Epoch")
                shown = ui.label().classes("value")
            with ui.element("div").classes("drag"):
                self._step("chevron_left", "Previous epoch", -1)
                self._epoch = ui.slider(min=0, max=_LAST_EPOCH, value=0)
                self._epoch.props('aria-label="Epoch"').on_value_change(self._changed)
                self._step("chevron_right", "Next epoch", 1)
            shown.bind_text_from(self._epoch, "value")
        self._facts = ui.html("", sanitize=False).classes("facts")

    def _step(self, icon: str, label: str, step: int) -> None:
        def go() -> None:
            self._epoch.set_value(min(max(self._epoch.value + step, 0), _LAST_EPOCH))

        ui.button(icon=icon, on_click=go).props(f'flat round dense aria-label="{label}"')

    def _build_code(self) -> None:
        with ui.tabs().props("dense no-caps align=left") as tabs:
            python, timm = ui.tab("Python"), ui.tab("timm's train.py")
            plans = ui.tab("Plans as JSON")
        with ui.tab_panels(tabs, value=python, animated=False):
            with ui.tab_panel(python):
                self._python = ui.code(language="python").classes("python")
            with ui.tab_panel(timm):
                self._timm = ui.code(language="bash").classes("timm")
                self._timm_remark = ui.label().classes("quiet")
            with ui.tab_panel(plans):
                self._plans = ui.code(language="json").classes("plans")
                ui.label("render(image, plan) makes the pixels of each.").classes("quiet")

    # --- the image

    def _names(self) -> dict[int, str]:
        return {number: photo.name for number, photo in enumerate(self._photos)}

    async def _choose(self, number: int | None) -> None:
        """Show another image; the latest choice counts."""
        if number is None:
            return
        self._chosen = number
        try:
            image = await run.io_bound(opened, self._photos[number])
        except OSError as error:
            self._say(str(error))
            return
        if image is not None and self._chosen == number:  # None while the server ends
            self._take(image)

    async def _uploaded(self, event: events.UploadEventArguments) -> None:
        self._upload.reset()
        photo = uploaded(event.file.name, await event.file.read())
        try:
            await run.io_bound(opened, photo)
        except OSError as error:
            self._say(str(error))
            return
        self._photos.append(photo)
        self._select.set_options(self._names())
        self._select.set_value(len(self._photos) - 1)  # which shows it

    def _take(self, image: Opened) -> None:
        self._image = image
        self._photo.props["src"] = _url("jpeg", image.jpeg)
        self._photo.update()
        self._changed()

    # --- drawing

    def _changed(self) -> None:
        """Draw anew, soon."""
        if self._image is None:
            return
        self._again = True
        if not self._drawing:
            self._drawing = True
            # Not a timer of NiceGUI: that does not run while a tab is disconnected.
            background_tasks.create(self._draw(), name="draw")

    async def _draw(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._draw_once()
        finally:
            self._drawing = False

    async def _draw_once(self) -> None:
        image = self._image
        assert image is not None
        settings = self._controls.settings(int(self._epoch.value))
        try:
            views, remarks = declared(settings)
            self._controls.say({}, {name: text for name, text in remarks if name})
            drawn = await run.io_bound(draw, views, image, settings.draw)
        except SettingError as problem:
            self._refuse(str(problem), problem.control)
        except (OSError, ValueError) as error:
            self._refuse(str(error), field_of(str(error)))
        else:
            if drawn is not None:
                self._show(settings, views, image, drawn)

    def _show(self, settings: Settings, views: Views, image: Opened, drawn: Drawn) -> None:
        self._say("")
        self._crops.set_content(drawn.crops)
        height, width = image.pixels.shape[:2]
        work = "decode the file and make" if isinstance(image.sample, bytes) else "make"
        what = "all views" if len(drawn.views) > 1 else "the view"
        self._facts.set_content(
            f"<div><b>{1000 * drawn.seconds:.2f} ms</b> to {work} {what}, on one core, or "
            f"{1 / drawn.seconds:,.0f} images per second (fastest of {drawn.calls} calls)</div>"
            f"<div>{width} &times; {height} pixels</div>"
        )
        many = len(drawn.views) > _FEW
        self._main.classes(add="many" if many else None, remove=None if many else "many")
        largest = max(max(view.size) for view in drawn.views)
        with self._grid:
            while len(self._cards) < len(drawn.views):
                self._cards.append(_Card(len(self._cards) + 1))
        for number, card in enumerate(self._cards):
            card.root.set_visibility(number < len(drawn.views))
        for card, view in zip(self._cards, drawn.views, strict=False):
            card.show(view, largest)
        self._python.set_content(python_code(settings, views, image.photo))
        command, remark = timm_command(settings, views)
        self._timm.set_content(command)
        self._timm.set_visibility(bool(command))
        self._timm_remark.set_text(remark)
        self._plans.set_content(plans_json(drawn.plans))

    def _refuse(self, text: str, control: str | None) -> None:
        """Show an error beside its control, or else above the image."""
        if control in self._controls.names:
            assert control is not None
            self._controls.say({control: text}, {})
            text = "Not drawn: see the setting that is marked."
        self._say(text)

    def _say(self, text: str) -> None:
        """Show an error; '' for none."""
        self._banner.set_text(text)
        self._banner.set_visibility(bool(text))
        self._main.classes(add="stale" if text else None, remove=None if text else "stale")


class _Card:
    """A view with its plan. It stays, so that a new picture replaces the old one at once."""

    def __init__(self, number: int) -> None:
        with ui.element("article").classes(f"card card-{number}") as self.root:
            self._frame = ui.element("div").classes("frame")
            with self._frame:
                self._image = ui.element("img").props(f'alt="View {number}"')
            self._title = ui.html("", sanitize=False).classes("name")
            self._plan = ui.html("", sanitize=False).classes("plan")
        self._number = number

    def show(self, view: Any, largest: int) -> None:
        """Show a view, as large as it is beside the `largest` side of all."""
        height, width = view.size
        self._image.props["src"] = _url("png", view.png)
        self._image.update()
        share = max(100 * width / largest, 35)
        self._frame.style(f"--color: {view.color}; width: {share:.1f}%")
        self._title.set_content(
            f'<b style="--color: {view.color}">view {self._number}</b> {width} &times; {height}'
        )
        self._plan.set_content("<ol>" + "".join(map(_step, view.plan)) + "</ol>")


def _step(line: str) -> str:
    name, _, rest = line.partition(" ")
    return f"<li>{line}</li>" if name.endswith(",") else f"<li><b>{name}</b> {rest}</li>"


def _url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
