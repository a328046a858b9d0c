"""TiedModel against the plain model: same logits and keys, and features that are the features."""

import copy
import io
import pickle

import pytest
import timm
import torch
import torchvision
from timm.utils import ModelEmaV3
from torch import nn

from tied_augment import TiedModel

# name, its arguments, names of the tapped modules, D, pixels. One of each kind of head.
MODELS = [
    ("test_resnet", {}, ["fc"], 96, 64),
    ("test_vit", {"img_size": 64}, ["head"], 64, 64),
    ("test_efficientnet", {}, ["classifier"], 256, 64),
    ("test_convnext", {}, ["head.fc"], 64, 64),  # a ClassifierHead with pooling inside
    ("resnetv2_18", {}, ["head.fc"], 512, 64),  # a 1x1 convolution in a ClassifierHead
    ("dla46_c", {}, ["fc"], 256, 64),  # a bare 1x1 convolution
    (
        "deit_tiny_distilled_patch16_224",
        {"img_size": 32, "depth": 2},
        ["head", "head_dist"],
        2 * 192,
        32,
    ),
    # BatchNorm in both heads, before the linear layer.
    ("levit_128s", {}, ["head.linear", "head_dist.linear"], 2 * 384, 224),
    # A ModuleList that is never called itself.
    ("crossvit_tiny_240", {}, ["head.0", "head.1"], 96 + 192, 240),
    ("efficientvit_b0", {}, ["head.classifier.4"], 1280, 64),  # a Sequential in a head
    ("repvit_m1", {}, ["head.head.l", "head.head_dist.l"], 2 * 384, 64),  # two heads in one
]


def plain(name="test_resnet", **kwargs):
    torch.manual_seed(0)
    if name == "test_vit":
        kwargs = {"img_size": 64} | kwargs
    return timm.create_model(name, num_classes=7, **kwargs)


def images(size=64):
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(size))


def leaves(output):
    return list(output) if isinstance(output, tuple | list) else [output]


def assert_equal(ours, theirs):
    ours, theirs = leaves(ours), leaves(theirs)
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert torch.equal(our, their)


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


@pytest.mark.parametrize(("name", "arguments", "taps", "width", "size"), MODELS)
def test_the_tap_changes_no_bit(name, arguments, taps, width, size):
    model = plain(name, **arguments)
    batch = images(size)
    twin = copy.deepcopy(model)
    tied = TiedModel(model)
    for mode in (True, False):
        torch.manual_seed(1)  # for the drop path of some models
        expected = twin.train(mode)(batch)
        torch.manual_seed(1)
        output = tied.train(mode)(batch)
        if mode:
            logits, features = output
            assert features.shape == (4, width)
            assert [tap.name for tap in tied._taps] == taps
            assert_equal(logits, expected)
            assert features.requires_grad
        else:
            assert_equal(output, expected)
    # Running statistics of BatchNorm included.
    assert_equal(list(tied.state_dict().values()), list(twin.state_dict().values()))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "resnetv2_18"])
def test_features_are_what_enters_the_classifier(name):
    model = plain(name)
    batch = images()
    logits, features = TiedModel(model.train())(batch)
    head = model.get_classifier()
    if isinstance(head, nn.Conv2d):
        assert torch.equal(head(features[:, :, None, None]).flatten(1), logits)
    else:
        assert torch.equal(head(features), logits)
    model.eval()  # what timm itself calls the features, with no statistics to change
    tied = TiedModel(copy.deepcopy(model))
    tied.training = True  # the tap is open, BatchNorm and dropout are not
    assert torch.equal(
        tied(batch)[1], model.forward_head(model.forward_features(batch), pre_logits=True)
    )


def test_both_heads_of_a_distilled_model_are_fed_by_their_features():
    model = plain("deit_tiny_distilled_patch16_224", img_size=32, depth=2).train()
    model.set_distilled_training(True)  # logits then come as a pair, and are passed on as one
    logits, features = TiedModel(model)(images(32))
    first, second = features.chunk(2, dim=1)
    assert_equal(logits, (model.head(first), model.head_dist(second)))


def test_gradients_are_those_of_the_plain_model():
    model = plain()
    twin, tied = copy.deepcopy(model), TiedModel(model)
    batch = images()
    tied.train()(batch)[0].square().sum().backward()
    twin.train()(batch).square().sum().backward()
    theirs = dict(twin.named_parameters())
    ours = dict(tied.named_parameters())
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name].grad, theirs[name].grad) for name in ours)


@pytest.mark.parametrize("as_given", ["list", "tuple", "5-D"])
def test_takes_views_apart(as_given):
    tied = TiedModel(plain()).train()
    batch = images()
    expected = tied(batch)
    views = batch.chunk(2)
    given = {"list": list(views), "tuple": views, "5-D": torch.stack(views)}[as_given]
    assert_equal(tied(given), expected)


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
    missing.pop("net.5.bias")
    with pytest.raises(RuntimeError, match=r"Missing key.*net\.5\.bias"):
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
    assert not model[1].training
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


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_gradient_checkpointing_records_once(name):
    model = plain(name)
    batch = images()
    tied = TiedModel(model).train()
    expected = tied(batch)
    gradients = torch.autograd.grad(sum(part.sum() for part in expected), tied.parameters())
    tied.set_grad_checkpointing(True)
    output = tied(batch)
    assert_equal(output, expected)
    again = torch.autograd.grad(sum(part.sum() for part in output), tied.parameters())
    assert all(torch.equal(a, b) for a, b in zip(again, gradients, strict=True))


