"""The fused loss as an autograd function, for tensors on the CPU.

Lives here: `TiedLossFunction`, the rules of when it can replace plain operations (`applies`) and
when it is faster (`worthwhile`), and the cross entropy in plain operations. May import torch, and
the similarities, whose plain formulas give the second derivatives. It must never run while a graph
is traced: a compiler cannot look into it, and fuses the plain operations itself.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tied_augment.exits import INSIDE
from tied_augment.fused.arrays import compute
from tied_augment.similarity import SIMILARITIES, widen
from tied_augment.tracing import runs_plainly

__all__ = ["TiedLossFunction", "applies", "cross_entropy", "worthwhile"]

_HALF = (torch.float16, torch.bfloat16)
_FLOATS = (*_HALF, torch.float32, torch.float64)
_IGNORED = -100  # torch.nn.functional.cross_entropy's default of ignore_index
_ONE_THREAD = 1 << 16  # numbers; as in src/loss/mod.rs, smaller batches use one thread


class TiedLossFunction(torch.autograd.Function):
    """The loss of `fused.tied_loss` under autograd.

    ``apply(logits, features, target, tied_weight, similarity, label_smoothing, supervise,
    threads)``: arguments as in `fused.tied_loss`, all positional. `threads` None is PyTorch's
    number of threads (`torch.get_num_threads`). Inputs that are not contiguous are copied first.

    The forward pass computes the value and the gradients, and the backward pass only multiplies
    them. The gradients of half precision stay in float32 until they have been multiplied, so that
    loss scaling works. Inputs must not be changed in place before the backward pass; PyTorch raises
    an error if they are. With ``create_graph=True`` the backward pass computes the gradients again
    with plain operations, which can be differentiated once more.

    Returns:
        ``(loss, ce, similarity)``, scalar tensors: float64 if logits or features are, else float32.
        Only the loss has a gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        features: Tensor,
        target: Tensor,
        tied_weight: float,
        similarity: str,
        label_smoothing: float,
        supervise: str,
        threads: int | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the loss and the gradients that backward will need."""
        with INSIDE:
            for_logits, for_features = ctx.needs_input_grad[:2]
            grad_logits = _gradient_of(logits) if for_logits else None
            grad_features = _gradient_of(features) if for_features else None
            threads = torch.get_num_threads() if threads is None else threads
            parts = compute(
                (logits.contiguous(), features.contiguous(), target.contiguous()),
                (grad_logits, grad_features),
                (tied_weight, similarity, label_smoothing, supervise == "first", _IGNORED, threads),
            )
            ctx.save_for_backward(logits, features, target, grad_logits, grad_features)
            ctx.options = (tied_weight, similarity, label_smoothing, supervise)
            wide = torch.float64 in (logits.dtype, features.dtype)
            dtype = torch.float64 if wide else torch.float32
            loss, ce, distance = (torch.full((), part, dtype=dtype, device="cpu") for part in parts)
            ctx.mark_non_differentiable(ce, distance)
            ctx.set_materialize_grads(False)
            return loss, ce, distance

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        """Multiply the gradients by that of the loss."""
        nothing = (None,) * 6
        grad_output = grad_outputs[0]
        if grad_output is None:
            return (None, None, *nothing)
        logits, features, target, *grads = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*_differentiable(ctx, logits, features, target, grad_output), *nothing)
        unscaled = _is_one(grad_output)
        scaled = (
            None
            if grad is None
            else (grad if unscaled else grad * grad_output.to(grad.dtype)).to(value.dtype)
            for value, grad in zip((logits, features), grads, strict=True)
        )
        return (*scaled, *nothing)


def applies(logits: Tensor, features: Tensor, target: Tensor) -> bool:
    """Whether `TiedLossFunction` can replace plain operations on these tensors, and is worthwhile.

    False where the operations themselves are wanted: while a graph is traced, and under a transform
    of `torch.func`, forward-mode derivatives, a dispatch mode, or for a subclass of Tensor. False
    for a lazy negative, whose memory does not hold its values. False also for shapes and dtypes
    that are wrong, so that `TiedLoss` can say what is wrong with them.
    """
    if not runs_plainly():
        return False
    for value in (logits, features, target):
        plain = type(value) is Tensor or type(value) is torch.nn.Parameter
        if not plain or not value.is_cpu or value.layout != torch.strided or value.is_neg():
            return False
        # Outside of inference mode such a tensor cannot be saved for the backward pass, for which
        # plain operations save fewer of their inputs.
        if value.is_inference() and not torch.is_inference_mode_enabled():
            return False
    if logits.dtype not in _FLOATS or features.dtype not in _FLOATS or target.requires_grad:
        return False
    rows, classes = logits.shape
    if not classes or target.shape[0] not in (rows, rows // 2):
        return False
    if target.is_floating_point():
        if target.dtype not in _FLOATS or target.shape[1:] != (classes,):
            return False
    elif target.ndim != 1 or target.dtype == torch.bool or target.is_complex():
        return False
    return worthwhile(rows, classes, features.shape[1], threads=torch.get_num_threads())


def worthwhile(rows: int, classes: int, width: int, *, threads: int = 1) -> bool:
    """Whether `TiedLossFunction` is faster than PyTorch's own operations under autograd.

    It is at every shape that docs/fused.md lists, except in large batches with fewer pairs than
    threads: the threads share rows. This is a rule of the shape only; nothing is timed.

    Args:
        rows: 2B.
        classes: C, the columns of the logits.
        width: D, the columns of the features.
        threads: how many threads both may use.
    """
    return rows // 2 >= threads or rows * (classes + width) < _ONE_THREAD


def _is_one(grad_output: Tensor) -> bool:
    """Whether backward() started at the loss, so that nothing has to be multiplied."""
    try:
        return grad_output.item() == 1
    except RuntimeError:  # a batch of gradients (is_grads_batched=True) has no single value
        return False


def _differentiable(
    ctx: Any, logits: Tensor, features: Tensor, target: Tensor, grad_output: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients of both inputs, as functions of the inputs and of `grad_output`."""
    tied_weight, similarity, label_smoothing, supervise = ctx.options
    needed = ctx.needs_input_grad[:2]
    wanted = [value for value, need in zip((logits, features), needed, strict=True) if need]
    distance = SIMILARITIES[similarity](*widen(features).chunk(2))
    loss = _supervised(logits, target, label_smoothing, supervise) + tied_weight * distance
    grads = iter(torch.autograd.grad(loss, wanted, grad_output.to(loss.dtype), create_graph=True))
    return tuple(next(grads) if need else None for need in needed)


def cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
    """The mean over the labelled rows, as in `torch.nn.functional`; but 0, not NaN, without any.

    Args:
        logits: ``(N, C)``.
        target: int64 class indices ``(N,)``, -100 for no label, or soft targets ``(N, C)``.
        label_smoothing: in [0, 1].
    """
    if target.is_floating_point():
        return F.cross_entropy(logits, target, label_smoothing=label_smoothing)
    total = F.cross_entropy(logits, target, label_smoothing=label_smoothing, reduction="sum")
    return total / (target != _IGNORED).sum().clamp_min(1)


def _supervised(logits: Tensor, target: Tensor, smoothing: float, supervise: str) -> Tensor:
    logits = widen(logits)
    rows = len(logits) // 2 if supervise == "first" else len(logits)
    if len(target) < rows:
        target = torch.cat((target, target))
    target = target.to(logits.dtype) if target.is_floating_point() else target.long()
    return cross_entropy(logits[:rows], target[:rows], smoothing)


def _gradient_of(value: Tensor) -> Tensor:
    """A buffer for the gradient: float32 for half precision, until it has been multiplied."""
    dtype = torch.float32 if value.dtype in _HALF else value.dtype
    return torch.empty_like(value, dtype=dtype, memory_format=torch.contiguous_format)
