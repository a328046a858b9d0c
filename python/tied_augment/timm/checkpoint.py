"""Checkpoints of ``--split-bn`` runs as checkpoints of the plain model."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import torch

__all__ = ["plain_checkpoint"]

# The keys that timm's SplitBatchNorm2d has in addition to those of the BatchNorm it replaces.
_OTHER_VIEWS = re.compile(r"(^|\.)aux_bn\.\d+\.")
_STATES = ("state_dict", "state_dict_ema")


def plain_checkpoint(source: str | PathLike[str], target: str | PathLike[str]) -> int:
    """Copy a checkpoint of a ``--split-bn`` run without the BatchNorms of view 2.

    With ``--split-bn`` each view has its own BatchNorm. View 1's has the plain model's keys, and
    evaluation uses it. View 2's keys, ``....aux_bn.0....``, are left out of ``state_dict`` and
    ``state_dict_ema``; all else is kept. Resume a run from `source`: the optimizer's state in
    `target` is still that of both views.

    Args:
        source: a checkpoint that train.py has written.
        target: the file to write; not `source`.

    Returns:
        The number of keys that were left out.

    Raises:
        OSError: a file can't be read or written.
        ValueError: `source` is not a checkpoint of train.py, or has no such keys; `target` is
            `source`.
    """
    source, target = Path(source), Path(target)
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the checkpoint itself, which --resume needs: name another")
    checkpoint = _loaded(source)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise ValueError(f"{source} is not a checkpoint of train.py: it has no state_dict")
    left_out = 0
    for state in (checkpoint[name] for name in _STATES if checkpoint.get(name)):
        for key in [key for key in state if _OTHER_VIEWS.search(key)]:
            del state[key]
            left_out += 1
    if not left_out:
        raise ValueError(f"{source} has no keys of --split-bn: it is plain already, use it as is")
    _save(checkpoint, target)
    return left_out


def _save(checkpoint: dict[str, Any], target: Path) -> None:
    """Write a file as a whole or not at all."""
    part = target.with_name(f"{target.name}.part")
    try:
        with open(part, "wb") as file:  # torch's own errors don't name the cause
            torch.save(checkpoint, file)
        os.replace(part, target)
    except (OSError, RuntimeError) as error:
        # torch writes the archive's end even after an OSError, and fails there again.
        cause = error if isinstance(error, OSError) else error.__context__
        if isinstance(cause, OSError):
            raise OSError(cause.errno, cause.strerror, str(target)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def _loaded(path: Path) -> Any:
    # It holds train.py's arguments, a Namespace, which torch 2.5 and later can be told is safe.
    safe = getattr(torch.serialization, "safe_globals", None)
    try:
        with nullcontext() if safe is None else safe([Namespace]):
            return torch.load(path, map_location="cpu", weights_only=safe is not None)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # unpickling a file of another kind can raise anything
        raise ValueError(
            f"{path} is not a checkpoint that torch can read: it must hold tensors, plain Python "
            "values and train.py's arguments only"
        ) from error
