"""``tied-augment train``: timm's own train.py, with ``--tied-augment``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tied_augment.cli.errors import CommandError, needs_extra

__all__ = ["add_parser", "run", "run_launcher"]

# What the extra installs, with yaml, which timm's train.py imports. A script may need more.
_PACKAGES = ("timm", "torch", "torchvision", "yaml")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "train",
        help="run timm's train.py with --tied-augment",
        usage="tied-augment train [-h] TRAIN_PY [timm's options] --tied-augment [tied options]",
        description="Run a train.py of timm's repository (0.9.16 or later) with its own options. "
        "With --tied-augment it trains on two tied views of each image; without, it is unchanged. "
        "'tied-augment train TRAIN_PY --help' lists all options. For several processes: "
        "torchrun --nproc_per_node N -m tied_augment train TRAIN_PY ...",
    )
    parser.add_argument("script", type=Path, metavar="TRAIN_PY", help="the path of timm's train.py")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="the script's options"
    )


def run(args: argparse.Namespace) -> int:
    """Run the script in this process."""
    from tied_augment.timm.launcher import run_script

    return run_launcher(run_script, args)


def run_launcher(launch: Callable[[Path, Sequence[str]], None], args: argparse.Namespace) -> int:
    """Run a script of timm's by `launch`, for this command and ``validate``."""
    from tied_augment.timm.errors import LaunchError

    try:
        with needs_extra("timm", _PACKAGES):
            launch(args.script, args.arguments)
    except LaunchError as error:
        raise CommandError(str(error)) from error
    return 0
