"""Tied-Augment in timm: its loader and task for two views, and what runs the user's own train.py.

`loader` and `task` are for training loops of one's own, `checkpoint` converts what was trained. For
timm's train.py: `launcher` loads the script, `arguments` adds the options and refuses what can't
work, `seam` names what is substituted in it, and `tied_run` makes the substitutes out of the other
modules. May import torch and timm, both on first use only: a train.py that runs in a clone of
timm's repository imports that timm, which is found once the script's folder is on the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tied_augment.lazy import on_first_use

if TYPE_CHECKING:
    from tied_augment.timm.checkpoint import plain_checkpoint
    from tied_augment.timm.loader import create_loader
    from tied_augment.timm.task import TiedTask

__all__ = ["TiedTask", "create_loader", "plain_checkpoint"]

__getattr__, __dir__ = on_first_use(
    __name__, {"TiedTask": "task", "create_loader": "loader", "plain_checkpoint": "checkpoint"}
)
