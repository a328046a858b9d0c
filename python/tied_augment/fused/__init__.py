"""The tied loss and its gradients in one pass on the CPU, for numpy and any DLPack producer.

Lives here: `tied_loss`, a plain function that needs no PyTorch, and `worthwhile`, which says where
it is faster than PyTorch's own operations. `TiedLossFunction`, for autograd, is imported on first
use, as it needs PyTorch. It may import the core, the checks of arguments and numpy only. It must
never copy an input.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from tied_augment import _core
from tied_augment.arguments import check_int, check_name, check_number

if TYPE_CHECKING:
    from tied_augment.fused.function import TiedLossFunction

__all__ = ["TiedLossFunction", "tied_loss", "worthwhile"]

SIMILARITIES = ("mse", "l1", "cosine")
_SUPERVISE = ("both", "first")
_DTYPES = ("float16", "bfloat16", "float32", "float64")
_ALONE = 1 << 16  # as in src/loss/mod.rs: below, one thread does it all

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

    The loss that `TiedLoss` computes with PyTorch. Rows are view-major: row ``i`` and row ``B + i``
    are the two views of sample ``i``.

    Accuracy: float64 is computed in float64, all else in float32 with every sum beyond 64 terms in
    float64. A gradient is within ``16 * eps`` of the exact one, relative to the largest magnitude
    that its row can have (1 / rows for logits), plus one rounding to its own dtype; the loss
    is within ``64 * eps``, relative to 1 + loss + the largest logit's magnitude (eps: 1.2e-7 for
    float32, 2.2e-16 for float64). Probabilities under 1.2e-38 (2.2e-308) count as 0. The result is
    the same bit for bit for any number of threads and on every machine.

    NaN and infinities go where the formula takes them, as in PyTorch: a NaN among a row's logits
    makes the loss and this row's gradient NaN, and no other row's.

    Args:
        logits: ``(2B, C)``: float16, bfloat16, float32 or float64; a numpy array, a CPU tensor, or
            anything else with ``__dlpack__`` in CPU memory. C-contiguous. It is read without a
            copy and without the GIL: don't change it meanwhile. (numpy has no bfloat16.)
        features: ``(2B, D)``, likewise; the dtype may be another.
        target: class indices ``(B,)`` or ``(2B,)`` of any integer dtype, or soft targets ``(B, C)``
            or ``(2B, C)`` of any of the floating dtypes. B rows serve both views.
        tied_weight: finite factor of the similarity.
        similarity: ``'mse'`` or ``'l1'``, the mean over all B*D numbers of the squared or absolute
            difference, or ``'cosine'``, the mean over the B pairs of 1 - cosine. For the cosine a
            norm under 1e-8 counts as 1e-8; the derivative of l1 at 0 is 0.
        label_smoothing: in [0, 1], as in `torch.nn.functional.cross_entropy`.
        supervise: ``'both'`` for the mean cross entropy over all 2B rows, ``'first'`` over view 1.
        ignore_index: a class index whose rows count for nothing, also in the mean. If all rows are
            ignored the loss is NaN and the logits' gradient 0.
        grad: whether to compute gradients.
        out: where to write (the logits' gradient, the features' gradient): writable, C-contiguous,
            of the same shape and dtype, or of float32 for half precision, and apart from all else.
            None in either place leaves that gradient out. None instead of the pair makes new ones.
        threads: how many threads to use, 1 being the calling one; None for one per core that this
            process may use. Small batches use one.

    Returns:
        ``(loss, parts, grad_logits, grad_features)``: `parts` has ``'loss'``, ``'ce'``,
        ``'similarity'`` (not weighted) and ``'tied_weight'``, all Python floats. The gradients are
        the given buffers, or new ones of the kind and dtype of the inputs (numpy arrays for
        producers other than PyTorch), or None where not asked for.

    Raises:
        TypeError: something that is no buffer, or has a wrong dtype.
        ValueError: a shape, layout, device, option or class index that doesn't fit; an output that
            is read-only or shares memory with another buffer; an empty batch.
    """
    check_name("supervise", supervise, _SUPERVISE)
    if out is not None and not grad:
        raise ValueError("out is for gradients: leave it out, or pass grad=True")
    inputs = export("logits", logits), export("features", features), export("target", target)
    if out is not None:
        grad_logits, grad_features = _pair(out)
    elif grad:
        grad_logits, grad_features = _like("logits", logits), _like("features", features)
    else:
        grad_logits = grad_features = None
    try:
        loss, ce, distance = _core.tied_loss(
            *inputs,
            None if grad_logits is None else export("grad_logits", grad_logits),
            None if grad_features is None else export("grad_features", grad_features),
            tied_weight,
            similarity,
            label_smoothing,
            supervise == "first",
            ignore_index,
            threads,
        )
    except (TypeError, ValueError, OverflowError):
        # Only now: for the smallest batches the checks would take half as long as the loss.
        _check_options(tied_weight, similarity, label_smoothing, ignore_index, threads)
        raise
    parts = {"loss": loss, "ce": ce, "similarity": distance, "tied_weight": float(tied_weight)}
    return loss, parts, grad_logits, grad_features


