"""Charts of speed: a panel of bars for each kind of work. The longest bar is on top.

Used by ``tied-augment demo`` and by ``benches/peers.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

__all__ = ["DARK", "LIGHT", "Theme", "draw"]

# For each panel's title, images per second by name.
Panels = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Theme:
    """The colours of a chart."""

    background: str
    text: str
    faint: str
    others: str
    ours: str


LIGHT = Theme("#ffffff", "#1f2328", "#59636e", "#c8d1da", "#0a7d6f")
DARK = Theme("#0d1117", "#f0f6fc", "#9198a1", "#4d5661", "#2bbfa9")


def draw(
    path: Path,
    panels: Panels,
    base: str,
    ours: str,
    title: str,
    caption: str,
    theme: Theme = LIGHT,
) -> None:
    """Write the chart as a PNG file.

    Args:
        path: of the file.
        panels: what was measured.
        base: the name whose rate counts as 1.
        ours: how the names of the bars begin that are highlighted.
        title: what the rates are.
        caption: what must be known to read the figures.
        theme: the colours.
    """
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    bars = max(map(len, panels.values()))
    height = rows * (0.34 * bars + 0.55) + 1.1
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    # As wide for a single panel, since the title and the caption need the room.
    figure = Figure((12.4, height), facecolor=theme.background, layout=layout)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=theme.text)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, rates) in zip(axes.flat, panels.items(), strict=False):
        axis.axis("on")
        _panel(axis, name, rates, base, ours, theme)
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color=theme.faint)
    figure.savefig(path, dpi=160)


def _panel(
    axis: Axes, name: str, rates: Mapping[str, float], base: str, ours: str, theme: Theme
) -> None:
    names = sorted(rates, key=lambda each: rates[each], reverse=True)
    colours = [theme.ours if each.startswith(ours) else theme.others for each in names]
    bars = axis.barh(names, [rates[each] for each in names], 0.72, color=colours)
    labels = [f"{rates[each]:,.0f}  ({rates[each] / rates[base]:.1f}x)" for each in names]
    texts = axis.bar_label(bars, labels, padding=4, fontsize=9, color=theme.text)
    for each, text, tick in zip(names, texts, axis.get_yticklabels(), strict=True):
        if each.startswith(ours):
            text.set_fontweight("bold")
            tick.set_fontweight("bold")
    axis.set_title(name, loc="left", fontsize=10.5, color=theme.text)
    axis.set_facecolor(theme.background)
    # Room for the longest bar's label.
    axis.set_xlim(0, 1.32 * max(rates.values()))
    axis.set_xticks([])
    axis.tick_params(axis="y", length=0, labelsize=9, labelcolor=theme.text)
    axis.spines[:].set_visible(False)
    axis.invert_yaxis()
