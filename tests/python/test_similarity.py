"""The distances against their formulas, written out with loops or in another way than ours."""

import math
from functools import partial
from itertools import combinations

import loss_oracle
import pytest
import torch
from loss_oracle import FORMULAS, assert_same, mean, views
from torch import nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from tied_augment import TiedLoss
from tied_augment.loss import Poly1CrossEntropy
from tied_augment.similarity import SIMILARITIES, cka, js, vicreg

EXACT = {"rtol": 1e-10, "atol": 1e-12}  # float64, for cka's cancellations


def test_every_name_has_a_formula_here():
    assert FORMULAS.keys() == SIMILARITIES.keys()


@pytest.mark.parametrize("shape", [(2, 3), (6, 9), (9, 4)])
@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_gradients_follow_the_formula(name, shape, any_device):
    first, second = views(*shape, device=any_device)
    assert_same(
        SIMILARITIES[name](first, second), FORMULAS[name](first, second), first, second, **EXACT
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (partial(cka, sigma=2.0), partial(loss_oracle.cka, sigma=2.0)),
        (
            partial(vicreg, invariance=25.0, variance=24.0, covariance=1.0),
            partial(loss_oracle.vicreg, invariance=25.0, variance=24.0, covariance=1.0),
        ),
    ],
)
def test_settings_of_their_own(ours, theirs):
    first, second = views()
    assert_same(ours(first, second), theirs(first, second), first, second, **EXACT)
    criterion = TiedLoss(similarity=ours)
    criterion(torch.zeros(12, 2), torch.cat((first, second)), torch.zeros(6, dtype=torch.int64))
    assert_close(criterion.last["similarity"], theirs(first, second).detach(), **EXACT)


# cka's median is a constant to the gradient, as in the reference: a finite difference moves it.
@pytest.mark.parametrize("name", [*sorted(FORMULAS.keys() - {"cka"}), "cka, sigma given"])
def test_gradcheck(name):
    distance = SIMILARITIES.get(name, partial(cka, sigma=1.5))
    assert torch.autograd.gradcheck(distance, views(4, 3))


@pytest.mark.parametrize("name", FORMULAS)
def test_equal_views_are_at_distance_0_and_others_are_not(name):
    first, second = views()
    if name != "vicreg":  # whose variance and covariance terms stay
        assert_close(SIMILARITIES[name](first, first).item(), 0.0, rtol=0, atol=1e-14)
    near = SIMILARITIES[name](first, first + 0.01 * (second - first))
    assert near < SIMILARITIES[name](first, second)


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("name", FORMULAS)
def test_collapsed_features_have_finite_gradients(name, value, any_device):
    first, second = (
        torch.full((4, 3), value, requires_grad=True, device=any_device) for _ in range(2)
    )
    loss = SIMILARITIES[name](first, second)
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, (first, second)))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", FORMULAS)
def test_nan_and_inf_are_not_hidden(name, bad, any_device):
    first, second = (view.detach() for view in views(device=any_device))
    first[1, 2] = bad
    assert not SIMILARITIES[name](first, second).isfinite()


# Operations that wait for the GPU there, because their result's size or value is read.
WAITING = {"_local_scalar_dense", "nanmedian", "median", "nonzero", "masked_select", "unique"}


@pytest.mark.parametrize("name", FORMULAS)
def test_nothing_waits_for_a_gpu(name):
    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
            seen.add(function._schema.name.removeprefix("aten::"))
            return function(*args, **(kwargs or {}))

    seen = set()
    with Record():
        SIMILARITIES[name](*views())
    assert seen
    assert not seen & WAITING


@pytest.mark.parametrize("name", ["cka", "linear_cka", "vicreg"])
def test_one_pair_is_too_few_to_compare_samples(name):
    criterion = TiedLoss(similarity=name)
    with pytest.raises(ValueError, match=f"'{name}' .* needs at least 2 pairs, got 1: use a larg"):
        criterion(torch.zeros(2, 3), torch.zeros(2, 4), torch.tensor([0]))


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(3, 3), ValueError, "must have (as many rows|one shape)"),
        (torch.zeros(4, 3), torch.zeros(1, 3), ValueError, "must have (as many rows|one shape)"),
        (torch.zeros(4), torch.zeros(4), ValueError, r"first must be \(B, D\), got shape \(4,\)"),
        (torch.zeros(4, 3), [[0.0]], TypeError, "second must be a tensor, got list"),
        (torch.zeros(4, 3).long(), torch.zeros(4, 3), TypeError, "first must be floating, got tor"),
    ],
)
def test_refuses_other_views(name, first, second, error, message):
    with pytest.raises(error, match=message):
        SIMILARITIES[name](first, second)