def worthwhile(
    rows: int, classes: int, width: int, dtype: str, *, device: str = "cpu", threads: int = 1
) -> bool:
    """Whether `TiedLossFunction` is faster than PyTorch's own operations under autograd.

    A rule of its arguments only, drawn from the figures in docs/fused.md; nothing is timed. It
    was at every measured shape, unless threads outnumber the pairs of a batch that keeps more
    than one busy: rows are what threads share.

    Args:
        rows: 2B.
        classes: C, the columns of the logits.
        width: D, the columns of the features.
        dtype: of the logits or the features, such as ``'float32'``.
        device: where they are: ``'cpu'``, ``'cuda'``, ...
        threads: that both may use.

    Raises:
        TypeError: a dtype or device that is no string.
    """
    if not (isinstance(dtype, str) and isinstance(device, str)):
        raise TypeError(
            "dtype and device must be strings, such as 'float32' and 'cpu', got "
            f"{dtype!r} and {device!r}"
        )
    if device != "cpu" or dtype not in _DTYPES:
        return False
    return rows // 2 >= threads or rows * (classes + width) < _ALONE


def export(name: str, value: object) -> object:
    """`value` as the core takes it: a tensor's capsule, anything else as it is.

    The capsule comes from the function, not the method: that takes 0.3 us instead of 2.
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
        raise ValueError(f"{name} is a lazy negative, which its memory is not; pass .resolve_neg()")
    return torch.utils.dlpack.to_dlpack(value.detach())


def _check_options(
    tied_weight: object,
    similarity: object,
    label_smoothing: object,
    ignore_index: object,
    threads: object,
) -> None:
    """What the core refuses, by its name and with the nearest right one."""
    check_number("tied_weight", tied_weight)
    otherwise = " (TiedLoss has others)"
    elsewhere = {"l2": "mse", "mae": "l1", "cosine_similarity": "cosine"}
    check_name("similarity", similarity, SIMILARITIES, elsewhere=elsewhere, otherwise=otherwise)
    check_number("label_smoothing", label_smoothing, 0, 1)
    check_int("ignore_index", ignore_index)
    if threads is not None:
        check_int("threads", threads, 1)


def _pair(out: object) -> tuple[object | None, object | None]:
    if isinstance(out, tuple | list) and len(out) == 2:
        return out[0], out[1]
    raise TypeError("out must be a pair: (the logits' gradient or None, the features' or None)")


def _like(name: str, value: object) -> object:
    """A new buffer for the gradient of `value`."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
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


def __getattr__(name: str) -> Any:
    if name != "TiedLossFunction":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return importlib.import_module("tied_augment.fused.function").TiedLossFunction
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            f"{name} needs PyTorch: pip install torch, or pip install 'tied-augment[timm]'"
        ) from error


def __dir__() -> list[str]:
    return sorted(set(globals()) | {"TiedLossFunction"})
