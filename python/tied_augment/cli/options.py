"""What all commands share in their options.

Lives here: the parser, and checks whose messages name an option as the user typed it. For that an
option with several names takes ``action=Typed``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

from tied_augment.cli.errors import CommandError

__all__ = ["MOST_THREADS", "Parser", "Typed", "among_others", "check_range", "meant", "typed"]

# Far more threads crash torch, and far more workers exhaust the system.
MOST_THREADS = 1024


class Parser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` without abbreviations of options.

    A new option in a later version could make an abbreviation ambiguous.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(allow_abbrev=False, **arguments)

    def error(self, message: str) -> NoReturn:
        """Print the usage and `message`, and exit with code 2."""
        # argparse lists a remainder among the required arguments, though it may be empty.
        super().error(message.removesuffix(", ..."))

    def refuse(self, unknown: str) -> NoReturn:
        """Exit with code 2, because of an argument that `parse_known_args` left over."""
        if not unknown.startswith("-"):
            several = any(action.nargs == "+" for action in self._get_positional_actions())
            remedy = ": give files and folders together, before options" if several else ""
            self.error(f"unexpected {unknown!r}{remedy}")
        option = unknown.partition("=")[0]
        known = set(re.findall(r"(?<=[\s,])--?[a-z][a-z-]*", self.format_help()))
        self.error(f"there is no option {option}{meant(option, known)}")


class Typed(argparse.Action):
    """Stores the value, and the option as it was typed in ``typed`` of the namespace."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Called by argparse."""
        setattr(namespace, self.dest, values)
        namespace.typed = getattr(namespace, "typed", {}) | {self.dest: option_string}


def typed(args: argparse.Namespace, dest: str, otherwise: str = "") -> str:
    """The option that set `dest`, as it was typed.

    If the option was not given: `otherwise`, or ``--dest``.
    """
    spelled: dict[str, str] = getattr(args, "typed", {})
    return spelled.get(dest, otherwise or f"--{dest.replace('_', '-')}")


def check_range(args: argparse.Namespace, dest: str, low: int, high: int | None = None) -> None:
    """Check each number of the option `dest`.

    Raises:
        CommandError: a number below `low` or above `high`.
    """
    values = getattr(args, dest)
    for value in values if isinstance(values, list) else [values]:
        if value < low or (high is not None and value > high):
            bounds = f"at least {low}" if high is None else f"from {low} to {_number(high)}"
            raise CommandError(f"{typed(args, dest)} must be {bounds}, got {value}")


def among_others(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """The ``type`` of an option that takes any number of values.

    It would also take the name of a file after them, so its message says where files belong.
    """

    def value(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number: give files and folders before options"
            ) from None

    return value


def meant(word: str, known: Iterable[str]) -> str:
    """The end of a message that suggests what `word` was meant to be; empty if nothing is near."""
    known = sorted(known)
    likely = [name for name in known if name.startswith(word)]
    likely = likely or get_close_matches(word, known, cutoff=0.7)
    return f": did you mean {' or '.join(likely[:3])}?" if likely else ""


def _number(high: int) -> str:
    return f"2**{high.bit_length()} - 1" if high >= 1 << 32 else str(high)
