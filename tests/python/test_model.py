"""TiedModel gives the plain model's logits, and features that are the features."""

import copy

import pytest
import torch
import torchvision
from small_models import assert_equal, images, plain, small_net
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
    logits, features = TiedModel(model, feature_module="classify")(batch)
    assert torch.equal(model.classify(features), logits)
    _, flattened = TiedModel(model, feature_module="flatten")(
        batch
    )  # (2B, 8, 1, 1) taken as (2B, 8)
    assert torch.equal(flattened, features)


def test_repr_names_the_taps():
    assert "Sequential, features=input of 'classify'" in repr(TiedModel(small_net()))
    assert "features=input of 'fc'" in repr(TiedModel(plain()))
