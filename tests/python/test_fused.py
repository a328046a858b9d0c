"""The fused loss against an independent formula in float64, and against PyTorch."""

import math
import threading
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from loss_oracle import FUSED, batch, oracle, soft_target

from tied_augment.fused import TiedLossFunction, tied_loss, worthwhile

SHAPES = [(1, 1, 1), (1, 2, 3), (3, 5, 7), (8, 10, 33), (5, 65, 129), (37, 1000, 333)]  # (B, C, D)
# As documented: 16 eps relative to the largest magnitude that the gradient can have.
EPS = {torch.float64: 2.3e-16, torch.float32: 1.2e-7, torch.bfloat16: 1.2e-7, torch.float16: 1.2e-7}
# Half a unit in the last place, for what is rounded to half precision (below 6e-5, float16 has
# fewer digits: half of its smallest step).
ROUNDING = {torch.bfloat16: (2**-8, 0), torch.float16: (2**-11, 2**-25)}


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
@pytest.mark.parametrize("similarity", FUSED)
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
@pytest.mark.parametrize("similarity", FUSED)
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
@pytest.mark.parametrize("similarity", FUSED)
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
                torch.testing.assert_close(actual, value.grad, equal_nan=True, rtol=1e-4, atol=1e-7)


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
    for similarity in FUSED:
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


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_without_labels_the_cross_entropy_is_zero(smoothing):
    logits, features, target = batch(4, 6, 3)
    target[:] = -100
    loss, parts, grad, _ = tied_loss(logits, features, target, label_smoothing=smoothing)
    assert parts["ce"] == 0
    assert loss == parts["similarity"]
    assert (grad == 0).all()


def test_worthwhile_is_a_rule_of_shape_and_threads_only():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = {
            worthwhile(rows, classes, width)
            for rows in (2, 64, 1024)
            for classes in (10, 1000)
            for width in (64, 2048)
        }
    assert answers == {True}  # on one thread
    assert not worthwhile(6, 10_000, 2048, threads=4)
    assert worthwhile(8, 10_000, 2048, threads=4)
