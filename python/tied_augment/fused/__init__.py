"""The tied loss and its gradients in one pass on the CPU.

`tied_loss`, for numpy arrays and everything with DLPack, needs no PyTorch (arrays.py).
`TiedLossFunction`, for autograd, and `worthwhile`, which says where that is faster than PyTorch's
own operations, need PyTorch and are imported on first use (function.py). These modules may import
the core, the checks of arguments and the similarities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tied_augment.fused.arrays import tied_loss
from tied_augment.lazy import on_first_use

if TYPE_CHECKING:
    from tied_augment.fused.function import TiedLossFunction, worthwhile

__all__ = ["TiedLossFunction", "tied_loss", "worthwhile"]

__getattr__, __dir__ = on_first_use(
    __name__, {"TiedLossFunction": "function", "worthwhile": "function"}
)
