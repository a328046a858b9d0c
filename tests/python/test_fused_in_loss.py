"""TiedLoss takes the fused pass where it may, and nobody can tell but by the time."""

import loss_oracle
import pytest
import torch
from loss_oracle import FUSED
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import tied_augment.loss.tied as tied
from tied_augment import TiedLoss
from tied_augment.fused import tied_loss
from tied_augment.fused.function import applies


@pytest.fixture
def calls(monkeypatch):
    """Counts the fused passes; ``calls.plain()`` switches to the plain operations."""

    class Calls:
        count = 0

        def apply(self, *arguments):
            self.count += 1
            return function.apply(*arguments)

        def plain(self):
            monkeypatch.setattr(tied, "applies", lambda *_: False)

        def fused(self):
            monkeypatch.setattr(tied, "applies", applies)

    function, calls = tied.TiedLossFunction, Calls()
    monkeypatch.setattr(tied, "TiedLossFunction", calls)
    return calls


def batch(dtype=torch.float32):
    return loss_oracle.batch(6, 11, 9, dtype, requires_grad=True)


def outcome(loss, logits, features, target):
    value = loss(logits, features, target)
    grads = torch.autograd.grad(5 * value, (logits, features))
    return [value.detach(), *grads, *(loss.last[name] for name in sorted(loss.last))]


# Both round; half precision's gradients are rounded to it once in either way.
BOUNDS = {
    torch.float64: {"rtol": 1e-12, "atol": 1e-14},
    torch.float32: {"rtol": 1e-5, "atol": 1e-6},
    torch.bfloat16: {"rtol": 2**-7, "atol": 1e-6},
    torch.float16: {"rtol": 2**-9, "atol": 1e-6},
}