@pytest.mark.parametrize("name", ["mse", "l1", "cosine", "l2_norm", "vicreg", "js"])
def test_refuses_another_width(name):
    with pytest.raises(ValueError, match=r"must have one shape, got \(4, 3\) and \(4, 1\)"):
        SIMILARITIES[name](torch.zeros(4, 3), torch.zeros(4, 1))


@pytest.mark.parametrize("name", ["cka", "linear_cka"])
def test_compares_features_of_two_widths(name):
    first, second = views(6, 9)[0], views(6, 4, seed=1)[1]
    distance, formula = SIMILARITIES[name](first, second), FORMULAS[name](first, second)
    assert_same(distance, formula, first, second, **EXACT)


@pytest.mark.parametrize(
    ("sigma", "error"), [(0, ValueError), (-1.0, ValueError), ("1", TypeError)]
)
def test_cka_refuses_another_sigma(sigma, error):
    with pytest.raises(error, match="sigma must be"):
        cka(torch.randn(4, 3), torch.randn(4, 3), sigma)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", FORMULAS)
def test_half_features_are_compared_in_float32(name, dtype, any_device):
    first, second = (view.detach().to(dtype) for view in views(device=any_device))
    both = torch.cat((first, second)).requires_grad_()
    criterion = TiedLoss(similarity=name, tied_weight=100.0)  # l2_norm warns of less
    with torch.autocast(any_device.type, dtype):
        target = torch.zeros(6, dtype=torch.int64, device=any_device)
        criterion(both, both, target).backward()
    expected = SIMILARITIES[name](first.float(), second.float())
    # The fused pass sums in another order; half precision would be 1e-3 off.
    assert_close(criterion.last["similarity"], expected, rtol=1e-6, atol=0)
    assert both.grad.dtype == dtype


# test_schedule_gradients.py compiles the similarities of features.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_js_compiles_to_one_graph():
    torch._dynamo.reset()
    criterion = TiedLoss(similarity="js")
    compiled = torch.compile(criterion, backend="aot_eager", fullgraph=True)
    features = torch.cat(views()).detach().float()
    target = torch.zeros(6, dtype=torch.int64)
    for _ in range(2):
        assert_close(compiled(features, features, target), criterion(features, features, target))


def test_js_compares_the_logits():
    first, second = views()
    logits = torch.cat((first, second))
    criterion = TiedLoss(similarity="js", tied_weight=2.0)
    loss = criterion(logits, torch.zeros(12, 1), torch.zeros(6, dtype=torch.int64))
    ce = nn.functional.cross_entropy(logits, torch.zeros(12, dtype=torch.int64))
    assert_same(loss, ce + 2 * loss_oracle.js(first, second), first, second, **EXACT)


@pytest.mark.parametrize("given", [js, SIMILARITIES["js"]], ids=["function", "entry"])
def test_js_compares_the_logits_also_if_given_as_a_function(given):
    logits, features = torch.cat(views()).detach(), torch.zeros(12, 1)
    criterion = TiedLoss(similarity=given)
    criterion(logits, features, torch.zeros(6, dtype=torch.int64))
    assert_close(criterion.last["similarity"], js(*logits.chunk(2)))
    with pytest.raises(ValueError, match="similarity='js' compares logits"):
        TiedLoss(similarity=given, layer_weights=[1.0])


def test_js_of_sure_predictions_is_finite():
    sure = torch.tensor([[1000.0, 0.0]])
    assert_close(js(sure, sure.flip(1)), torch.tensor(math.log(2)))
    assert js(sure, sure) == 0


@pytest.mark.parametrize("num_views", [3, 4])
def test_more_views_are_compared_in_pairs(num_views):
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(num_views * 4, 5, generator=generator, dtype=torch.float64)
    logits = torch.randn(num_views * 4, 3, generator=generator, dtype=torch.float64)
    features.requires_grad_()
    logits.requires_grad_()
    target = torch.tensor([0, 2, 1, 1])
    loss = TiedLoss(tied_weight=0.5, num_views=num_views)(logits, features, target)
    apart = features.chunk(num_views)
    ce = nn.functional.cross_entropy(logits, target.repeat(num_views))
    expected = ce + 0.5 * mean(loss_oracle.mse(a, b) for a, b in combinations(apart, 2))
    assert_same(loss, expected, logits, features, **EXACT)
    first = TiedLoss(tied_weight=0.0, num_views=num_views, supervise="first")
    assert_close(
        first(logits, features, target), nn.functional.cross_entropy(logits[:4], target), **EXACT
    )
    with pytest.raises(ValueError, match=f"logits must have {num_views}B rows .*, got 2 rows"):
        first(logits[:2], features[:2], target)


