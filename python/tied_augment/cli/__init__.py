"""The command ``tied-augment``: one module per sub-command.

A sub-command is a module with two functions: ``add_parser(subparsers)`` adds its parser, and
``run(args)`` does the work and returns the exit code. It raises `CommandError` for mistakes that
the user can put right. Packages other than numpy are imported in ``run``, so that help is instant
and works without the extras.

Exit codes: 0 for success, 1 for a `CommandError`, 2 for arguments that don't parse, 130 for an
interrupt.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tied_augment import __version__
from tied_augment.cli import (
    bench,
    demo,
    explore,
    pack,
    plain,
    preview,
    train,
    tune,
    unpack,
    validate,
    verify,
)
from tied_augment.cli.errors import CommandError
from tied_augment.cli.options import Parser, meant

__all__ = ["main"]

_COMMANDS = {
    "bench": bench,
    "demo": demo,
    "explore": explore,
    "pack": pack,
    "plain": plain,
    "preview": preview,
    "train": train,
    "tune": tune,
    "unpack": unpack,
    "validate": validate,
    "verify": verify,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: the arguments, without the program's name; None for those of this process.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = Parser(
        prog="tied-augment",
        description="Exact, fast two-view augmentation and the tied loss, for timm and PyTorch.",
    )
    parser.add_argument("--version", action="version", version=f"tied-augment {__version__}")
    subparsers: Any = parser.add_subparsers(dest="command", metavar="COMMAND")
    for module in _COMMANDS.values():
        module.add_parser(subparsers)
    command = next((word for word in argv if not word.startswith("-")), None)
    if command is not None and command not in _COMMANDS:
        hint = meant(command, _COMMANDS) or f": choose from {', '.join(_COMMANDS)}"
        parser.error(f"there is no command {command!r}{hint}")
    args, unknown = parser.parse_known_args(argv)
    if args.command is None:
        parser.error(f"a command is missing: choose from {', '.join(_COMMANDS)}")
    if unknown:
        subparsers.choices[args.command].refuse(unknown[0])
    try:
        code: int = _COMMANDS[args.command].run(args)
        return code
    except CommandError as error:
        print(f"tied-augment {args.command}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ntied-augment {args.command}: interrupted", file=sys.stderr)
        return 130
