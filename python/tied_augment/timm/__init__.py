"""Tied-Augment in timm: a loader and a task for two views, and timm's own train.py on tied views.

`create_dataset`, `create_loader` and `TiedTask` are for custom training loops, `plain_checkpoint`
converts checkpoints. For timm's train.py:

    launcher    loads the user's script and runs its main()
    arguments   adds the --tied-* options to its parser and refuses what can't work
    seam        lists the names that are substituted in it
    tied_run    the substitutes, made from the other modules
    evaluation  the loader for validation
    validation  the same in timm's validate.py

torch and timm are imported on first use only. A train.py in a clone of timm's repository must
import that clone, which Python finds only after the launcher has put the script's folder on the
path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tied_augment.lazy import on_first_use

if TYPE_CHECKING:
    from tied_augment.timm.checkpoint import plain_checkpoint
    from tied_augment.timm.loader import create_loader
    from tied_augment.timm.packed import create_dataset
    from tied_augment.timm.task import TiedTask

__all__ = ["TiedTask", "create_dataset", "create_loader", "plain_checkpoint"]

__getattr__, __dir__ = on_first_use(
    __name__,
    {
        "TiedTask": "task",
        "create_dataset": "packed",
        "create_loader": "loader",
        "plain_checkpoint": "checkpoint",
    },
)
