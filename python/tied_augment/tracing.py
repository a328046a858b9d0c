"""Whether torch simply runs operations, or traces, transforms, records or differentiates them.

torch answers most of these questions with private functions only. They are looked up here, at each
call and never at import. If a release of torch renames one, the answer is the safe one, and nothing
else breaks.

This module may import torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd import forward_ad

__all__ = ["in_backward", "in_dispatch_mode", "in_transform", "is_compiled", "runs_plainly"]


def runs_plainly() -> bool:
    """Whether the operations that follow simply run, under autograd at most.

    False while torch.compile, torch.export or torch.jit traces a graph, under a transform of
    `torch.func` (grad, vmap, ...), forward-mode derivatives or a dispatch mode (make_fx,
    FakeTensorMode, ...); and if this torch cannot say so.
    """
    if torch.compiler.is_compiling() or _ask("_is_tracing", otherwise=True):
        return False
    if in_transform(otherwise=True) or in_dispatch_mode(otherwise=True):
        return False
    level: int = getattr(forward_ad, "_current_level", 0)  # -1 outside of forward mode
    return level < 0


def in_transform(otherwise: bool = False) -> bool:
    """Whether a transform of `torch.func` is active; `otherwise` if this torch cannot say so."""
    return bool(_ask("_are_functorch_transforms_active", otherwise))


def in_dispatch_mode(otherwise: bool = False) -> bool:
    """Whether a dispatch mode is active; `otherwise` if this torch cannot say so."""
    return bool(_ask("_len_torch_dispatch_stack", otherwise))


def in_backward() -> bool:
    """Whether this thread is in a backward pass, where activation checkpointing runs code again.

    False if this torch cannot say so.
    """
    number: int = _ask("_current_graph_task_id", otherwise=-1)  # -1 outside of a backward pass
    return number != -1


def is_compiled(module: nn.Module) -> bool:
    """Whether `module` itself is compiled: ``module.compile()`` or ``torch.compile(module)``."""
    in_place = getattr(module, "_compiled_call_impl", None) is not None
    return in_place or "_orig_mod" in module._modules


def _ask(name: str, otherwise: Any) -> Any:
    function = getattr(torch._C, name, None)
    return otherwise if function is None else function()
