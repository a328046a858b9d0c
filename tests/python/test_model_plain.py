"""Except for its output in train mode, a TiedModel is the plain model."""

import copy
import io
import pickle

import pytest
import timm
import torch
from small_models import assert_equal, images, plain, small_net
from timm.utils import ModelEmaV3
from torch import nn

from tied_augment import TiedModel


def test_checkpoints_move_both_ways():
    tied, model = TiedModel(plain()), timm.create_model("test_resnet", num_classes=7)
    saved = io.BytesIO()
    torch.save(tied.state_dict(), saved)
    saved.seek(0)
    assert list(tied.state_dict()) == list(model.state_dict())
    model.load_state_dict(torch.load(saved), strict=True)
    batch = images()
    assert_equal(model.eval()(batch), tied.eval()(batch))

    other = TiedModel(timm.create_model("test_resnet", num_classes=7)).eval()
    assert not torch.equal(other(batch), model(batch))
    other.load_state_dict(model.state_dict(), strict=True)
    assert_equal(other(batch), model(batch))


def test_a_parent_saves_and_loads_the_same_keys():
    parent = nn.ModuleDict({"net": TiedModel(small_net())})
    expected = nn.ModuleDict({"net": small_net()})
    assert list(parent.state_dict()) == list(expected.state_dict())
    parent.load_state_dict(expected.state_dict(), strict=True)
    missing = expected.state_dict()
    missing.pop("net.classify.bias")
    with pytest.raises(RuntimeError, match=r"Missing key.*net\.classify\.bias"):
        parent.load_state_dict(missing)


def test_parameters_order_and_names_are_the_plain_ones():
    model = plain()
    names = [name for name, _ in model.named_parameters()]
    modules = [name for name, _ in model.named_modules()]
    tied = TiedModel(model)
    assert [name for name, _ in tied.named_parameters()] == names
    assert [name for name, _ in tied.named_modules()] == modules
    assert all(a is b for a, b in zip(tied.parameters(), model.parameters(), strict=True))


def test_attributes_are_the_plain_ones():
    model = plain("test_vit")
    tied = TiedModel(model)
    assert tied.model is model
    assert tied.default_cfg is model.default_cfg
    assert tied.no_weight_decay() == model.no_weight_decay()
    assert tied.group_matcher() == model.group_matcher()
    assert tied.num_features == 64
    tied.set_grad_checkpointing(True)
    assert model.grad_checkpointing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tied.nothing
    tied.head = nn.Linear(64, 3)  # set here, set there
    assert model.head is tied.head


def test_the_mode_is_kept_and_set_in_both():
    assert not TiedModel(small_net().eval()).training
    model = small_net()
    tied = TiedModel(model)
    assert tied.training
    assert tied.eval() is tied
    assert not model.training
    assert not model.norm.training
    assert not tied.train().train(False).training


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "save"])
def test_copies_have_a_tap_of_their_own(way):
    tied = TiedModel(plain()).train()
    batch = images()
    tied(batch)  # leaves nothing that a copy would take along
    if way == "deepcopy":
        twin = copy.deepcopy(tied)
    elif way == "pickle":
        twin = pickle.loads(pickle.dumps(tied))
    else:
        saved = io.BytesIO()
        torch.save(tied, saved)
        saved.seek(0)
        twin = torch.load(saved, weights_only=False)
    assert_equal(twin(batch), tied(batch))
    with torch.no_grad():
        twin.fc.weight.zero_()
    assert not twin(batch)[0].equal(tied(batch)[0])
    assert twin.model.fc is twin.fc
    assert twin.model.fc is not tied.model.fc


def test_ema_of_timm_follows_and_evaluates():
    tied = TiedModel(plain()).train()
    ema = ModelEmaV3(tied, decay=0.5)
    before = tied.fc.weight.detach().clone()
    with torch.no_grad():
        tied.fc.weight.add_(1.0)
    ema.update(tied)
    assert torch.allclose(ema.module.fc.weight, before + 0.5)
    assert isinstance(ema.module, TiedModel)
    assert list(ema.module.state_dict()) == list(plain().state_dict())
    assert ema.module(images()).shape == (4, 7)  # in eval mode: logits only


def test_the_plain_model_runs_as_ever_and_nothing_is_kept():
    model = plain()
    tied = TiedModel(model).train()
    tied(images())
    assert all(tap.inputs is None for tap in tied._taps)
    assert model.train()(images()).shape == (4, 7)
    assert all(tap.inputs is None for tap in tied._taps)
