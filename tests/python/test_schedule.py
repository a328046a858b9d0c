"""Schedules of the tied weight: their values, their state, and the loss that steps them."""

import copy
import math

import pytest
import torch
from torch.testing import assert_close

from tied_augment import TiedLoss
from tied_augment.loss import SCHEDULES, Schedule

LOGITS = torch.zeros(4, 2)
FEATURES = torch.tensor([[0.0], [0.0], [1.0], [1.0]])  # at the mean square distance 1
TARGET = torch.zeros(2, dtype=torch.int64)


def weights(criterion, calls):
    result = []
    for _ in range(calls):
        criterion(LOGITS, FEATURES, TARGET)
        result.append(criterion.last["tied_weight"].item())
    return result


def rounded(values):
    return pytest.approx(values, abs=1e-6)  # the factors are float32


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [3, 3, 3, 3]),
        ("negate_even", [-3, 3, -3, 3]),
        ("negate_odd", [3, -3, 3, -3]),
        (Schedule("linear_up", 4), [0, 1, 2, 3, 3, 3]),
        (Schedule("linear_down", 4), [3, 2, 1, 0, 0, 0]),
        (Schedule("cosine", 2), [3, 1.5, 0, 0]),
        (Schedule("cosine", 6), [1.5 * (1 + math.cos(math.pi * t / 6)) for t in range(7)]),
        (Schedule("warmup", warmup_steps=3), [0, 1, 2, 3, 3]),
        (Schedule("warmup", 20), [0, 1.5, 3, 3]),
        (Schedule("warmup", 5), [0, 3, 3]),
        (Schedule("linear_up", 1), [0, 3]),
    ],
)
def test_the_loss_follows_the_schedule(schedule, expected):
    criterion = TiedLoss(tied_weight=3.0, schedule=schedule)
    assert weights(criterion, len(expected)) == rounded(expected)
    assert criterion.last["loss"].item() == rounded(math.log(2) + expected[-1])


def test_random_schedules_are_what_they_say():
    steps = torch.arange(20_000)
    uniform = Schedule("random", seed=5).factor(steps)
    # 20,000 draws: the mean of the first has a standard deviation of 0.0041, so 5 of them.
    assert uniform.mean().abs() < 0.021
    assert -1 <= uniform.min() < -0.99
    assert 0.99 < uniform.max() < 1
    counts = torch.histc(uniform, 10, -1, 1)
    assert ((counts - 2000) ** 2 / 2000).sum() < 33.7  # chi-squared, 9 degrees: 1 in 10,000
    signs = Schedule("probabilistic", seed=5).factor(steps)
    assert set(signs.tolist()) == {1.0, -1.0}
    assert signs.mean().abs() < 0.036  # 5 standard deviations
    for values in (uniform, signs):
        for lag in (1, 2, 7):
            product = values[lag:] * values[:-lag]
            assert product.mean().abs() < 5 * product.std() / len(product) ** 0.5
    assert not torch.equal(uniform, Schedule("random", seed=6).factor(steps))


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, [-1460498, -3837106, -9939080, -3596146, -5295362]),
        (5, [-4727354, 8251652, -11236124, 8366010, 2372018]),
        (2**31 - 1, [-6814566, -14734260, 12955322, 11204124, 10511192]),
    ],
)
def test_every_release_draws_the_same_random_weights(seed, expected):
    # A run that is resumed with a later release goes on as it would have.
    steps = torch.tensor([0, 1, 2, 1000, 10**9])
    assert (Schedule("random", seed=seed).factor(steps) * 2**24).tolist() == expected
    signs = [1.0 if value < 0 else -1.0 for value in expected]
    assert Schedule("probabilistic", seed=seed).factor(steps).tolist() == signs


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "constant"])
def test_a_resumed_run_goes_on_as_the_unbroken_one(name):
    def make():
        return TiedLoss(tied_weight=3.0, schedule=Schedule(name, 20, seed=1))

    expected = weights(make(), 10)
    first, second = make(), make()
    assert weights(first, 4) == expected[:4]
    assert list(first.state_dict()) == ["schedule.step"]
    second.load_state_dict(first.state_dict())
    assert weights(second, 6) == expected[4:]


def test_a_given_step_is_gone_on_from():
    criterion = TiedLoss(tied_weight=3.0, schedule=Schedule("linear_up", 4))
    for step in (2, torch.tensor(2)):
        criterion(LOGITS, FEATURES, TARGET, step=step)
        assert criterion.last["tied_weight"].item() == rounded(2)
        assert weights(criterion, 1) == rounded([3])
    with pytest.raises(ValueError, match="step is that of a schedule, and this loss has none"):
        TiedLoss()(LOGITS, FEATURES, TARGET, step=1)


