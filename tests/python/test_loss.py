"""TiedLoss against the formula written out in plain torch, and its contract."""

import copy
import io
import pickle

import loss_oracle
import pytest
import torch
from loss_oracle import (
    EXACT,
    assert_same,
    binary_cross_entropy,
    cross_entropy,
    mse,
    one_hot,
    soft_target,
)
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import nn
from torch.testing import assert_close

from tied_augment import TiedLoss

SHAPES = [(1, 2, 1), (3, 5, 7), (8, 10, 33)]  # (B, C, D)


def batch(*shape, dtype=torch.float64, device="cpu"):
    return loss_oracle.batch(*shape, dtype=dtype, requires_grad=True, device=device)


def rows_of(tensor, supervise):
    return tensor[: len(tensor) // 2] if supervise == "first" else tensor


@pytest.mark.parametrize("supervise", ["both", "first"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("rows", ["B", "2B"])
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradients_follow_the_formula(
    shape, rows, kind, smoothing, supervise, any_device
):
    logits, features, target = batch(*shape, device=any_device)
    if rows == "2B":
        target = torch.cat((target, target))  # soft ones may differ between the views
    soft = one_hot(target, shape[1])
    if kind == "soft":
        target = soft = soft_target(len(target), shape[1]).to(any_device)
    criterion = TiedLoss(tied_weight=0.3, supervise=supervise, label_smoothing=smoothing)
    loss = criterion(logits, features, target)

    soft_of_both = soft if rows == "2B" else torch.cat((soft, soft))
    ce = cross_entropy(rows_of(logits, supervise), rows_of(soft_of_both, supervise), smoothing)
    expected = ce + 0.3 * mse(*features.chunk(2))
    assert loss.shape == ()
    assert_same(loss, expected, logits, features)


@pytest.mark.parametrize("supervise", ["both", "first"])
@pytest.mark.parametrize("name", ["label smoothing", "soft target", "binary"])
def test_takes_timm_criteria(name, supervise, any_device):
    logits, features, target = batch(device=any_device)
    soft = one_hot(target, 5)
    if name == "soft target":
        target = soft = soft_target(3, 5).to(any_device)
    criterion = {
        "label smoothing": LabelSmoothingCrossEntropy(0.1),
        "soft target": SoftTargetCrossEntropy(),
        "binary": BinaryCrossEntropy(smoothing=0.0),
    }[name]
    loss = TiedLoss(criterion, 0.5, supervise=supervise)(logits, features, target)

    row_logits, row_soft = rows_of(logits, supervise), rows_of(torch.cat((soft, soft)), supervise)
    if name == "binary":
        ce = binary_cross_entropy(row_logits, row_soft)
    else:
        ce = cross_entropy(row_logits, row_soft, 0.1 if name == "label smoothing" else 0.0)
    expected = ce + 0.5 * mse(*features.chunk(2))
    # timm's BinaryCrossEntropy builds its targets in float32.
    assert_same(loss, expected, logits, features, rtol=1e-6, atol=1e-6)


def test_takes_a_function_as_criterion_and_as_similarity():
    logits, features, target = batch()
    criterion = TiedLoss(
        lambda logits, target: logits.mean(), 2.0, lambda first, second: (first - second).sum()
    )
    expected = logits.mean() + 2 * (features[:3] - features[3:]).sum()
    assert_close(criterion(logits, features, target), expected, **EXACT)


def test_similarity_gets_float32_and_no_autocast():
    seen = []

    def similarity(first, second):
        seen.extend((first.dtype, second.dtype, (first @ second.T).dtype))
        return (first - second).mean()

    logits, features, target = batch(dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        TiedLoss(similarity=similarity)(logits, features, target)
    assert seen == [torch.float32] * 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_half_inputs_are_computed_in_float32(dtype, kind, any_device):
    logits, features, target = batch(dtype=dtype, device=any_device)
    if kind == "soft":
        target = soft_target(3, 5).to(any_device, dtype)
    loss = TiedLoss()(logits, features, target)
    assert loss.dtype == torch.float32
    wide = target.float() if kind == "soft" else target
    assert torch.equal(loss, TiedLoss()(logits.float(), features.float(), wide))
    loss.backward()
    assert logits.grad.dtype == features.grad.dtype == dtype


def test_float16_features_do_not_overflow():
    features = torch.tensor([[300.0], [0.0]], dtype=torch.float16)  # 300**2 > 65504
    criterion = TiedLoss()
    criterion(torch.zeros(2, 2), features, torch.tensor([1]))
    assert criterion.last["similarity"] == 90_000


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_class_indices_may_have_any_integer_dtype(dtype):
    logits, features, target = batch()
    loss = TiedLoss()(logits, features, target.to(dtype))
    assert torch.equal(loss, TiedLoss()(logits, features, target))


@pytest.mark.parametrize("supervise", ["both", "first"])
def test_gradcheck(supervise):
    logits, features, target = batch(2, 3, 4)
    criterion = TiedLoss(tied_weight=0.7, supervise=supervise, label_smoothing=0.1)
    assert torch.autograd.gradcheck(lambda a, b: criterion(a, b, target), (logits, features))


def test_first_leaves_the_logits_of_view_2_alone():
    logits, features, target = batch()
    TiedLoss(supervise="first")(logits, features, target).backward()
    assert logits.grad[:3].abs().sum() > 0
    assert not logits.grad[3:].any()


def test_both_views_get_opposite_feature_gradients():
    logits, features, target = batch()
    TiedLoss()(logits, features, target).backward()
    assert features.grad[:3].abs().sum() > 0
    assert torch.equal(features.grad[:3], -features.grad[3:])


def test_a_negative_weight_pushes_apart_and_zero_does_nothing():
    logits, features, target = batch()
    apart, zero = TiedLoss(tied_weight=-1.0), TiedLoss(tied_weight=0.0)
    assert apart(logits, features, target) < zero(logits, features, target)
    assert torch.equal(zero.last["loss"], zero.last["ce"])
    assert zero.last["similarity"] > 0


def test_last_holds_the_detached_parts():
    logits, features, target = batch()
    criterion = TiedLoss(tied_weight=0.25)
    assert criterion.last == {}
    loss = criterion(logits, features, target)
    last = criterion.last
    assert list(last) == [
        "loss",
        "ce",
        "similarity",
        "tied_weight",
        "cosine",
        "feature_norm",
        "spread",
    ]
    assert not any(part.requires_grad or part.ndim for part in last.values())
    assert last["loss"] == loss
    assert last["tied_weight"] == 0.25
    assert_close(last["similarity"], mse(*features.detach().chunk(2)), **EXACT)
    first, second = features.detach().chunk(2)
    cosines = (first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1))
    assert_close(last["cosine"], cosines.mean(), **EXACT)
    assert_close(last["feature_norm"], features.detach().norm(dim=1).mean(), **EXACT)
    assert last["spread"] == 1  # of its own
    assert_close(last["ce"] + 0.25 * last["similarity"], last["loss"], **EXACT)


def test_last_survives_a_change_of_the_loss_in_place():
    criterion = TiedLoss()
    loss = criterion(*batch())
    before = loss.item()
    loss /= 2
    assert criterion.last["loss"].item() == before


def test_the_weight_may_change_between_steps():
    criterion = TiedLoss(tied_weight=0.0)
    criterion.tied_weight = 2.0
    logits, features, target = batch()
    assert torch.equal(
        criterion(logits, features, target), TiedLoss(tied_weight=2.0)(logits, features, target)
    )
    assert criterion.last["tied_weight"] == 2.0


def test_has_no_state_and_survives_pickle_and_deepcopy():
    criterion = TiedLoss(tied_weight=0.5, supervise="first", label_smoothing=0.1)
    expected = criterion(*batch())
    saved = io.BytesIO()
    torch.save(criterion, saved)
    saved.seek(0)
    for twin in (
        pickle.loads(pickle.dumps(criterion)),
        copy.deepcopy(criterion),
        torch.load(saved, weights_only=False),
    ):
        assert torch.equal(twin(*batch()), expected)
    assert criterion.state_dict() == {}
    assert list(criterion.parameters()) == []


def test_a_criterion_module_is_a_child_once():
    criterion = TiedLoss(nn.CrossEntropyLoss(weight=torch.ones(5)), similarity=nn.MSELoss())
    assert list(criterion.state_dict()) == ["criterion.weight"]
    assert [name for name, _ in criterion.named_children()] == ["criterion", "similarity"]


def test_repr_names_the_arguments():
    assert (
        repr(TiedLoss(tied_weight=0.5))
        == "TiedLoss(tied_weight=0.5, supervise='both', similarity='mse', label_smoothing=0)"
    )
    text = repr(TiedLoss(nn.CrossEntropyLoss(), similarity=nn.MSELoss()))
    assert text.count("CrossEntropyLoss") == text.count("MSELoss") == 1
    given = {"num_views": 3, "layer_weights": [1, 2], "gather": True}
    assert repr(TiedLoss(max, **given)).endswith(
        "criterion=<built-in function max>, num_views=3, layer_weights=(1.0, 2.0), gather=True)"
    )


# torch's compiler imports and calls deprecated parts of torch itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_compiles_to_one_graph_whatever_the_weight(kind):
    torch._dynamo.reset()
    logits, features, target = batch(dtype=torch.float32)
    if kind == "soft":
        target = soft_target(3, 5).float()
    criterion = TiedLoss(label_smoothing=0.1)
    # aot_eager: all of the compiler but the code generator, which would need a C++ compiler.
    compiled = torch.compile(criterion, backend="aot_eager", fullgraph=True)
    for step in range(10):  # more values than the compiler may specialise on
        criterion.tied_weight = step / 10
        loss = compiled(logits, features, target)
        eager = TiedLoss(tied_weight=step / 10, label_smoothing=0.1)
        expected = eager(logits, features, target)
        assert_close(loss, expected)
        assert_close(criterion.last, eager.last)
        ours = torch.autograd.grad(loss, (logits, features))
        assert_close(ours, torch.autograd.grad(expected, (logits, features)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"criterion": 0.1}, TypeError, "criterion must be callable or None, got 0.1"),
        (
            {"criterion": nn.CrossEntropyLoss(), "label_smoothing": 0.1},
            ValueError,
            "label_smoothing=0.1 belongs to the default criterion; give it to your own",
        ),
        ({"label_smoothing": 1.5}, ValueError, r"label_smoothing must be in \[0, 1\], got 1.5"),
        ({"label_smoothing": float("nan")}, ValueError, "label_smoothing must be in"),
        ({"tied_weight": float("nan")}, ValueError, "tied_weight must be finite, got nan"),
        ({"tied_weight": float("-inf")}, ValueError, "tied_weight must be finite, got -inf"),
        ({"tied_weight": "1"}, TypeError, "tied_weight must be a number, got '1'"),
        ({"supervise": "second"}, ValueError, r"supervise must be one of .*, got 'second'"),
        ({"similarity": "l2"}, ValueError, r"similarity must be one of \('mse', 'l1', .*got 'l2'"),
        ({"num_views": 1}, ValueError, "num_views must be at least 2, got 1"),
        ({"schedule": "step"}, ValueError, r"schedule must be one of .*, got 'step'"),
        ({"layer_weights": [1.0], "similarity": "js"}, ValueError, "'js' compares logits"),
        ({"layer_weights": [1.0, "2"]}, TypeError, "each of layer_weights must be a number"),
        (
            {"schedule": "cosine"},
            ValueError,
            r"'cosine' needs the number of steps: Schedule\('cosine', steps=",
        ),
        ({"similarity": 1}, TypeError, "similarity must be a name or callable, got 1"),
    ],
)
def test_refuses_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        TiedLoss(**arguments)


LOGITS, FEATURES, TARGET = torch.zeros(6, 5), torch.zeros(6, 7), torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({"logits": (LOGITS, LOGITS)}, TypeError, "logits must be a tensor, got tuple: .*one of"),
        ({"features": None}, TypeError, "features must be a tensor, got NoneType: use TiedModel"),
        ({"logits": torch.zeros(6)}, ValueError, r"logits must be \(2B, C\), got shape \(6,\)"),
        ({"features": torch.zeros(6, 7, 2)}, ValueError, r"features must be \(2B, D\), got shape"),
        ({"logits": LOGITS.long()}, TypeError, "logits must be floating, got torch.int64"),
        ({"features": FEATURES.int()}, TypeError, "features must be floating, got torch.int32"),
        ({"logits": torch.zeros(5, 5)}, ValueError, r"logits must have 2B rows .*, got 5 rows"),
        ({"logits": torch.zeros(0, 5)}, ValueError, r"logits must have 2B rows .*, got 0 rows"),
        ({"features": torch.zeros(3, 7)}, ValueError, "features have 3 rows, logits 6"),
        ({"target": [0, 0, 0]}, TypeError, "target must be a tensor, got list"),
        ({"target": torch.tensor(0)}, ValueError, r"target must have B=3 or 2B=6 rows .*\(\)"),
        ({"target": TARGET[:2]}, ValueError, r"target must have B=3 or 2B=6 rows .*\(2,\)"),
        ({"target": torch.zeros(3, 4)}, ValueError, r"soft labels \(B, 5\) or \(2B, 5\), got"),
        ({"target": torch.zeros(3)}, ValueError, r"soft labels \(B, 5\) or \(2B, 5\), got"),
        ({"target": TARGET[:, None]}, ValueError, r"class indices \(B,\) or \(2B,\), got shape"),
        ({"target": TARGET.bool()}, TypeError, "target must be .*, got torch.bool"),
        ({"target": TARGET.to(torch.complex64)}, TypeError, "target must be .*, got torch.complex"),
    ],
)
def test_refuses_wrong_inputs(inputs, error, message):
    given = {"logits": LOGITS, "features": FEATURES, "target": TARGET} | inputs
    with pytest.raises(error, match=message):
        TiedLoss()(**given)