@pytest.mark.parametrize("weights", [None, (0.5, 2.0)])
def test_layers_are_summed_with_their_weights(weights):
    (a, b), (c, d) = views(6, 9), views(6, 4, seed=1)
    criterion = TiedLoss(tied_weight=0.5, layer_weights=weights)
    logits, target = torch.zeros(12, 2, dtype=torch.float64), torch.zeros(6, dtype=torch.int64)
    loss = criterion(logits, [torch.cat((a, b)), torch.cat((c, d))], target)
    one, two = weights or (1.0, 1.0)
    expected = math.log(2) + 0.5 * (one * loss_oracle.mse(a, b) + two * loss_oracle.mse(c, d))
    assert_same(loss, expected, a, b, c, d, **EXACT)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (torch.zeros(4, 2), TypeError, "features must be a list of 2 tensors, one for each of lay"),
        ([torch.zeros(4, 2)], ValueError, "must be a list of 2 tensors, one for each layer, got 1"),
        ([torch.zeros(4, 2), torch.zeros(2, 2)], ValueError, r"features\[1\] have 2 rows, logits"),
        ([torch.zeros(4, 2), None], TypeError, r"features\[1\] must be a tensor, got NoneType"),
        ([torch.zeros(4, 2), torch.zeros(4, 0)], ValueError, r"features\[1\] must have at least 1"),
    ],
)
def test_refuses_layers_that_do_not_fit(features, error, message):
    criterion = TiedLoss(layer_weights=[1, 1])
    with pytest.raises(error, match=message):
        criterion(torch.zeros(4, 2), features, torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_poly1(kind, smoothing):
    first, second = views(3, 5)
    logits = torch.cat((first, second))
    target = torch.tensor([0, 3, 1])
    soft = torch.eye(5, dtype=torch.float64)[target]
    if kind == "soft":
        target = soft = 0.7 * soft + 0.3 * soft.flip(0)
    smooth = (soft * (1 - smoothing) + smoothing / 5).repeat(2, 1)
    chances = logits.exp() / logits.exp().sum(1, keepdim=True)
    expected = (-(smooth * chances.log()).sum(1) + 2 * (1 - (smooth * chances).sum(1))).mean()
    criterion = TiedLoss(Poly1CrossEntropy(2.0, smoothing), tied_weight=0.0)
    assert_same(criterion(logits, logits, target), expected, first, second, **EXACT)


def test_poly1_refuses_and_describes():
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\], got 2"):
        Poly1CrossEntropy(label_smoothing=2)
    with pytest.raises(TypeError, match="epsilon must be a number, got '"):
        Poly1CrossEntropy("1")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_poly1_leaves_out_rows_without_a_label(smoothing):
    first, second = views(3, 5)
    logits = torch.cat((first, second))
    criterion = Poly1CrossEntropy(2.0, smoothing)
    target = torch.tensor([0, -100, 3, 1, -100, 2])
    kept = target != -100
    loss, expected = criterion(logits, target), criterion(logits[kept], target[kept])
    assert_same(loss, expected, first, second, **EXACT)
    only = torch.tensor([-100, -100, 3, -100, -100, -100])
    assert_close(criterion(logits, only), criterion(logits[2:3], only[2:3]), **EXACT)
    without = criterion(logits, torch.full((6,), -100))
    assert without == 0
    assert not torch.autograd.grad(without, first)[0].any()


@pytest.mark.parametrize("index", [-1, 4])
def test_poly1_refuses_classes_out_of_range(index):
    with pytest.raises(ValueError, match=rf"class indices in \[0, 4\), got {index}$"):
        Poly1CrossEntropy()(torch.zeros(2, 4), torch.tensor([1, index]))


@pytest.mark.parametrize(
    "target",
    [
        torch.zeros(4),
        torch.zeros(4, 1),
        torch.zeros(4, 1).long(),
        torch.zeros(2).long(),
        torch.zeros(4).bool(),
    ],
)
def test_poly1_broadcasts_no_target(target):
    with pytest.raises(ValueError, match=r"class indices \(4,\) or soft labels \(4, 4\), as .*got"):
        Poly1CrossEntropy()(torch.zeros(4, 4), target)


def test_poly1_takes_tensors():
    with pytest.raises(TypeError, match="target must be a tensor, got list"):
        Poly1CrossEntropy()(torch.zeros(4, 4), [0] * 4)
    with pytest.raises(ValueError, match=r"logits must be \(N, C\), got shape \(4,\)"):
        Poly1CrossEntropy()(torch.zeros(4), torch.zeros(4))


def test_repr_of_poly1():
    assert repr(Poly1CrossEntropy()) == "Poly1CrossEntropy(epsilon=1, label_smoothing=0)"
