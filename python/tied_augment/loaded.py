"""Whether a value belongs to a library that may not be loaded.

If the library is not loaded, the value is not of its class, so nothing has to be imported to find
out.
"""

from __future__ import annotations

import sys

__all__ = ["is_a"]


def is_a(value: object, module: str, name: str) -> bool:
    """Whether `value` is an instance of the class ``module.name``; False if it is not loaded."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
