"""Runs a train.py of the user's, with the tied options added to its own.

Lives here: `run_script`. It must import neither timm nor torch before the script does: ``python
train.py`` finds first what lies beside the script, which in a clone of timm's repository is timm.
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

# Not the file's own name, which may be that of another module ('train').
_MODULE = "tied_augment_train_script"
_ENTRY = ("parser", "_parse_args", "main")


def run_script(path: Path, argv: Sequence[str]) -> None:
    """Run ``python path *argv``, where the script also knows ``--tied-augment`` and its options.

    Without ``--tied-augment`` nothing of the script is changed but its help.

    Args:
        path: a train.py of timm 0.9.16 or later, or one of its shape.
        argv: the script's arguments.

    Raises:
        LaunchError: the script, an option or a combination of options can't be run.
        SystemExit: as the script exits, for ``--help`` or arguments that don't parse.
    """
    if not path.is_file():
        raise LaunchError(f"there is no file {path}: give the path of timm's train.py")
    # What `python train.py` does: the script's own name and folder come first.
    sys.argv = [str(path), *argv]
    sys.path.insert(0, str(path.resolve().parent))
    script = _load(path)
    missing = [name for name in _ENTRY if not hasattr(script, name)]
    if missing:
        raise LaunchError(
            f"{path} is no train.py of timm 0.9.16 or later: it lacks {', '.join(missing)}"
        )
    from tied_augment.timm import arguments

    arguments.add_options(script.parser)
    parse_args = script._parse_args

    def _parse_args() -> tuple[Any, str]:
        args, text = arguments.parse(script.parser, parse_args)
        if getattr(args, "tied_augment", False):
            # Now that it is wanted, and late enough for `text` to hold what the user has typed.
            from tied_augment.timm import seam

            seam.install(script, args)
        return args, text

    script._parse_args = _parse_args  # type: ignore[attr-defined]
    script.main()


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise LaunchError(f"{path} is no Python file: give the path of timm's train.py")
    script = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = script  # where pickle looks for what the script defines
    spec.loader.exec_module(script)
    return script
