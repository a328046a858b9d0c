"""validate.py with this package's loader: its options, and the one name that is substituted.

The script's ``create_loader`` is replaced, in the loaded script only. Accuracy and loss are those
of timm's loader, to the last digit. The script sees no option that it does not know.
"""

from __future__ import annotations

import logging
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from types import ModuleType
from typing import Any

from tied_augment.timm.errors import LaunchError
from tied_augment.timm.evaluation import chosen_loader

__all__ = ["install"]

_OPTIONS = ("tied_eval_loader", "tied_threads")


def install(script: ModuleType) -> None:
    """Put the options and the substitute into a loaded validate.py.

    Args:
        script: the module of the validate.py.

    Raises:
        LaunchError: the script has such an option already.
    """
    logger = getattr(script, "_logger", logging.getLogger(__name__))
    parser: ArgumentParser = script.parser
    _add_options(parser)
    original, parse_args = script.create_loader, parser.parse_args
    ours = Namespace()

    def _parse_args(*args: Any, **kw: Any) -> Any:
        parsed = parse_args(*args, **kw)
        for name in _OPTIONS:
            setattr(ours, name, vars(parsed).pop(name))
        return parsed

    def _create_loader(dataset: Any, **options: Any) -> Any:
        def say(message: str, *values: Any) -> None:
            logger.info(f"Tied-Augment: {message}", *values)

        return chosen_loader(ours, original, dataset, options, say)

    parser.parse_args = _parse_args  # type: ignore[method-assign]
    script.create_loader = _create_loader  # type: ignore[attr-defined]


def _add_options(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("Tied-Augment", "Who loads; the results are the same.")
    if taken := [name for name in _OPTIONS if any(a.dest == name for a in parser._actions)]:
        raise LaunchError(f"the script has an option of its own called {taken[0]}")
    group.add_argument(
        "--tied-eval-loader",
        choices=("native", "timm"),
        default="native",
        help="load in threads, by this package, or with timm's loader (default: native)",
    )
    group.add_argument(
        "--tied-threads",
        type=_count,
        metavar="N",
        help="number of threads of the native loader (default: that of --workers)",
    )


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) < 1 << 16:
        raise ArgumentTypeError(f"must be a whole number from 1 to 65535, got {text!r}")
    return int(text)
