"""Runs the user's train.py with the tied options added to its own.

This must not import timm or torch before the script does. ``python train.py`` looks for modules in
the script's folder first, and in a clone of timm's repository that folder contains timm.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tied_augment.timm.errors import LaunchError

__all__ = ["run_script"]

# Not the file's own name: 'train' may be the name of another module.
_MODULE = "tied_augment_train_script"
_ENTRY = ("parser", "_parse_args", "main")


def run_script(path: Path, argv: Sequence[str]) -> None:
    """Run ``python path *argv`` with ``--tied-augment`` and its options added to the script.

    Without ``--tied-augment`` only the script's help differs, and packed folders are read.

    Args:
        path: a train.py of timm 0.9.16 or later, or one of its shape.
        argv: the script's arguments.

    Raises:
        LaunchError: the script, an option or a combination of options does not work.
        SystemExit: the script exits, as for ``--help`` or arguments that don't parse.
    """
    if not path.is_file():
        raise LaunchError(f"there is no file {path}: give the path of timm's train.py")
    # As `python train.py` does.
    sys.argv = [str(path), *argv]
    sys.path.insert(0, str(path.resolve().parent))
    script = _load(path)
    missing = [name for name in _ENTRY if not hasattr(script, name)]
    if missing:
        raise LaunchError(
            f"{path} is not a train.py of timm 0.9.16 or later: it lacks {', '.join(missing)}"
        )
    from tied_augment.timm import arguments

    arguments.add_options(script.parser)
    parse_args = script._parse_args

    def _parse_args() -> tuple[Any, str]:
        args, text = arguments.parse(script.parser, parse_args)
        from tied_augment.timm import seam

        seam.read_packed(script)
        if getattr(args, "tied_augment", False):
            # After `text` was made, which must hold what the user typed: `install` changes args.
            seam.install(script, args)
        return args, text

    script._parse_args = _parse_args  # type: ignore[attr-defined]
    script.main()


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise LaunchError(f"{path} is not a Python file: give the path of timm's train.py")
    script = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = script  # pickle looks up here what the script defines
    spec.loader.exec_module(script)
    return script
