"""The error of a run that can't begin."""

from __future__ import annotations

__all__ = ["LaunchError"]


class LaunchError(ValueError):
    """A train.py, an option or a combination of options that can't be trained with.

    Raised before training begins. Its text is one line and names the remedy.
    """
