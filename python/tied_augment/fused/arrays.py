"""The fused loss as a plain function of buffers, without PyTorch.

Lives here: `tied_loss`, for numpy arrays and everything with DLPack, and `compute`, the one call of
the core, which hands it buffers by DLPack. No input is ever copied. May import the core, the checks
of arguments and numpy; for an error message also the similarities, if PyTorch has been imported.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar, cast

import numpy as np

from tied_augment import _core
from tied_augment.arguments import check_int, check_name, check_number
from tied_augment.exits import INSIDE

__all__ = ["SUPERVISE", "compute", "tied_loss"]

SUPERVISE = ("both", "first")

Buffer = TypeVar("Buffer")


def tied_loss(
    logits: Buffer,
    features: Buffer,
    target: object,
    *,
    tied_weight: float = 1.0,
    similarity: str = "mse",
    label_smoothing: float = 0.0,
    supervise: str = "both",
    ignore_index: int = -100,
    grad: bool = True,
    out: tuple[object | None, object | None] | None = None,
    threads: int | None = None,
) -> tuple[float, dict[str, float], Any, Any]:
    """Compute ``cross_entropy + tied_weight * similarity`` and its gradients.

    This is the loss that `TiedLoss` computes with PyTorch. Rows are view-major: row ``i`` and row
    ``B + i`` are the two views of sample ``i``.

    Accuracy: float64 is computed in float64, everything else in float32, with sums of more than 64
    terms in float64. A gradient is within ``16 * eps`` of the exact one, relative to the largest
    magnitude that its row can have (1 / rows for logits), plus one rounding to its own dtype. The
    loss is within ``64 * eps``, relative to 1 + loss + the largest logit's magnitude. (eps is
    1.2e-7 for float32, 2.2e-16 for float64.) Probabilities under 1.2e-38 (2.2e-308) count as 0. The
    result is the same bit for bit for any number of threads and on every machine.

    NaN and infinities propagate as in PyTorch: a NaN among a row's logits makes the loss and this
    row's gradient NaN, and the gradient of no other row.

    Args:
        logits: ``(2B, C)`` of float16, bfloat16, float32 or float64: a numpy array, a CPU tensor,
            or anything else with ``__dlpack__`` in CPU memory. C-contiguous. It is read without a
            copy and without the GIL: do not change it meanwhile. (numpy has no bfloat16.)
        features: ``(2B, D)``, likewise. Its dtype may differ from that of the logits.
        target: class indices ``(B,)`` or ``(2B,)`` of any integer dtype, or soft targets ``(B, C)``
            or ``(2B, C)`` of any of the floating dtypes. B rows serve both views.
        tied_weight: finite factor of the similarity.
        similarity: ``'mse'`` or ``'l1'``, the mean over all B*D numbers of the squared or absolute
            difference, or ``'cosine'``, the mean over the B pairs of 1 - cosine. A norm below 1e-8
            counts as 1e-8 in the cosine. The derivative of l1 at 0 is 0.
        label_smoothing: in [0, 1], as in `torch.nn.functional.cross_entropy`.
        supervise: ``'both'`` for the mean cross entropy over all 2B rows, ``'first'`` over view 1.
        ignore_index: a class index whose rows are left out of the cross entropy and of its mean. If
            all rows are left out, the cross entropy and the logits' gradient are 0.
        grad: whether to compute gradients.
        out: where to write (the logits' gradient, the features' gradient). Both are writable,
            C-contiguous, of the shape and dtype of the input (or of float32 for half precision) and
            share no memory with anything else. None in either place leaves that gradient out. None
            instead of the pair makes new buffers.
        threads: how many threads to use, including the calling one; None for one per core that this
            process may use. Small batches use one. The most is 64, or twice the cores if that is
            more.

    Returns:
        ``(loss, parts, grad_logits, grad_features)``. `parts` has ``'loss'``, ``'ce'``,
        ``'similarity'`` (not weighted) and ``'tied_weight'``, all Python floats. The gradients are
        the given buffers, or new ones of the kind and dtype of the inputs (numpy arrays for
        producers other than PyTorch), or None where not asked for.

    Raises:
        TypeError: an argument is not a buffer, or has a wrong type or dtype.
        ValueError: a shape, layout, device, option or class index does not fit; an output is
            read-only or shares memory with another buffer; the batch is empty.
    """
    check_name("supervise", supervise, SUPERVISE)
    if out is not None and not grad:
        raise ValueError("out is for gradients: leave it out, or pass grad=True")
    options = tied_weight, similarity, label_smoothing, supervise == "first", ignore_index, threads
    with INSIDE:
        if out is not None:
            grads = _pair(out)
        elif grad:
            grads = _like("logits", logits), _like("features", features)
        else:
            grads = None, None
        try:
            loss, ce, distance = compute((logits, features, target), grads, options)
        except (TypeError, ValueError, OverflowError):
            # Only after a failure: in the smallest batches the checks take half the loss's time.
            _check_options(tied_weight, similarity, label_smoothing, ignore_index, threads)
            raise
    parts = {"loss": loss, "ce": ce, "similarity": distance, "tied_weight": float(tied_weight)}
    return loss, parts, *grads


def compute(
    inputs: tuple[object, object, object],
    gradients: tuple[object | None, object | None],
    options: tuple[float, str, float, bool, int, int | None],
) -> tuple[float, float, float]:
    """Run the core. Must be called inside `INSIDE`.

    Args:
        inputs: logits, features and target, tensors or what the core accepts.
        gradients: where to write those of the logits and features; None for no gradient.
        options: tied_weight, similarity, label_smoothing, whether to supervise only view 1,
            ignore_index, threads.

    Returns:
        ``(loss, ce, similarity)``.
    """
    logits, features, target = inputs
    grad_logits, grad_features = gradients
    return _core.tied_loss(
        _export("logits", logits),
        _export("features", features),
        _export("target", target),
        None if grad_logits is None else _export("grad_logits", grad_logits),
        None if grad_features is None else _export("grad_features", grad_features),
        *options,
    )


def _export(name: str, value: object) -> object:
    """`value` as the core takes it: a DLPack capsule of a tensor, anything else unchanged.

    The capsule comes from torch's function because that takes 0.3 us and the method takes 2.

    Raises:
        ValueError: a tensor that is not dense or not in CPU memory, or whose memory does not hold
            its values.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    if not value.is_cpu or value.layout != torch.strided:
        raise ValueError(
            f"{name} must be a dense tensor in CPU memory, got {value.layout} on {value.device}; "
            "TiedLoss computes where the tensors are"
        )
    if value.is_neg():
        raise ValueError(
            f"{name} is a lazy negative, whose memory holds other values; pass .resolve_neg()"
        )
    return torch.utils.dlpack.to_dlpack(value.detach())