def test_channels_last_stays_so():
    tied = TiedModel(plain()).train().to(memory_format=torch.channels_last)
    batch = images().to(memory_format=torch.channels_last)
    twin = copy.deepcopy(tied.model)
    assert tied.conv1[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert_equal(tied(batch)[0], twin(batch))


def test_autocast_gives_the_dtype_that_the_model_computes():
    tied = TiedModel(plain()).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits, features = tied(images())
    assert (logits.dtype, features.dtype) == (torch.bfloat16, torch.bfloat16)


# torch's compiler imports and calls deprecated parts of torch itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_compiles_to_one_graph():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    tied = TiedModel(plain()).train()
    twin = copy.deepcopy(tied)
    # aot_eager: all of the compiler but the code generator, which would need a C++ compiler.
    compiled = torch.compile(tied, backend="aot_eager", fullgraph=True)
    batch = images()
    for _ in range(2):
        logits, features = compiled(batch)
        expected = twin(batch)
        assert_equal((logits, features), expected)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    ours = torch.autograd.grad(logits.sum() + features.sum(), tied.parameters())
    theirs = torch.autograd.grad(sum(part.sum() for part in expected), twin.parameters())
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their)
    tied.eval(), twin.eval()
    assert_equal(compiled(batch), twin(batch))


@pytest.mark.parametrize(
    ("name", "tap", "width"),
    [
        ("resnet18", "fc", 512),
        ("mobilenet_v3_small", "classifier.3", 1024),
        ("squeezenet1_1", None, None),  # a convolution over the whole map: no pooled features
    ],
)
def test_torchvision(name, tap, width):
    model = torchvision.models.get_model(name, num_classes=7).train()
    batch = images()
    tied = TiedModel(model)
    if tap is None:
        with pytest.raises(RuntimeError, match="features without pooling can't be tied"):
            tied(batch)
        return
    with torch.no_grad():
        logits, features = tied(batch)
    assert [tap.name for tap in tied._taps] == [tap]
    assert logits.shape == (4, 7)
    assert features.shape == (4, width)


def test_feature_module_chooses_the_layer():
    model = small_net()
    batch = torch.randn(4, 3, 8, 8)
    logits, features = TiedModel(model, feature_module="5")(batch)
    assert torch.equal(model[5](features), logits)
    _, flattened = TiedModel(model, feature_module="4")(batch)  # (2B, 8, 1, 1) taken as (2B, 8)
    assert torch.equal(flattened, features)


def test_the_plain_model_runs_as_ever_and_nothing_is_kept():
    model = plain()
    tied = TiedModel(model).train()
    tied(images())
    assert all(tap.inputs is None for tap in tied._taps)
    assert model.train()(images()).shape == (4, 7)
    assert all(tap.inputs is None for tap in tied._taps)


def test_an_error_in_the_model_closes_the_tap():
    tied = TiedModel(small_net())
    with pytest.raises(RuntimeError, match=r"expected input\[4, 1, 8, 8\]"):
        tied(torch.randn(4, 1, 8, 8))
    assert all(tap.inputs is None for tap in tied._taps)
    assert tied(torch.randn(4, 3, 8, 8))[1].shape == (4, 8)


def test_repr_names_the_taps():
    assert "Sequential, features=input of '5'" in repr(TiedModel(small_net()))
    assert "features=input of 'fc'" in repr(TiedModel(plain()))


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(4, 2)

    def forward(self, batch):
        return self.project(batch)


def twice():
    linear = nn.Linear(4, 4)
    return nn.Sequential(linear, linear)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TiedModel(3), TypeError, "model must be a torch.nn.Module, got 3"),
        (lambda: TiedModel(TiedModel(small_net())), TypeError, "is a TiedModel already"),
        (
            lambda: TiedModel(timm.create_model("test_resnet", num_classes=0)),
            ValueError,
            r"'fc' of ResNet is an Identity \(num_classes=0\?\).*feature_module='the.name'",
        ),
        (lambda: TiedModel(Bare()), ValueError, "Bare has no classifier that can be found; name"),
        (
            lambda: TiedModel(Bare(), feature_module="head"),
            ValueError,
            "feature_module: Bare has no module 'head'; .* its children are project",
        ),
    ],
)
def test_refuses_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("model", "batch", "error", "message"),
    [
        (small_net, "images", TypeError, "images must be a tensor, or a list .*, got str"),
        (small_net, [torch.zeros(1, 3, 8, 8), None], TypeError, "list of Tensor, NoneType"),
        (small_net, [torch.zeros(1, 3, 8, 8)], ValueError, "2 views of one shape, got the"),
        (
            small_net,
            [torch.zeros(1, 3, 8, 8), torch.zeros(2, 3, 8, 8)],
            ValueError,
            "2 views of one shape",
        ),
        (small_net, torch.zeros(3, 1, 3, 8, 8), ValueError, r"must be \(2, B, C, H, W\), views"),
        (twice, torch.zeros(4, 4), RuntimeError, "was called 2 times in one forward"),
        (
            lambda: nn.Sequential(nn.Flatten(2), nn.Linear(64, 2)),
            torch.zeros(4, 3, 8, 8),
            RuntimeError,
            r"input of '1' has shape \(4, 3, 64\), expected \(2B, D\)",
        ),
    ],
)
def test_refuses_what_it_cannot_tie(model, batch, error, message):
    tied = TiedModel(model())
    with pytest.raises(error, match=message):
        tied(batch)


def test_says_so_when_the_classifier_was_replaced():
    tied = TiedModel(plain()).train()
    tied.reset_classifier(3)
    with pytest.raises(RuntimeError, match=r"'fc' was called 0 times .*replaced after TiedModel"):
        tied(images())


def test_refuses_data_parallel():
    tied = TiedModel(small_net())
    tied._is_replica = True  # as nn.DataParallel, which needs GPUs, sets it on its replicas
    with pytest.raises(RuntimeError, match="whose replicas would share its taps"):
        tied(torch.zeros(4, 3, 8, 8))