def test_evaluation_does_not_step():
    criterion = TiedLoss(tied_weight=3.0, schedule=Schedule("linear_up", 4))
    weights(criterion, 2)
    assert weights(criterion.eval(), 2) == rounded([2, 2])
    assert weights(criterion.train(), 2) == rounded([2, 3])
    # A given step counts in evaluation too: the next call is that step.
    criterion.eval()(LOGITS, FEATURES, TARGET, step=1)
    assert weights(criterion, 1) == rounded([1])
    assert weights(criterion.train(), 2) == rounded([1, 2])


def test_the_plain_loss_has_no_state():
    assert TiedLoss(schedule=Schedule("constant", 5)).state_dict() == {}


# torch's compiler imports and calls deprecated parts of torch itself. test_schedule_gradients.py
# compiles every schedule.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_compiles_whatever_step_is_given():
    torch._dynamo.reset()
    criterion, eager = (TiedLoss(schedule=Schedule("cosine", 30)) for _ in range(2))
    compiled = torch.compile(criterion, backend="aot_eager", fullgraph=True)
    for step in range(3, 23, 2):  # more than the compiler may specialise on
        loss = compiled(LOGITS, FEATURES, TARGET, step=step)
        assert_close(loss, eager(LOGITS, FEATURES, TARGET, step=step))
    assert torch.equal(criterion.schedule.step, eager.schedule.step)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "linear"},
            r"schedule must be one of \('constant', 'linear_up', .*, got 'linear': did you mean "
            "'linear_up'",
        ),
        ({"name": "Cosine"}, "got 'Cosine': did you mean 'cosine'"),
        ({"name": "warmup"}, r"'warmup' needs the number of steps: Schedule\('warmup', steps="),
        (
            {"name": "cosine", "steps": 9, "warmup_steps": 2},
            "warmup_steps are of schedule 'warmup'",
        ),
        ({"name": "linear_up", "steps": 0}, "steps must be at least 1, got 0"),
        ({"name": "warmup", "warmup_steps": -1}, "warmup_steps must be at least 1, got -1"),
        ({"name": "random", "seed": -1}, r"seed must be in \[0, 2\*\*31\), got -1"),
    ],
)
def test_refuses_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": None}, "schedule must be one of .*, got None"),
        ({"name": "cosine", "steps": 1.5}, "steps must be an int, got 1.5"),
        ({"name": "cosine", "steps": "9"}, "steps must be an int, got '9'"),
        ({"name": "warmup", "warmup_steps": 0.1}, "warmup_steps must be an int, got 0.1"),
        ({"name": "random", "seed": None}, "seed must be an int, got None"),
    ],
)
def test_refuses_wrong_types(arguments, message):
    with pytest.raises(TypeError, match=message):
        Schedule(**arguments)


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (1.5, TypeError, "step must be an int, got 1.5"),
        (-1, ValueError, "step must be at least 0, got -1"),
        (torch.tensor(1.0), TypeError, r"step must be one integer, got a tensor of torch.float32"),
        (torch.tensor(True), TypeError, "one integer, got a tensor of torch.bool"),
        (2**63, ValueError, r"step must be below 2\*\*63, got 9223372036854775808"),
        (10**30, ValueError, r"step must be below 2\*\*63, got 1000"),
        (torch.arange(2), ValueError, r"one integer, got .* shape \(2,\)"),
    ],
)
def test_refuses_a_wrong_step(step, error, message):
    schedule = Schedule("cosine", 9)
    with pytest.raises(error, match=message):
        schedule(step)
    assert schedule.step == 0


def test_a_given_tensor_and_a_copy_do_not_go_on_with_the_schedule():
    schedule, given = Schedule("linear_up", 9), torch.tensor(4)
    schedule(given)
    schedule()
    assert schedule.step == 6
    assert given == 4
    assert Schedule("negate_even").eval()(2**63 - 1) == 1
    twin = copy.deepcopy(schedule)
    schedule.step.fill_(2)  # as tied_augment.timm does between epochs
    assert schedule() == 2 / 8
    assert twin() == 6 / 8
    assert list(dict(schedule.named_buffers())) == ["step"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_an_exported_schedule_goes_on():
    exported = torch.export.export(Schedule("linear_up", 9), ()).module()
    factors = [exported().item() for _ in range(3)]
    first = factors[0]  # exporting may have made a step
    assert factors == rounded([first, first + 1 / 8, first + 2 / 8])


def test_repr():
    assert repr(Schedule("cosine", 5)) == "Schedule('cosine', steps=5, seed=0)"
    assert "(schedule): Schedule('random', seed=3)" in repr(
        TiedLoss(schedule=Schedule("random", seed=3))
    )
