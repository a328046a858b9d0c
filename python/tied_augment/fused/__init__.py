"""The tied loss and its gradients in one pass on the CPU.

`tied_loss`, for numpy arrays and everything with DLPack, needs no PyTorch (arrays.py).
`TiedLossFunction`, for autograd, and `worthwhile`, which says where that is faster than PyTorch's
own operations, need PyTorch and are imported on first use (function.py). These modules may import
the core, the checks of arguments and the similarities.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tied_augment.fused.arrays import tied_loss

if TYPE_CHECKING:
    from tied_augment.fused.function import TiedLossFunction, worthwhile

__all__ = ["TiedLossFunction", "tied_loss", "worthwhile"]

_NEED_TORCH = ("TiedLossFunction", "worthwhile")


def __getattr__(name: str) -> Any:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module("tied_augment.fused.function")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            f"{name} needs PyTorch: pip install torch, or pip install 'tied-augment[timm]'"
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_NEED_TORCH))