@pytest.mark.parametrize("dtype", list(BOUNDS), ids=str)
@pytest.mark.parametrize("similarity", FUSED)
@pytest.mark.parametrize("supervise", ["both", "first"])
def test_both_paths_give_the_same(calls, similarity, supervise, dtype):
    inputs = batch(dtype=dtype)
    soft = torch.rand(12, 11).softmax(1)
    for target in (inputs[2], inputs[2].repeat(2), soft, soft[:6].to(dtype)):
        loss = TiedLoss(
            tied_weight=-0.4, similarity=similarity, supervise=supervise, label_smoothing=0.1
        )
        calls.fused()
        calls.count = 0
        fused = outcome(loss, *inputs[:2], target)
        assert calls.count == 1
        calls.plain()
        plain = outcome(loss, *inputs[:2], target)
        assert calls.count == 1
        for a, b in zip(fused, plain, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            torch.testing.assert_close(a, b, **BOUNDS[dtype])


@pytest.mark.parametrize("autocast", [False, True])
def test_a_training_loop_learns_the_same(calls, autocast):
    def train():
        torch.manual_seed(0)
        body, head, loss = nn.Linear(8, 16), nn.Linear(16, 4), TiedLoss()
        parameters = [*body.parameters(), *head.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        images, target = torch.randn(32, 8), torch.randint(4, (16,))
        for _ in range(10):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                features = body(images).relu()
                value = loss(head(features), features, target)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        return value.detach(), body.weight.detach()

    fused = train()
    assert calls.count == 10
    calls.plain()
    # In bfloat16 one rounding that falls the other way moves what follows.
    bound = {"rtol": 0.02, "atol": 0.005} if autocast else {"rtol": 1e-4, "atol": 1e-5}
    for a, b in zip(fused, train(), strict=True):
        torch.testing.assert_close(a, b, **bound)


class Subclass(TiedLoss):
    pass


@pytest.mark.parametrize(
    "loss",
    [
        TiedLoss(nn.CrossEntropyLoss()),
        TiedLoss(similarity="js"),
        TiedLoss(similarity=nn.functional.mse_loss),
        TiedLoss(schedule="negate_even"),
        TiedLoss(num_views=3),
        TiedLoss(layer_weights=[2.0]),
        Subclass(),
    ],
    ids=lambda loss: repr(loss)[:60],
)
def test_what_it_does_not_compute_is_left_to_pytorch(calls, loss):
    logits, features, target = batch()
    target = target[: 12 // loss.num_views]
    loss(logits, [features] if loss.layer_weights else features, target).backward()
    assert calls.count == 0


def test_compiled_it_is_one_plain_graph(calls):
    loss = TiedLoss()
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    logits, features, target = batch()
    value = compiled(logits, features, target)
    assert calls.count == 0
    torch.testing.assert_close(value, loss(logits, features, target))
    assert calls.count == 1


# What PyTorch itself warns of when it loads its rules for forward mode.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_under_torch_func_it_is_plain(calls):
    logits, features, target = (v.detach() for v in batch())
    loss = TiedLoss()
    grad = torch.func.grad(lambda logits: loss(logits, features, target))(logits)
    _, slope = torch.func.jvp(lambda f: loss(logits, f, target), (features,), (features,))
    assert calls.count == 0
    assert grad.isfinite().all()
    assert slope.isfinite()


def test_under_vmap_it_is_plain_and_leaves_nothing_behind(calls):
    logits, features, target = (v.detach() for v in batch())
    loss = TiedLoss()
    stacked = (torch.stack((logits, 2 * logits)), torch.stack((features, features)))
    values = torch.vmap(lambda a, b: loss(a, b, target))(*stacked)
    assert calls.count == 0
    assert loss.last == {}  # its values ended with the transform
    expected = [loss(a, b, target) for a, b in zip(*stacked, strict=True)]
    torch.testing.assert_close(values, torch.stack(expected))


@pytest.mark.parametrize("similarity", ["mse", "cka"])
def test_under_a_dispatch_mode_it_is_plain(calls, similarity):
    inputs = tuple(v.detach() for v in batch())
    loss = TiedLoss(similarity=similarity)
    traced = make_fx(loss)(*inputs)
    other = (3 * inputs[0], *inputs[1:])
    torch.testing.assert_close(traced(*other), TiedLoss(similarity=similarity)(*other))
    with FakeTensorMode() as fake:
        assert loss(*(fake.from_tensor(v) for v in inputs)).shape == ()
    assert calls.count == (similarity == "mse")  # that of the comparison


def test_a_lazy_negative_is_not_taken_for_its_memory(calls):
    logits, features, target = (v.detach() for v in batch())
    loss = TiedLoss()
    expected = loss(logits, features, target)
    torch.testing.assert_close(loss(torch._neg_view(-logits), features, target), expected)
    assert calls.count == 1
    with pytest.raises(ValueError, match=r"logits is a lazy negative.*pass \.resolve_neg\(\)"):
        tied_loss(torch._neg_view(-logits), features, target)


def test_features_from_inference_mode(calls):
    logits, features, target = batch()
    with torch.inference_mode():
        frozen = features.clone()
    TiedLoss()(logits, frozen, target).backward()
    assert calls.count == 0
    assert logits.grad is not None


def test_many_gradients_at_once(calls):
    logits, features, target = batch()
    value = TiedLoss()(logits, features, target)
    factors = torch.tensor([1.0, -2.0])
    both = torch.autograd.grad(value, logits, factors, retain_graph=True, is_grads_batched=True)[0]
    (one,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(both, factors[:, None, None] * one)
    assert calls.count == 1


def test_a_target_that_needs_a_gradient_gets_one(calls):
    logits, features, _ = batch()
    soft = torch.rand(12, 11).requires_grad_()
    TiedLoss()(logits, features, soft).backward()
    assert calls.count == 0
    assert soft.grad is not None


def test_other_devices_are_left_alone(calls):
    assert not applies(*(v.detach().to("meta") for v in batch()))
    with torch.device("meta"):  # a default for what is made, not for what is given
        value = TiedLoss(watch_collapse=False)(*batch_on_cpu())
    assert value.device.type == "cpu"
    assert calls.count == 1


def batch_on_cpu():
    cpu = {"device": "cpu"}
    target = torch.zeros(2, dtype=torch.int64, **cpu)
    return torch.zeros(4, 3, **cpu), torch.zeros(4, 2, **cpu), target


def test_second_derivatives(calls):
    logits, features, target = batch(dtype=torch.float64)

    def penalty():
        value = TiedLoss(similarity="cosine")(logits, features, target)
        grads = torch.autograd.grad(value, (logits, features), create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in grads), (logits, features))

    fused = penalty()
    assert calls.count == 1
    calls.plain()
    for a, b in zip(fused, penalty(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(calls, mode):
    inputs = batch()
    expected = TiedLoss()(*inputs)
    with mode():
        value = TiedLoss()(*(v.clone() for v in inputs))
    assert calls.count == 2
    assert not value.requires_grad
    assert torch.equal(value, expected)


def test_bad_input_has_the_same_words(calls):
    logits, features, target = batch()
    for change, error in (
        ({"target": target[:4]}, ValueError),
        ({"target": target.bool()}, TypeError),
        ({"target": torch.rand(12, 10)}, ValueError),
        ({"logits": logits.long()}, TypeError),
        ({"features": features[:, :0]}, ValueError),
    ):
        arguments = {"logits": logits, "features": features, "target": target, **change}
        with pytest.raises(error) as first:
            TiedLoss()(**arguments)
        calls.plain()
        with pytest.raises(error) as second:
            TiedLoss()(**arguments)
        calls.fused()
        assert str(first.value) == str(second.value)
    assert calls.count == 0
