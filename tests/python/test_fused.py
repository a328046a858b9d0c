"""The fused loss against an independent formula in float64, against PyTorch, and its contract."""

import math
import threading
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tied_augment.fused import TiedLossFunction, tied_loss, worthwhile

SIMILARITIES = ["mse", "l1", "cosine"]
SHAPES = [(1, 1, 1), (1, 2, 3), (3, 5, 7), (8, 10, 33), (5, 65, 129), (37, 1000, 333)]  # (B, C, D)
# As documented: 16 eps relative to the largest magnitude that the gradient can have.
EPS = {torch.float64: 2.3e-16, torch.float32: 1.2e-7, torch.bfloat16: 1.2e-7, torch.float16: 1.2e-7}
# Half a unit in the last place, for what is rounded to half precision (below 6e-5, float16 has
# fewer digits: half of its smallest step).
ROUNDING = {torch.bfloat16: (2**-8, 0), torch.float16: (2**-11, 2**-25)}


def batch(pairs, classes, width, dtype=torch.float32, seed=0, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(2 * pairs, classes, generator=generator, dtype=torch.float64)
    features = torch.randn(2 * pairs, width, generator=generator, dtype=torch.float64)
    target = torch.randint(classes, (pairs,), generator=generator)
    return logits.to(dtype), features.to(dtype), target


def soft_target(rows, classes, dtype=torch.float64):
    weights = torch.rand(rows, classes, dtype=torch.float64) + 0.01
    return (weights / weights.sum(1, keepdim=True)).to(dtype)


def oracle(logits, features, target, weight, similarity, smoothing, supervise, ignore=-100):
    """Value and gradients in float64, written out; no autograd, no torch losses."""
    logits, features = logits.double().numpy(), features.double().numpy()
    rows, classes = logits.shape
    pairs = rows // 2
    used = pairs if supervise == "first" else rows
    kept = np.ones(rows)
    if target.is_floating_point():
        soft = target.double().numpy()
    else:
        soft = (target[:, None] == torch.arange(classes)).double().numpy()
    if len(soft) == pairs:
        soft = np.concatenate([soft, soft])
    if not target.is_floating_point():
        kept = np.resize((target != ignore).double().numpy(), rows)
    soft = (1 - smoothing) * soft + smoothing / classes
    kept = kept * (np.arange(rows) < used)
    shifted = logits - logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(1, keepdims=True))
    losses = (soft * (log_sum - shifted)).sum(1)
    count = kept.sum()
    ce = (kept * losses).sum() / count
    chance = np.exp(shifted - log_sum)
    grad_logits = kept[:, None] * (chance * soft.sum(1, keepdims=True) - soft) / count

    a, b = features[:pairs], features[pairs:]
    if similarity == "mse":
        distance, grad = ((a - b) ** 2).mean(), 2 * (a - b) / a.size
        grads = [grad, -grad]
    elif similarity == "l1":
        distance, grad = np.abs(a - b).mean(), np.sign(a - b) / a.size
        grads = [grad, -grad]
    else:
        norm_a, norm_b = (np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
        cosine = (a * b).sum(1, keepdims=True) / (norm_a * norm_b)
        distance = (1 - cosine).mean()
        grads = [
            -(b / (norm_a * norm_b) - cosine * a / norm_a**2) / pairs,
            -(a / (norm_a * norm_b) - cosine * b / norm_b**2) / pairs,
        ]
    grad_features = weight * np.concatenate(grads)
    return (ce + weight * distance, ce, distance), grad_logits, grad_features


def torch_loss(logits, features, target, weight, similarity, smoothing, supervise):
    """With PyTorch's own losses."""
    if logits.dtype in ROUNDING:
        logits, features = logits.float(), features.float()
    rows = len(logits) // 2 if supervise == "first" else len(logits)
    if len(target) < len(logits):
        target = torch.cat((target, target))
    target = target.to(logits.dtype) if target.is_floating_point() else target.long()
    ce = F.cross_entropy(logits[:rows], target[:rows], label_smoothing=smoothing)
    first, second = features.chunk(2)
    distance = {
        "mse": F.mse_loss,
        "l1": F.l1_loss,
        "cosine": lambda a, b: (1 - F.cosine_similarity(a, b)).mean(),
    }[similarity](first, second)
    return ce + weight * distance


def assert_gradient(actual, expected, largest, dtype):
    """`largest` is the magnitude that the bound is relative to."""
    actual = actual.double().numpy()
    relative, absolute = ROUNDING.get(dtype, (0, 0))
    bound = 16 * EPS[dtype] * largest + relative * np.abs(expected) + absolute
    assert (np.abs(actual - expected) <= bound).all(), np.abs(actual - expected).max()


def largest_of(features, weight, similarity):
    """The magnitude of the largest gradient that a row of features can have, or its largest now."""
    features = features.double().numpy()
    first, second = np.split(features, 2)
    if similarity == "cosine":
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        return abs(weight) / len(first) / np.maximum(norms, 1e-8)
    if similarity == "l1":
        return abs(weight) / first.size
    return 2 * abs(weight) / first.size * np.abs(first - second).max()


@pytest.mark.parametrize("dtype", list(EPS), ids=str)
@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_formula(shape, similarity, dtype):
    logits, features, hard = batch(*shape, dtype)
    targets = {"hard": hard, "hard 2B": torch.cat((hard, hard.flip(0)))}
    targets["soft"] = soft_target(shape[0], shape[1], dtype)
    targets["soft 2B"] = soft_target(2 * shape[0], shape[1])
    for name, target in targets.items():
        for smoothing in (0.0, 0.1, 1.0):
            for supervise in ("both", "first"):
                options = {"similarity": similarity, "label_smoothing": smoothing}
                loss, parts, grad_logits, grad_features = tied_loss(
                    logits, features, target, tied_weight=0.7, supervise=supervise, **options
                )
                if target.is_floating_point():
                    target = target.to(torch.float64 if dtype == torch.float64 else torch.float32)
                (expected, ce, distance), for_logits, for_features = oracle(
                    logits, features, target, 0.7, similarity, smoothing, supervise
                )
                # Sums of terms of either sign: relative to the largest logit's magnitude.
                bound = 64 * EPS[dtype] * (1 + ce + distance + logits.abs().max().item())
                assert abs(parts["ce"] - ce) <= bound, name
                assert abs(parts["similarity"] - distance) <= bound
                assert abs(loss - expected) <= bound
                assert parts["loss"] == loss
                assert parts["tied_weight"] == 0.7
                rows = shape[0] * (1 if supervise == "first" else 2)
                assert_gradient(grad_logits, for_logits, 1 / rows, dtype)
                largest = largest_of(features, 0.7, similarity)
                assert_gradient(grad_features, for_features, largest, dtype)


@pytest.mark.parametrize("dtype", list(EPS), ids=str)
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_equals_pytorch(similarity, dtype):
    for soft in (False, True):
        for smoothing in (0.0, 0.1):
            logits, features, target = batch(8, 100, 65, dtype)
            target = soft_target(16, 100, dtype) if soft else target
            inputs = [v.clone().requires_grad_() for v in (logits, features)]
            rest = (target, -0.3, similarity, smoothing, "both")
            plain = torch_loss(*inputs, *rest)
            expected = torch.autograd.grad(3 * plain, inputs)
            fused = TiedLossFunction.apply(*inputs, *rest, 2)[0]
            assert fused.dtype == plain.dtype
            actual = torch.autograd.grad(3 * fused, inputs)
            # Both have errors of their own.
            tight = {"rtol": 1e-12, "atol": 1e-15}
            loose = {"rtol": 1e-4, "atol": 1e-7}
            bound = tight if dtype == torch.float64 else loose
            torch.testing.assert_close(fused, plain, **bound)
            rounding = {torch.bfloat16: 2**-7, torch.float16: 2**-9}.get(dtype, 0)
            for a, e in zip(actual, expected, strict=True):
                assert a.dtype == e.dtype == dtype
                bound["rtol"] = max(bound["rtol"], rounding)
                torch.testing.assert_close(a, e, **bound)


@pytest.mark.parametrize("dtype", list(EPS), ids=str)
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_threads_change_no_bit(similarity, dtype):
    logits, features, target = batch(96, 701, 333, dtype)
    results = []
    for threads in (1, 2, 3, 7, None):
        loss, _, *grads = tied_loss(
            logits, features, target, similarity=similarity, threads=threads
        )
        results.append((loss, *(grad.contiguous().view(torch.uint8) for grad in grads)))
    for loss, *grads in results[1:]:
        assert loss == results[0][0]
        assert all(torch.equal(a, b) for a, b in zip(grads, results[0][1:], strict=True))


def test_callers_in_parallel():
    inputs = batch(64, 501, 64)
    alone = tied_loss(*inputs)
    results = []

    def work():
        results.extend(tied_loss(*inputs, threads=2) for _ in range(20))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 80
    assert all(r[0] == alone[0] and torch.equal(r[2], alone[2]) for r in results)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("scale", [1e4, 88.0, 1e-30])
def test_extreme_logits(scale, dtype):
    logits, features, target = batch(6, 40, 5, dtype)
    logits = (logits / logits.abs().max() * scale).contiguous()
    _, parts, grad, _ = tied_loss(logits, features, target, label_smoothing=0.1)
    (_, ce, _), expected, _ = oracle(logits, features, target, 1.0, "mse", 0.1, "both")
    assert abs(parts["ce"] - ce) <= 64 * EPS[dtype] * (1 + 2 * scale)
    assert_gradient(grad, expected, 1 / 12, dtype)


def test_gradients_of_the_largest_and_smallest_numbers_are_finite():
    logits = torch.tensor([[3e38, -3e38], [1e-45, -1e-45]])
    loss, _, grad, _ = tied_loss(logits, torch.zeros(2, 1), torch.tensor([0]))
    assert math.isfinite(loss)
    assert grad.isfinite().all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_goes_where_it_goes_in_pytorch(bad):
    for place in ("logits", "wanted", "features"):
        for smoothing in (0.0, 0.1):
            logits, features, target = batch(3, 5, 4)
            target[1] = 2
            if place == "features":
                features[1, 2] = bad
            else:
                logits[1, 2 if place == "wanted" else 3] = bad
            inputs = [v.clone().requires_grad_() for v in (logits, features)]
            rest = (target, 0.5, "mse", smoothing, "both")
            plain = torch_loss(*inputs, *rest)
            plain.backward()
            loss, _, *grads = tied_loss(
                logits, features, target, tied_weight=0.5, label_smoothing=smoothing
            )
            torch.testing.assert_close(
                torch.tensor(loss, dtype=torch.float32), plain.detach(), equal_nan=True
            )
            for actual, value in zip(grads, inputs, strict=True):
                torch.testing.assert_close(
                    actual, value.grad, equal_nan=True, rtol=1e-4, atol=1e-7
                )


def test_cosine_of_zero_and_of_tiny_features():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    features[0] = 0
    features[1] *= 1e-9
    features[2] *= 1e-7
    features[3] = 0
    features[7] = 0
    logits = torch.zeros(8, 2, dtype=torch.float64)
    target = torch.zeros(4, dtype=torch.int64)
    wanted = features.clone().requires_grad_()
    plain = (1 - F.cosine_similarity(*wanted.chunk(2))).mean()
    plain.backward()
    _, parts, _, grad = tied_loss(logits, features, target, similarity="cosine")
    assert abs(parts["similarity"] - plain.item()) < 1e-14
    torch.testing.assert_close(grad, wanted.grad, rtol=1e-9, atol=1e-9)


def test_equal_features_have_no_distance():
    logits, features, target = batch(4, 3, 9)
    features = features[:4].repeat(2, 1)
    for similarity in SIMILARITIES:
        _, parts, _, grad = tied_loss(logits, features, target, similarity=similarity)
        assert abs(parts["similarity"]) < 1e-7
        assert grad.abs().max() < 1e-7


def test_ignored_rows_count_for_nothing():
    logits, features, target = batch(4, 6, 3)
    target[2] = -100
    for smoothing in (0.0, 0.2):
        _, parts, grad, _ = tied_loss(logits, features, target, label_smoothing=smoothing)
        (_, ce, _), expected, _ = oracle(logits, features, target, 1.0, "mse", smoothing, "both")
        assert abs(parts["ce"] - ce) < 1e-6
        assert_gradient(grad, expected, 1 / 6, torch.float32)
        assert (grad[[2, 6]] == 0).all()
    target[2] = 5
    one = tied_loss(logits, features, target, ignore_index=5)
    assert (one[2][[2, 6]] == 0).all()
    loss, _, grad, _ = tied_loss(logits, features, torch.full((4,), -100))
    assert math.isnan(loss)  # as in PyTorch: the mean of nothing
    assert (grad == 0).all()


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
    import sys

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
    "similarity": ({"similarity": "cka"}, ValueError, "one of 'mse', 'l1', 'cosine', not 'cka'"),
    "supervise": ({"supervise": "second"}, ValueError, "supervise must be one of"),
    "threads": ({"threads": 0}, ValueError, "threads must be at least 1"),
    "out without grad": ({"grad": False, **out_of()}, ValueError, "out is for gradients"),
    "out no pair": ({"out": LOGITS}, TypeError, "out must be a pair"),
    "out shape": (out_of(np.zeros((10, 6), np.float32)), ValueError, "grad_logits must have shape"),
    "out dtype": (out_of(np.zeros((10, 7))), ValueError, "grad_logits must be float32, got float64"),
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
    with pytest.raises(ValueError, match="logits: a capsule that is no DLPack tensor, or was used"):
        tied_loss(capsule, FEATURES, TARGET, grad=False)


def apply(logits, features, target, weight=0.7, similarity="mse", smoothing=0.1, supervise="both"):
    rest = (target, weight, similarity, smoothing, supervise, None)
    return TiedLossFunction.apply(logits, features, *rest)[0]


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("supervise", ["both", "first"])
@pytest.mark.parametrize("soft", [False, True])
def test_gradcheck(similarity, supervise, soft):
    logits, features, target = batch(3, 4, 5, torch.float64)
    target = soft_target(3, 4) if soft else target
    inputs = (logits.requires_grad_(), features.requires_grad_())

    def function(logits, features):
        return apply(logits, features, target, 0.7, similarity, 0.1, supervise)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("wanted", [(True, False), (False, True), (False, False)])
def test_inputs_that_need_no_gradient(wanted):
    logits, features, target = batch(3, 4, 5)
    logits.requires_grad_(wanted[0])
    features.requires_grad_(wanted[1])
    loss = apply(logits, features, target)
    assert loss.requires_grad == any(wanted)
    if any(wanted):
        loss.backward()
    assert [v.grad is not None for v in (logits, features)] == list(wanted)


def test_backward_again_and_again():
    logits, features, target = batch(3, 4, 5)
    logits.requires_grad_()
    loss = apply(logits, features, target)
    loss.backward(retain_graph=True)
    once = logits.grad.clone()
    for times in (2, 3, 4):
        loss.backward(retain_graph=True)
        torch.testing.assert_close(logits.grad, times * once, rtol=1e-6, atol=0)
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_only_the_loss_has_a_gradient():
    logits, features, target = batch(3, 4, 5)
    logits.requires_grad_()
    loss, ce, distance = TiedLossFunction.apply(
        logits, features, target, 0.7, "mse", 0.0, "both", None
    )
    assert loss.requires_grad
    assert not ce.requires_grad
    assert not distance.requires_grad
    torch.testing.assert_close(loss, ce + 0.7 * distance)


def test_float16_survives_loss_scaling():
    logits, features, target = batch(64, 1000, 64, torch.float16)
    logits, features = logits.requires_grad_(), features.requires_grad_()
    logits = (3 * logits.detach()).requires_grad_()
    scale = 2.0**14
    (scale * apply(logits, features, target, smoothing=0.0)).backward()
    wide = logits.detach().double().requires_grad_()
    apply(wide, features.detach().double(), target, smoothing=0.0).backward()
    expected = scale * wide.grad
    # Unscaled, most of these would be under float16's smallest number.
    assert ((wide.grad.abs() < 2**-25).double().mean()) > 0.3
    torch.testing.assert_close(logits.grad.double(), expected, rtol=2**-10, atol=2**-24)


def test_inputs_that_are_not_contiguous():
    logits, features, target = batch(6, 8, 10)
    expected = torch.autograd.grad(
        apply(logits.requires_grad_(), features.requires_grad_(), target), (logits, features)
    )
    strided = logits.detach().t().contiguous().t().requires_grad_()
    wide = features.detach().repeat_interleave(2, 1).requires_grad_()
    loss = apply(strided, wide[:, ::2], target.repeat_interleave(2)[::2])
    grads = torch.autograd.grad(loss, (strided, wide))
    assert torch.equal(grads[0], expected[0])
    assert torch.equal(grads[1][:, ::2], expected[1])


def test_changing_an_input_before_backward_is_found():
    logits, features, target = batch(3, 4, 5)
    logits = logits.requires_grad_() * 1
    loss = apply(logits, features, target)
    with torch.no_grad():
        logits.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_wrong_class_is_a_value_error_under_autograd_too():
    logits, features, target = batch(3, 4, 5)
    target[1] = 4
    with pytest.raises(ValueError, match=r"target\[1\] is 4"):
        apply(logits.requires_grad_(), features, target)


def test_worthwhile_is_a_rule_of_shape_and_dtype_only():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = {
            worthwhile(rows, classes, width, "float32")
            for rows in (2, 64, 1024)
            for classes in (10, 1000)
            for width in (64, 2048)
        }
    assert answers <= {True, False}
    assert not worthwhile(64, 10, 64, "int8")
