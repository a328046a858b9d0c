"""Names of a package that are imported on first use, because they need PyTorch.

May import the standard library only.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["on_first_use"]


def on_first_use(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the functions ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its ``__name__``.
        modules: the names that are imported on first use, each with its module in the package.

    Raises:
        AttributeError: by ``__getattr__``, for any other name.
        ImportError: by ``__getattr__``, if PyTorch is missing.
    """

    def getattribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{package}.{modules[name]}")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "torch":
                raise
            raise ImportError(
                f"{name} needs PyTorch: pip install torch, or pip install 'tied-augment[timm]'"
            ) from error
        return getattr(module, name)

    def names() -> list[str]:
        return sorted(vars(sys.modules[package]).keys() | modules.keys())

    return getattribute, names
