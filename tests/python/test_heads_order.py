"""A head that is not the last linear layer is refused in the first forward pass with grad.

Heads are found by name and by the order of registration, which need not be the order of use.
"""

from collections import OrderedDict
from copy import deepcopy

import pytest
import torch
from small_models import images, plain, small_net
from torch import nn
from torch.utils.checkpoint import checkpoint

from tied_augment import TiedModel
from tied_augment.timm.tap import FeatureTap

BATCH = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))


class Head(nn.Module):
    """A hidden layer that is registered after the layer that runs last."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(8, 3)
        self.hidden = nn.Linear(8, 8)

    def forward(self, features):
        return self.out(self.hidden(features).relu_())


class Net(nn.Module):
    """`run` computes the logits from the layers, which are registered in the order given."""

    def __init__(self, run, **layers):
        super().__init__()
        self.body = nn.Linear(8, 8)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = run

    def forward(self, batch):
        return self.run(self, self.body(batch))


def hidden_fc():
    return Net(
        lambda net, x: net.classifier(net.fc(x).relu()),
        classifier=nn.Linear(8, 3),
        fc=nn.Linear(8, 8),
    )


def another_name():
    return Net(
        lambda net, x: net.logits(net.fc(x)).softmax(1), fc=nn.Linear(8, 8), logits=nn.Linear(8, 3)
    )


def a_chain():
    layers = OrderedDict(hidden=nn.Linear(8, 8), out=nn.Linear(8, 3))
    return Net(lambda net, x: net.head["out"](net.head["hidden"](x)), head=nn.ModuleDict(layers))


REFUSED = {
    "head": (lambda: Net(lambda net, x: net.head(x), head=Head()), "head.hidden", "head.out"),
    "child": (hidden_fc, "fc", "classifier"),
    "name": (another_name, "fc", "logits"),
    "dict": (a_chain, "head.hidden", "head.out"),
}


@pytest.mark.parametrize("forward", ["joint", "separate"])
@pytest.mark.parametrize("case", REFUSED)
def test_refuses_a_layer_that_is_not_the_last(case, forward):
    make, tapped, last = REFUSED[case]
    message = f"'{tapped}'.* '{last}' computes on its output.*feature_module='{last}'"
    tied = TiedModel(make(), forward=forward)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message):
            tied(BATCH)
    assert all(tap.inputs is None for tap in tied._taps)
    model = make()
    logits, features = TiedModel(model, feature_module=last, forward=forward)(BATCH)
    layer = model.get_submodule(last)
    expected = layer(features)
    assert torch.equal(logits, expected.softmax(1) if case == "name" else expected)


def test_layers_after_the_head_that_leave_its_output_alone():
    def run(net, x):
        logits = net.head(x)
        return logits + net.aux(x)  # as VOLO does

    tied = TiedModel(Net(run, head=nn.Linear(8, 3), aux=nn.Linear(8, 3)))
    _, features = tied(BATCH)
    assert torch.equal(features, tied.model.body(BATCH))


def test_all_heads_of_a_dict_are_tied():
    heads = nn.ModuleDict({"a": nn.Linear(8, 3), "b": nn.Sequential(nn.ReLU(), nn.Linear(8, 2))})
    tied = TiedModel(Net(lambda net, x: [head(x) for head in net.heads.values()], heads=heads))
    assert [tap.name for tap in tied._taps] == ["heads.a", "heads.b.1"]
    (first, second), features = tied(BATCH)
    assert torch.equal(first, heads["a"](features[:, :8]))
    assert torch.equal(second, heads["b"][1](features[:, 8:]))


def test_a_forward_pass_without_grad_leaves_the_check_to_the_next():
    tied = TiedModel(hidden_fc())
    with torch.no_grad():
        tied(BATCH)
    tied.eval()(BATCH)
    with pytest.raises(RuntimeError, match="'classifier' computes on its output"):
        tied.train()(BATCH)


def test_leaves_no_hook():
    model = small_net()
    before = hooks(model)
    tied = TiedModel(model)
    tapped = hooks(model)
    tied(torch.randn(4, 3, 8, 8))
    assert hooks(model) == tapped == before + 1


@pytest.mark.parametrize("case", REFUSED)
def test_a_plain_model_under_timm_is_refused_likewise(case):
    make, tapped, last = REFUSED[case]
    model = make()
    before = hooks(model)
    tap = FeatureTap(model)
    message = f"'{tapped}'.* '{last}' computes on its output.*--tied-feature-module {last}"
    for _ in range(2):
        model(BATCH)
        with pytest.raises(RuntimeError, match=message):
            tap.take()
    tap = FeatureTap(model := make(), feature_module=last)
    model(BATCH)
    tap.take()
    assert hooks(model) == before + 1


def test_a_plain_model_under_timm_is_checked_once():
    model = small_net()
    before = hooks(model)
    tap = FeatureTap(model)
    copy = deepcopy(model)
    copy(torch.randn(4, 3, 8, 8))
    model(torch.randn(4, 3, 8, 8))
    tap.take()
    assert hooks(model) == before + 1
    check = next(iter(copy.classify._forward_hooks.values())).__self__
    assert check._model is copy
    assert not check._outputs


def hooks(model):
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules())


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointed_layers(use_reentrant):
    def run(net, x):
        return net.head(checkpoint(net.inner, x, use_reentrant=use_reentrant))

    net = Net(run, inner=nn.Sequential(nn.Linear(8, 8), nn.ReLU()), head=nn.Linear(8, 3))
    logits, features = TiedModel(net)(BATCH)
    logits.sum().backward()
    assert torch.equal(logits, net.head(features))


# torch's compiler imports and calls deprecated parts of torch itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_compiled_plain_model_is_compiled_once():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = plain()
    model.compile(backend="aot_eager", fullgraph=True)
    tied = TiedModel(model)
    for _ in range(3):
        tied(images())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
