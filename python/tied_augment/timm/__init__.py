"""Tied-Augment in timm: its loader and task for two views, and what runs the user's own train.py.

`loader` and `task` are for training loops of one's own, `checkpoint` converts what was trained. For
timm's train.py: `launcher` loads the script, `arguments` adds the options and refuses what can't
work, `seam` names what is substituted in it, and `tied_run` makes the substitutes out of the other
modules. May import torch and timm, both on first use only: a train.py that runs in a clone of
timm's repository imports that timm, which is found once the script's folder is on the path.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tied_augment.timm.checkpoint import plain_checkpoint
    from tied_augment.timm.loader import create_loader
    from tied_augment.timm.task import TiedTask

__all__ = ["TiedTask", "create_loader", "plain_checkpoint"]

_MODULES = {"TiedTask": "task", "create_loader": "loader", "plain_checkpoint": "checkpoint"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_MODULES))
