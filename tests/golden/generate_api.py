"""Write `api.txt`: the public names of the Python package and what can be passed to them.

    python tests/golden/generate_api.py

The test `test_api.py` compares the file with the package. Types are not in it, mypy checks those.
"""

from __future__ import annotations

import enum
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("api.txt")
# The modules that the documents name.
MODULES = (
    "tied_augment",
    "tied_augment.fused",
    "tied_augment.loader",
    "tied_augment.logging",
    "tied_augment.loss",
    "tied_augment.packed",
    "tied_augment.presets",
    "tied_augment.ray",
    "tied_augment.similarity",
    "tied_augment.timm",
)


def default(value: Any) -> str:
    """A default as text that is the same in every process and with every version of Python."""
    if isinstance(value, (int, float, str, bytes, type(None), tuple, enum.Enum)):
        return repr(value)
    return f"<{type(value).__name__}>"


def parameters(callable_: Any) -> str:
    """Its parameters and their defaults, without types."""
    try:
        signature = inspect.signature(callable_)
    except ValueError:  # of a class that only raises, say
        return "(...)"
    parts = []
    for parameter in signature.parameters.values():
        shown = parameter.replace(annotation=parameter.empty)
        if parameter.default is not parameter.empty:
            shown = shown.replace(default=Shown(default(parameter.default)))
        parts.append(shown)
    return str(signature.replace(parameters=parts, return_annotation=signature.empty))


class Shown(str):
    """A text whose repr is itself."""

    def __repr__(self) -> str:
        return str(self)


def members(name: str, of: type) -> Iterator[str]:
    """The methods and properties that a class or a base of it in this package defines."""
    own = [base for base in of.__mro__ if base.__module__.startswith("tied_augment")]
    for member in sorted({member for base in own for member in vars(base)}):
        value = inspect.getattr_static(of, member)
        if member.startswith("_"):
            continue
        if isinstance(value, (staticmethod, classmethod)) or callable(value):
            yield f"{name}.{member}{parameters(getattr(of, member))}"
        else:
            yield f"{name}.{member}"


def lines() -> Iterator[str]:
    """Everything public, one a line. What has two names is described under the first."""
    first: dict[int, str] = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        # Of the similarities, what is registered by its name is public.
        names = getattr(module, "__all__", None) or module.SIMILARITIES
        for name in sorted(names):
            value = getattr(module, name)
            whole = f"{module_name}.{name}"
            if inspect.ismodule(value) or not callable(value):
                yield whole
                continue
            if first.setdefault(id(value), whole) != whole:
                yield f"{whole} = {first[id(value)]}"
                continue
            yield whole + parameters(value)
            if inspect.isclass(value):
                yield from members(whole, value)


if __name__ == "__main__":
    FILE.write_text("\n".join(lines()) + "\n")
