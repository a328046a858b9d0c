"""What the fused loss takes and gives, and what it refuses."""

import math
import sys

import numpy as np
import pytest
import torch
from loss_oracle import batch, oracle

from tied_augment.fused import tied_loss


@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
)
def test_class_indices_of_every_integer_type(dtype):
    logits, features, target = batch(5, 100, 3)
    expected = tied_loss(logits, features, target)
    actual = tied_loss(logits.numpy(), features.numpy(), target.numpy().astype(dtype))
    assert actual[0] == expected[0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_numpy_in_numpy_out(dtype):
    logits, features, target = (v.numpy() for v in batch(5, 7, 3))
    logits, features = logits.astype(dtype), features.astype(dtype)
    loss, parts, grad_logits, grad_features = tied_loss(logits, features, target)
    assert type(loss) is float
    assert set(parts) == {"loss", "ce", "similarity", "tied_weight"}
    for grad, value in ((grad_logits, logits), (grad_features, features)):
        assert isinstance(grad, np.ndarray)
        assert (grad.dtype, grad.shape) == (value.dtype, value.shape)
    tensors = [torch.from_numpy(v) for v in (logits, features, target)]
    same = tied_loss(*tensors)
    assert same[0] == loss
    assert (same[2].numpy() == grad_logits).all()


def test_logits_and_features_of_different_dtypes():
    logits, features, target = batch(5, 7, 3, torch.float64)
    for a in (torch.float64, torch.float32, torch.bfloat16):
        for b in (torch.float64, torch.float32, torch.float16):
            x, y = logits.to(a), features.to(b)
            loss, _, grad_logits, grad_features = tied_loss(x, y, target)
            assert (grad_logits.dtype, grad_features.dtype) == (a, b)
            assert abs(loss - oracle(x, y, target, 1.0, "mse", 0, "both")[0][0]) < 1e-5


class Producer:
    """Something with DLPack that is neither numpy's nor torch's."""

    def __init__(self, array, versioned, device=1, shown=None):
        self.array, self.versioned = array, versioned
        self.device, self.shown = device, shown or device

    def __dlpack_device__(self):
        return (self.device, 0)

    def __dlpack__(self, **keywords):
        if not self.versioned and keywords:
            raise TypeError("unexpected keyword")
        return self.array.__dlpack__(**keywords)


@pytest.mark.parametrize("versioned", [False, True])
def test_any_dlpack_producer(versioned):
    arrays = [v.numpy() for v in batch(5, 7, 3)]
    expected = tied_loss(*arrays)
    actual = tied_loss(*(Producer(array, versioned) for array in arrays))
    assert actual[0] == expected[0]
    assert isinstance(actual[2], np.ndarray)
    assert (actual[3] == expected[3]).all()
    # Pinned memory is the CPU's too.
    assert tied_loss(*(Producer(a, versioned, 3) for a in arrays), grad=False)[0] == expected[0]


def test_buffers_are_released_and_not_copied():
    logits, features, target = batch(5, 7, 3)
    grad_logits, grad_features = torch.full((10, 7), 9.0), torch.full((10, 3), 9.0)
    addresses = grad_logits.data_ptr(), grad_features.data_ptr()
    out = tied_loss(logits, features, target, out=(grad_logits, grad_features))
    assert out[2] is grad_logits
    assert out[3] is grad_features
    assert (grad_logits.data_ptr(), grad_features.data_ptr()) == addresses
    assert not (grad_logits == 9).any()
    assert not (grad_features == 9).any()
    array = logits.numpy().copy()
    before = sys.getrefcount(array)
    for _ in range(10):
        tied_loss(array, features, target)
        with pytest.raises(ValueError, match="rows"):
            tied_loss(array, features[:4], target)
    assert sys.getrefcount(array) == before


def test_gradients_only_where_asked():
    logits, features, target = batch(5, 7, 3)
    loss, _, grad_logits, grad_features = tied_loss(logits, features, target)
    assert tied_loss(logits, features, target, grad=False)[::2] == (loss, None)
    only = torch.empty_like(features)
    same, _, nothing, written = tied_loss(logits, features, target, out=(None, only))
    assert same == loss
    assert nothing is None
    assert torch.equal(written, grad_features)
    only = torch.empty_like(logits)
    tied_loss(logits, features, target, out=(only, None))
    assert torch.equal(only, grad_logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_may_have_float32_gradients(dtype):
    logits, features, target = batch(5, 7, 3, dtype)
    wide = torch.empty(10, 7), torch.empty(10, 3)
    tied_loss(logits, features, target, out=wide)
    _, _, *narrow = tied_loss(logits, features, target)
    for a, b in zip(wide, narrow, strict=True):
        assert torch.equal(a.to(dtype), b)


def read_only():
    array = np.zeros((10, 7), np.float32)
    array.flags.writeable = False
    return array


def out_of(grad_logits=None, grad_features=None):
    return {"out": (grad_logits, grad_features)}


SHARED = np.zeros(200, np.float32)
LOGITS, FEATURES, TARGET = (v.numpy() for v in batch(5, 7, 3))
REFUSED = {
    "a list": ({"logits": [[1.0]]}, TypeError, "logits must be a numpy array, a torch tensor"),
    "integers": ({"logits": LOGITS.astype(int)}, TypeError, "logits must be float16, .* got int64"),
    "complex": ({"features": FEATURES + 0j}, TypeError, "features must be .* got complex64"),
    "long double": ({"logits": LOGITS.astype(np.longdouble)}, ValueError, "logits: .*longdouble"),
    "vector": ({"logits": LOGITS[0]}, ValueError, r"logits must be \(2B, C\)"),
    "number": ({"features": np.zeros((), np.float32)}, ValueError, r"features must be \(2B, D\)"),
    "no classes": ({"logits": LOGITS[:, :0]}, ValueError, "with C >= 1"),
    "no width": ({"features": FEATURES[:, :0]}, ValueError, "with D >= 1"),
    "empty": ({"logits": LOGITS[:0], "features": FEATURES[:0]}, ValueError, "got 0 rows"),
    "odd": ({"logits": LOGITS[:3], "features": FEATURES[:3]}, ValueError, "got 3 rows"),
    "unequal": ({"features": FEATURES[:4]}, ValueError, "features have 4 rows, logits 10"),
    "strides": ({"logits": LOGITS[:, ::2]}, ValueError, "logits must be C-contiguous"),
    "fortran": ({"logits": np.asfortranarray(LOGITS)}, ValueError, "C-contiguous.*ascontig"),
    "transposed tensor": (
        {"features": torch.zeros(3, 10).t()},
        ValueError,
        "features must be C-contiguous",
    ),
    "byte order": ({"logits": LOGITS.astype(">f4")}, ValueError, "logits: this .* copy"),
    "unaligned": (
        {"logits": np.zeros(281, np.uint8)[1:].view(np.float32).reshape(10, 7)},
        ValueError,
        "logits must be aligned",
    ),
    "target rows": ({"target": TARGET[:4]}, ValueError, r"\(5,\) or \(10,\), got \[4\]"),
    "target matrix": ({"target": TARGET[:, None]}, ValueError, "target of int64 must"),
    "soft columns": ({"target": np.ones((5, 6))}, ValueError, r"\(5, 7\) or \(10, 7\)"),
    "soft vector": ({"target": np.ones(5)}, ValueError, "target of float64 must"),
    "bool target": ({"target": TARGET > 0}, TypeError, "class indices .* got bool"),
    "class": (
        {"target": np.array([0, 1, 7, 2, 3])},
        ValueError,
        r"target\[2\] is 7, but logits have the classes 0 to 6",
    ),
    "negative class": ({"target": np.array([0, -1, 6, 2, 3])}, ValueError, r"target\[1\] is -1"),
    "huge class": (
        {"target": np.array([2**64 - 100] * 5, np.uint64)},
        ValueError,
        r"target\[0\] is 18446744073709551516",
    ),
    "weight": ({"tied_weight": math.nan}, ValueError, "tied_weight must be finite"),
    "smoothing": ({"label_smoothing": 1.1}, ValueError, r"label_smoothing must be in \[0, 1\]"),
    "weight of text": ({"tied_weight": "1"}, TypeError, "tied_weight must be a number, got '1'"),
    "no smoothing": (
        {"label_smoothing": None},
        TypeError,
        "label_smoothing must be a number, got None",
    ),
    "similarity": (
        {"similarity": "cka"},
        ValueError,
        r"one of \('mse', 'l1', 'cosine'\) \(TiedLoss has others\), got 'cka'",
    ),
    "near similarity": ({"similarity": "MAE"}, ValueError, "got 'MAE': did you mean 'l1'"),
    "no similarity": ({"similarity": None}, TypeError, "similarity must be one of .* None"),
    "supervise": ({"supervise": "second"}, ValueError, "supervise must be one of"),
    "ignored": ({"ignore_index": 1.5}, TypeError, "ignore_index must be an int, got 1.5"),
    "threads": ({"threads": 0}, ValueError, "threads must be at least 1, got 0"),
    "fewer threads": ({"threads": -1}, ValueError, "threads must be at least 1, got -1"),
    "half a thread": ({"threads": 0.5}, TypeError, "threads must be an int, got 0.5"),
    "out without grad": ({"grad": False, **out_of()}, ValueError, "out is for gradients"),
    "out no pair": ({"out": LOGITS}, TypeError, "out must be a pair"),
    "out shape": (out_of(np.zeros((10, 6), np.float32)), ValueError, "grad_logits must have shape"),
    "out dtype": (
        out_of(np.zeros((10, 7))),
        ValueError,
        "grad_logits must be float32, got float64",
    ),
    "out int": (out_of(np.zeros((10, 7), np.int32)), TypeError, "grad_logits must be float16"),
    "out strides": (out_of(np.zeros((10, 14), np.float32)[:, ::2]), ValueError, "C-contiguous"),
    "out read-only": (out_of(read_only()), ValueError, "grad_logits must be writable"),
    "in place": (out_of(LOGITS), ValueError, "grad_logits must not share memory with logits"),
    "in place 2": (out_of(None, FEATURES), ValueError, "grad_features .* with features"),
    "overlap": (
        out_of(SHARED[:70].reshape(10, 7), SHARED[69:99].reshape(10, 3)),
        ValueError,
        "grad_logits must not share memory with grad_features",
    ),
    "device": (
        {"logits": Producer(LOGITS, True, device=2)},
        ValueError,
        "logits must be in CPU memory, but is on DLPack device type 2",
    ),
    "meta tensor": (
        {"logits": torch.zeros(10, 7, device="meta")},
        ValueError,
        "logits must be a dense tensor in CPU memory, got .* meta",
    ),
    "sparse tensor": ({"features": torch.zeros(10, 3).to_sparse()}, ValueError, "dense tensor"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_bad_input_is_refused(case):
    change, error, message = REFUSED[case]
    arguments = {"logits": LOGITS, "features": FEATURES, "target": TARGET, **change}
    before = LOGITS.copy(), FEATURES.copy()
    with pytest.raises(error, match=message):
        tied_loss(**arguments)
    assert (before[0] == LOGITS).all()
    assert (before[1] == FEATURES).all()


def test_read_only_inputs_are_read():
    array = read_only()
    assert tied_loss(array, FEATURES, TARGET)[1]["ce"] == pytest.approx(math.log(7))


def test_a_capsule_serves_once():
    capsule = LOGITS.__dlpack__()
    tied_loss(capsule, FEATURES, TARGET, grad=False)
    with pytest.raises(ValueError, match="not a DLPack tensor, or was used"):
        tied_loss(capsule, FEATURES, TARGET, grad=False)
