"""The collapse watch: it warns once, of what is near zero only, and costs no sync but its own."""

import copy
import warnings

import pytest
import torch

from tied_augment import TiedLoss
from tied_augment.loss.collapse import EVERY, CollapseWatch

LOGITS, TARGET = torch.zeros(8, 2), torch.zeros(4, dtype=torch.int64)
FEATURES = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))


def call(criterion, scale, calls=1):
    for _ in range(calls):
        # A point that is not the origin: it is not the norm that counts.
        criterion(LOGITS, 7 + scale * FEATURES, TARGET)


def test_warns_once_within_the_interval():
    criterion = TiedLoss()
    call(criterion, 1.0)
    with pytest.warns(RuntimeWarning, match=r"collapsed: their spread .* is 0\.005 of .*a tenth"):
        call(criterion, 0.005, EVERY)
    call(criterion, 0.005, 2 * EVERY)  # an error if it warned again


def test_says_nothing_of_healthy_features():
    criterion = TiedLoss()
    for scale in (1.0, 0.5, 0.05, 20.0):
        call(criterion, scale, EVERY)


@pytest.mark.parametrize("how", ["switched off", "in eval mode"])
def test_is_silent(how):
    criterion = TiedLoss(watch_collapse=how != "switched off")
    call(criterion, 1.0)
    call(criterion.train(how != "in eval mode"), 0.0, 2 * EVERY)


def test_spread_is_relative_to_the_start_and_of_the_worst_layer():
    criterion = TiedLoss()
    call(criterion, 1.0)
    assert criterion.last["spread"] == 1
    call(criterion, 0.25)
    torch.testing.assert_close(criterion.last["spread"], torch.tensor(0.25))
    layered = TiedLoss()
    layered(LOGITS, [FEATURES, FEATURES], TARGET)
    layered(LOGITS, [FEATURES, 0.5 * FEATURES], TARGET)
    torch.testing.assert_close(layered.last["spread"], torch.tensor(0.5))


def test_spread_is_relative_to_the_start_also_without_the_warning():
    criterion = TiedLoss(watch_collapse=False)
    call(criterion, 1.0)
    call(criterion, 0.25)
    torch.testing.assert_close(criterion.last["spread"], torch.tensor(0.25))


@pytest.mark.parametrize("scale", [float("inf"), float("nan"), 0.0])
def test_a_start_that_is_no_measure_is_not_compared_with(scale):
    criterion = TiedLoss()
    call(criterion, scale)
    call(criterion, 1.0)
    assert criterion.last["spread"] == 1
    with pytest.warns(RuntimeWarning, match="collapsed: their spread"):
        call(criterion, 0.005, EVERY)


def test_follows_the_features_to_another_device():
    watch = CollapseWatch()
    watch.relative([FEATURES])
    assert watch.relative([FEATURES.to("meta")]).is_meta


def test_nan_features_are_no_collapse():
    criterion = TiedLoss()
    call(criterion, 1.0)
    call(criterion, float("nan"), EVERY)


def test_reads_no_value_between_its_looks(monkeypatch):
    criterion = TiedLoss()
    call(criterion, 1.0)  # its first look

    def read(_tensor):
        raise AssertionError("a value was read: a device sync")

    for name in ("item", "__float__", "__bool__", "tolist", "__int__", "__index__"):
        monkeypatch.setattr(torch.Tensor, name, read)
    call(criterion, 1.0, EVERY - 1)
    assert len(criterion.last) == 7  # nor does `last`
    with pytest.raises(AssertionError, match="a device sync"):
        call(criterion, 1.0)


# torch's compiler imports and calls deprecated parts of torch itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_compiled_loss_looks_when_last_is_read():
    torch._dynamo.reset()
    criterion = TiedLoss()
    compiled = torch.compile(criterion, backend="aot_eager", fullgraph=True)
    call(compiled, 1.0)
    assert criterion.last["spread"] == 1
    call(compiled, 0.001, EVERY)
    with pytest.warns(RuntimeWarning, match=r"spread over the batch is 0\.001"):
        assert criterion.last["spread"] < 0.0011
    call(compiled, 0.001)
    with warnings.catch_warnings():
        assert criterion.last["spread"] < 0.0011


def test_copies_leave_the_features_behind():
    criterion = TiedLoss()
    call(criterion, 1.0)
    assert copy.deepcopy(criterion)._latest[1] == []
    assert len(criterion.last) == 7
