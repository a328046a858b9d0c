"""How the commands take their options, and what messages call them.

Lives here: the parser that all commands share, and checks of values that name the option as it was
typed. An option with several names takes ``action=Typed``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

from tied_augment.cli.errors import CommandError

__all__ = ["MOST_THREADS", "Parser", "Typed", "among_others", "check_range", "meant", "typed"]

# Beyond this torch dies of the threads that it starts, and the system of the workers.
MOST_THREADS = 1024


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations: a new option of a later version would change theirs.

    The arguments are those of `argparse.ArgumentParser`.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(allow_abbrev=False, **arguments)

    def error(self, message: str) -> NoReturn:
        """Print the usage and `message`, and exit with code 2."""
        # argparse counts a remainder, which may be empty, among what is required.
        super().error(message.removesuffix(", ..."))

    def refuse(self, unknown: str) -> NoReturn:
        """Exit with code 2, for an argument that `parse_known_args` left over."""
        if not unknown.startswith("-"):
            self.error(f"unexpected {unknown!r}: give files and folders together, before options")
        option = unknown.partition("=")[0]
        known = set(re.findall(r"(?<=[\s,])--?[a-z][a-z-]*", self.format_help()))
        self.error(f"there is no option {option}{meant(option, known)}")


class Typed(argparse.Action):
    """Stores the value, and in ``typed`` of the namespace how the option was spelled."""

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
    """The option that set `dest`, as it was typed; else `otherwise`, or ``--dest``."""
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
    """The ``type`` of an option that takes any number of values, a file's name after them, too."""

    def value(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number: give files and folders before options"
            ) from None

    return value


def meant(word: str, known: Iterable[str]) -> str:
    """What is likely to have been meant by `word`, as the end of a message."""
    known = sorted(known)
    likely = [name for name in known if name.startswith(word)]
    likely = likely or get_close_matches(word, known, cutoff=0.7)
    return f": did you mean {' or '.join(likely[:3])}?" if likely else ""


def _number(high: int) -> str:
    return f"2**{high.bit_length()} - 1" if high >= 1 << 32 else str(high)
