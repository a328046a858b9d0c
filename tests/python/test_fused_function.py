"""The fused loss under autograd."""

import pytest
import torch
from loss_oracle import FUSED, batch, soft_target

from tied_augment.fused import TiedLossFunction


def apply(logits, features, target, weight=0.7, similarity="mse", smoothing=0.1, supervise="both"):
    rest = (target, weight, similarity, smoothing, supervise, None)
    return TiedLossFunction.apply(logits, features, *rest)[0]


@pytest.mark.parametrize("similarity", FUSED)
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
