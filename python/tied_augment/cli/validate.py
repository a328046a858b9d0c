"""``tied-augment validate``: timm's own validate.py, with this package's loader."""

from __future__ import annotations

import argparse
from pathlib import Path

from tied_augment.cli.train import run_launcher

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "validate",
        help="run timm's validate.py with this package's loader",
        usage="tied-augment validate [-h] VALIDATE_PY [timm's options] [tied options]",
        description="Run a validate.py of timm's repository (0.9.16 or later) with its own "
        "options. Images are loaded and cropped by this package, with the pixels of timm's loader. "
        "'tied-augment validate VALIDATE_PY --help' lists all options.",
    )
    parser.add_argument(
        "script", type=Path, metavar="VALIDATE_PY", help="the path of timm's validate.py"
    )
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="the script's options"
    )


def run(args: argparse.Namespace) -> int:
    """Run the script in this process."""
    from tied_augment.timm.launcher import run_validation

    return run_launcher(run_validation, args)
