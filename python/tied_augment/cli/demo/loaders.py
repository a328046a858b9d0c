"""The demo's second part: `TiedLoader` beside timm's loader on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from timm.data.dataset import ImageDataset

from tied_augment import TwoView, build_info
from tied_augment.cli.baseline import timms_loader
from tied_augment.cli.bench import measure
from tied_augment.cli.chart import draw
from tied_augment.cli.demo.photos import POLICY, SIZE, VIEW
from tied_augment.loader import TiedLoader

__all__ = ["compare"]

_BATCH, _SECONDS = 32, 4.0
_OURS, _TIMMS = "TiedLoader", "timm's loader"


def compare(photos: Path, chart: Path) -> str:
    """Measure both loaders, draw their rates into `chart`, and say the result.

    Both make two views with `POLICY` on all cores, one after the other, and run no model.
    """
    cores = build_info()["threads"]
    rates = {_OURS: _rate(_ours(photos, cores)), _TIMMS: _rate(_timms(photos, cores))}
    ratio = rates[_OURS] / rates[_TIMMS]
    kilobytes = [file.stat().st_size / 1000 for file in photos.rglob("*.jpg")]
    panel = f"RandAugment ({POLICY}), {cores} cores"
    title = f"Two {SIZE} x {SIZE} views of each JPEG file: source images per second"
    caption = (
        f"{len(kilobytes)} files of {sum(kilobytes) / len(kilobytes):.0f} KB on average; "
        f"{build_info()['resize_simd']}; {_SECONDS:.0f} seconds each. In brackets the ratio to "
        "timm. For the same random numbers both make the same pixels."
    )
    draw(chart, {panel: rates}, _TIMMS, _OURS, title, caption)
    return (
        f"TiedLoader {rates[_OURS]:.0f} images per second, timm's loader {rates[_TIMMS]:.0f}: "
        f"{ratio:.1f} times as fast, on {cores} cores"
    )


def _rate(loader: Any) -> float:
    return measure(loader, _BATCH, _SECONDS)[0]


def _ours(photos: Path, threads: int) -> Any:
    views = TwoView(VIEW)
    return TiedLoader(photos, views, _BATCH, shuffle=True, drop_last=True, threads=threads)


def _timms(photos: Path, workers: int) -> Any:
    dataset = ImageDataset(str(photos))
    return timms_loader(
        dataset,
        SIZE,
        _BATCH,
        auto_augment=POLICY,
        interpolation=VIEW.interpolation,
        workers=workers,
    )
