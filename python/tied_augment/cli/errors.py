"""Mistakes that the user can put right, reported in one line instead of a traceback."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CommandError", "needs_extra", "said", "writing"]


class CommandError(Exception):
    """A mistake that the user can put right; its text names the remedy."""


def said(problem: object) -> str:
    """An error or a name as it is printed: what is not UTF-8 in a name is escaped."""
    text = str(problem)
    if isinstance(problem, OSError) and problem.filename is not None and problem.strerror:
        text = f"{problem.filename}: {problem.strerror}"
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def needs_extra(extra: str, packages: Collection[str] | None = None) -> Iterator[None]:
    """Say how to install the optional package that an import in the block doesn't find.

    Args:
        extra: the extra of this package that installs it.
        packages: the packages to report; None for any but this one.

    Raises:
        CommandError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "tied_augment") or (packages and missing not in packages):
            raise
        raise CommandError(
            f"{missing} is not installed: pip install 'tied-augment[{extra}]'"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Report `path` and the cause if writing to it in the block fails.

    Raises:
        CommandError: an OSError in the block.
    """
    try:
        yield
    except OSError as error:
        cause = error.strerror or error
        raise CommandError(f"can't write {path}: {cause}; choose another --out") from error
