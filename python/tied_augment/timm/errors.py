"""How a run reports mistakes: by an error before it starts, or by warnings in its log.

The launcher imports this before the script: it must import the standard library only.
"""

from __future__ import annotations

import logging
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["LaunchError", "warnings_in_log"]

_logger = logging.getLogger(__name__)


class LaunchError(ValueError):
    """A train.py, an option or a combination of options that does not work with tied views.

    Raised before training begins. Its message is one line and names the remedy.
    """


@contextmanager
def warnings_in_log(args: Namespace, reworded: Callable[[str], str] = str) -> Iterator[None]:
    """Log the warnings of the block, each text once, in the first process only.

    Args:
        args: train.py's.
        reworded: makes the text to log from that of a warning.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    if getattr(args, "rank", 0) == 0:
        for text in dict.fromkeys(str(warning.message) for warning in caught):
            _logger.warning("Tied-Augment: %s", reworded(text))