@pytest.mark.parametrize(
    ("part", "result", "error", "message"),
    [
        ("criterion", torch.zeros(6), ValueError, r"criterion must return a scalar.*\(6,\)"),
        ("criterion", 0.0, TypeError, "criterion must return a scalar tensor, got float"),
        (
            "similarity",
            torch.zeros(3),
            ValueError,
            r"similarity must return a scalar, such as the mean .*, got shape \(3,\)$",
        ),
        ("similarity", None, TypeError, "similarity must return a scalar tensor, got NoneType"),
    ],
)
def test_refuses_parts_that_return_no_scalar(part, result, error, message):
    criterion = TiedLoss(**{part: lambda *_: result})
    with pytest.raises(error, match=message):
        criterion(LOGITS, FEATURES, TARGET)


@pytest.mark.parametrize("gather", [False, True])  # with gather it is not the fused loss
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_without_labels_is_only_tied(smoothing, gather):
    logits, features, target = batch()
    criterion = TiedLoss(label_smoothing=smoothing, gather=gather)
    loss = criterion(logits, features, torch.full_like(target, -100))
    assert criterion.last["ce"] == 0
    assert_close(loss, mse(*features.chunk(2)), **EXACT)
    of_logits, of_features = torch.autograd.grad(loss, (logits, features), create_graph=True)
    assert not of_logits.any()
    assert of_features.any()


@pytest.mark.parametrize("gather", [False, True])  # with gather it is not the fused loss
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_images_without_labels_do_not_count(smoothing, gather):
    logits, features, target = batch(4)
    target[1] = -100
    kept = [0, 2, 3, 4, 6, 7]
    ce = cross_entropy(logits[kept], one_hot(target, 5).repeat(2, 1)[kept], smoothing)
    criterion = TiedLoss(label_smoothing=smoothing, gather=gather)
    expected = ce + mse(*features.chunk(2))
    assert_same(criterion(logits, features, target), expected, logits, features)
