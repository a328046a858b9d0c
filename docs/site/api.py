"""The pages of the API reference: the public names, by topic, with their docstrings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["TOPICS", "Topic", "write_reference"]

_DISTANCES = ("mse", "l1", "cosine", "l2_norm", "cosine_l2_norm")
_OTHERS = ("cka", "linear_cka", "vicreg", "js")


@dataclass(frozen=True)
class Topic:
    """A page of the reference.

    Attributes:
        page: its file.
        title: its heading.
        about: its first paragraph.
        names: public names, with their modules.
    """

    page: str
    title: str
    about: str
    names: tuple[str, ...]


TOPICS = (
    Topic(
        "api-views.md",
        "Views",
        "What is done to an image, and to its masks and boxes.",
        (
            "tied_augment.View",
            "tied_augment.TwoView",
            "tied_augment.Views",
            "tied_augment.Plan",
            "tied_augment.render",
            "tied_augment.decode",
            "tied_augment.apply_to_mask",
            "tied_augment.apply_to_boxes",
            "tied_augment.DecodeError",
        ),
    ),
    Topic(
        "api-presets.md",
        "Presets",
        "The published views of self-supervised methods ([the settings](methods.md)).",
        ("tied_augment.presets",),
    ),
    Topic(
        "api-data.md",
        "Data sets and loader",
        "From files to batches of views.",
        (
            "tied_augment.TiedLoader",
            "tied_augment.TiedDataset",
            "tied_augment.ArrayDataset",
            "tied_augment.PackedDataset",
            "tied_augment.TarShards",
        ),
    ),
    Topic(
        "api-model.md",
        "Model",
        "From batches of views to logits and features.",
        ("tied_augment.TiedModel", "tied_augment.Normalize"),
    ),
    Topic(
        "api-loss.md",
        "Loss",
        "From logits and features to the loss ([how to choose](loss.md)).",
        (
            "tied_augment.TiedLoss",
            "tied_augment.TiedMixup",
            "tied_augment.loss.Mix",
            "tied_augment.loss.Schedule",
            "tied_augment.loss.Poly1CrossEntropy",
            *(f"tied_augment.similarity.{name}" for name in _DISTANCES + _OTHERS),
            "tied_augment.fused.tied_loss",
            "tied_augment.fused.TiedLossFunction",
            "tied_augment.fused.worthwhile",
        ),
    ),
    Topic(
        "api-timm.md",
        "timm",
        "For training loops of your own with timm's loader or task. For timm's train.py see "
        "[the launcher](timm.md).",
        (
            "tied_augment.timm.create_dataset",
            "tied_augment.timm.create_loader",
            "tied_augment.timm.TiedTask",
            "tied_augment.timm.plain_checkpoint",
        ),
    ),
    Topic(
        "api-build.md",
        "This build",
        "`tied_augment.__version__` is its version.",
        ("tied_augment.build_info",),
    ),
)


def write_reference(folder: Path) -> list[str]:
    """Write the pages into `folder`, and return their names."""
    for topic in TOPICS:
        entries = "\n".join(f"::: {name}\n" for name in topic.names)
        (folder / topic.page).write_text(f"# {topic.title}\n\n{topic.about}\n\n{entries}")
    return [topic.page for topic in TOPICS]