def _check_options(
    tied_weight: object,
    similarity: object,
    label_smoothing: object,
    ignore_index: object,
    threads: object,
) -> None:
    """Raise a more helpful error than the core's, if an option is what it refused."""
    check_number("tied_weight", tied_weight)
    if "torch" in sys.modules:  # without torch it is the core's message that lists the names
        _check_similarity(similarity)
    check_number("label_smoothing", label_smoothing, 0, 1)
    check_int("ignore_index", ignore_index)
    if threads is not None:
        check_int("threads", threads, 1)


def _check_similarity(similarity: object) -> None:
    from tied_augment.similarity import SIMILARITIES, known_aliases

    fused = [name for name, entry in SIMILARITIES.items() if entry.fused]
    otherwise = " (TiedLoss has others)"
    check_name("similarity", similarity, fused, aliases=known_aliases(), otherwise=otherwise)


def _pair(out: object) -> tuple[object | None, object | None]:
    if isinstance(out, tuple | list) and len(out) == 2:
        return out[0], out[1]
    raise TypeError("out must be a pair: (the logits' gradient or None, the features' or None)")


def _like(name: str, value: object) -> object:
    """A new buffer for the gradient of `value`."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        if value.layout != torch.strided:
            return None  # `compute` refuses `value`, with the reason
        return torch.empty_like(value.detach(), memory_format=torch.contiguous_format)
    if isinstance(value, np.ndarray):
        return np.empty(value.shape, value.dtype)
    if not hasattr(value, "__dlpack__"):
        return None  # the core refuses `value`, with the reason
    try:
        array = np.from_dlpack(cast("Any", value))
    except (TypeError, BufferError, RuntimeError) as error:
        raise TypeError(
            f"no gradient buffer can be made for {name} ({type(value).__name__}: {error}); "
            "pass out="
        ) from error
    return np.empty(array.shape, array.dtype)
