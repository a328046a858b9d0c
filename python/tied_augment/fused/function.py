"""The fused loss as an autograd function, for tensors on the CPU.

Lives here: `TiedLossFunction` and the plain-torch formula that its second derivative is taken from.
It may import torch and the fused function. It must never be used while a graph is being traced: a
compiler can't look into it, and fuses the plain operations by itself.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from tied_augment import _core
from tied_augment.fused import export, worthwhile

__all__ = ["TiedLossFunction", "applies"]

_HALF = (torch.float16, torch.bfloat16)
_FLOATS = (*_HALF, torch.float32, torch.float64)
_BATCHED = torch._C._dispatch_key_parse("Batched")


class TiedLossFunction(torch.autograd.Function):
    """The loss of `fused.tied_loss` under autograd.

    ``apply(logits, features, target, tied_weight, similarity, label_smoothing, supervise,
    threads)``: arguments as in `fused.tied_loss`, all by position; `threads` None for PyTorch's
    number of threads (`torch.get_num_threads`). Inputs that are not contiguous are copied first.

    Value and gradients are computed in the forward pass; the backward pass only multiplies. Half
    precision has its gradients in float32 until they have been multiplied, so that loss scaling
    works. What was given must not be changed in place before the backward pass (PyTorch checks).
    With ``create_graph=True`` the backward pass computes the gradients anew with plain operations,
    which can be differentiated again.

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
        """Compute the loss, and the gradients that will be asked for."""
        for_logits, for_features = ctx.needs_input_grad[:2]
        grad_logits = _gradient_of(logits) if for_logits else None
        grad_features = _gradient_of(features) if for_features else None
        parts = _core.tied_loss(
            export("logits", logits.contiguous()),
            export("features", features.contiguous()),
            export("target", target.contiguous()),
            None if grad_logits is None else export("grad_logits", grad_logits),
            None if grad_features is None else export("grad_features", grad_features),
            tied_weight,
            similarity,
            label_smoothing,
            supervise == "first",
            -100,
            torch.get_num_threads() if threads is None else threads,
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
        # Most losses are where backward() starts: then there is nothing to multiply.
        batched = torch._C._dispatch_keys(grad_output).has(_BATCHED)  # is_grads_batched=True
        unscaled = not batched and grad_output.item() == 1
        scaled = (
            None
            if grad is None
            else (grad if unscaled else grad * grad_output.to(grad.dtype)).to(value.dtype)
            for value, grad in zip((logits, features), grads, strict=True)
        )
        return (*scaled, *nothing)


def applies(logits: Tensor, features: Tensor, target: Tensor) -> bool:
    """Whether `TiedLossFunction` can stand for plain operations on these, and is worthwhile.

    It can't where plain operations are wanted for what they are (a graph being traced, a transform
    of `torch.func`, forward-mode derivatives, a dispatch mode, a subclass of Tensor), for memory
    that does not hold the values as they are (a lazy negative), nor for shapes and dtypes that are
    to be refused: whoever asks has the better words for that.
    """
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return False
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return False
    if torch._C._len_torch_dispatch_stack() > 0:  # make_fx, FakeTensorMode, FlopCounterMode, ...
        return False
    for value in (logits, features, target):
        plain = type(value) is Tensor or type(value) is torch.nn.Parameter
        if not plain or not value.is_cpu or value.layout != torch.strided or value.is_neg():
            return False
        # It can't be saved for backward, which plain operations do with fewer of their inputs.
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
    dtype = str(logits.dtype).removeprefix("torch.")
    threads = torch.get_num_threads()
    return worthwhile(rows, classes, features.shape[1], dtype, threads=threads)


def _differentiable(
    ctx: Any, logits: Tensor, features: Tensor, target: Tensor, grad_output: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients of both inputs as functions of them and of `grad_output`."""
    from tied_augment.loss.similarity import SIMILARITIES  # which imports this

    tied_weight, similarity, label_smoothing, supervise = ctx.options
    needed = ctx.needs_input_grad[:2]
    wanted = [value for value, need in zip((logits, features), needed, strict=True) if need]
    first, second = _widen(features).chunk(2)
    distance = SIMILARITIES[similarity](first, second)
    loss = _cross_entropy(logits, target, label_smoothing, supervise) + tied_weight * distance
    grads = iter(torch.autograd.grad(loss, wanted, grad_output.to(loss.dtype), create_graph=True))
    return tuple(next(grads) if need else None for need in needed)


def _cross_entropy(logits: Tensor, target: Tensor, smoothing: float, supervise: str) -> Tensor:
    logits = _widen(logits)
    rows = len(logits) // 2 if supervise == "first" else len(logits)
    if len(target) < rows:
        target = torch.cat((target, target))
    target = target.to(logits.dtype) if target.is_floating_point() else target.long()
    return F.cross_entropy(logits[:rows], target[:rows], label_smoothing=smoothing)


def _gradient_of(value: Tensor) -> Tensor:
    """Memory for the gradient: float32 for half precision, which a loss scale comes after."""
    dtype = torch.float32 if value.dtype in _HALF else value.dtype
    return torch.empty_like(value, dtype=dtype, memory_format=torch.contiguous_format)


def _widen(value: Tensor) -> Tensor:
    return value.float() if value.dtype in _HALF else value
