"""Runs the user's train.py, or validate.py, with the tied options added to its own.

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

__all__ = ["run_script", "run_validation"]

# Names of the file may be those of other modules, such as 'train'.
_MODULE = "tied_augment_{}_script"
_TRAIN = ("parser", "_parse_args", "main")
_VALIDATE = ("parser", "validate", "create_loader", "main")


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
    script = _load(path, argv, "train", _TRAIN)
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


def run_validation(path: Path, argv: Sequence[str]) -> None:
    """Run ``python path *argv`` with this package's loader.

    Args:
        path: a validate.py of timm 0.9.16 or later, or one of its shape.
        argv: the script's arguments.

    Raises:
        LaunchError: the script does not work.
        SystemExit: the script exits, as for ``--help`` or arguments that don't parse.
    """
    script = _load(path, argv, "validate", _VALIDATE)
    from tied_augment.timm import validation

    validation.install(script)
    script.main()


def _load(path: Path, argv: Sequence[str], kind: str, needed: Sequence[str]) -> ModuleType:
    """Load the script as ``python path *argv`` does, except that its name is not ``__main__``.

    Args:
        path: of the script.
        argv: its arguments.
        kind: ``'train'`` or ``'validate'``.
        needed: names that such a script has.
    """
    if not path.is_file():
        raise LaunchError(f"there is no file {path}: give the path of timm's {kind}.py")
    sys.argv = [str(path), *argv]
    sys.path.insert(0, str(path.resolve().parent))
    module = _MODULE.format(kind)
    spec = importlib.util.spec_from_file_location(module, path)
    if spec is None or spec.loader is None:
        raise LaunchError(f"{path} is not a Python file: give the path of timm's {kind}.py")
    script = importlib.util.module_from_spec(spec)
    sys.modules[module] = script  # pickle looks up here what the script defines
    spec.loader.exec_module(script)
    missing = [name for name in needed if not hasattr(script, name)]
    if missing:
        raise LaunchError(
            f"{path} is not a {kind}.py of timm 0.9.16 or later: it lacks {', '.join(missing)}"
        )
    return script
