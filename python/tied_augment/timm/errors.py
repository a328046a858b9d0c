"""The error for a run that can't start."""

from __future__ import annotations

__all__ = ["LaunchError"]


class LaunchError(ValueError):
    """A train.py, an option or a combination of options that does not work with tied views.

    Raised before training begins. Its message is one line and names the remedy.
    """
