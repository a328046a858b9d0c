"""TiedModel's choices: layers, views, joint and separate forwards; models that are not timm's."""

import copy
from collections import OrderedDict, namedtuple

import pytest
import timm
import torch
from timm.layers import convert_splitbn_model
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from tied_augment import TiedLoss, TiedModel


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 8, 3, bias=False),
            norm=nn.BatchNorm2d(8),
            act=nn.ReLU(),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classify=nn.Linear(8, 5),
        )
    )


def images(views=2, pairs=3):
    return torch.randn(views, pairs, 3, 8, 8, generator=torch.Generator().manual_seed(views))


def test_several_names_give_a_list_of_layers():
    model = net()
    logits, features = TiedModel(model, feature_module=["norm", "pool", "classify"])(images())
    assert [tuple(layer.shape) for layer in features] == [(6, 8 * 36), (6, 8 * 36), (6, 8)]
    assert torch.equal(features[0], model.conv(images().flatten(0, 1)).flatten(1))
    assert torch.equal(model.classify(features[2]), logits)
    loss = TiedLoss(layer_weights=[0.1, 0.2, 1.0])(logits, features, torch.tensor([0, 1, 2]))
    loss.backward()
    assert model.conv.weight.grad.abs().sum() > 0


def test_one_name_in_a_list_is_a_list_of_one():
    _, features = TiedModel(net(), feature_module=["classify"])(images())
    assert isinstance(features, list)
    assert len(features) == 1


@pytest.mark.parametrize("views", [2, 3])
def test_separate_is_a_forward_for_each_view(views):
    model = net()
    twin = copy.deepcopy(model)
    batch = images(views)
    tied = TiedModel(model, forward="separate", num_views=views)
    logits, features = tied(batch)
    expected = [twin(view) for view in batch]
    assert torch.equal(logits, torch.cat(expected))
    assert torch.equal(model.classify(features), logits)
    for name, value in model.state_dict().items():  # one update of the statistics for each view
        assert torch.equal(value, twin.state_dict()[name]), name
    assert model.norm.num_batches_tracked == views
    joint, _ = TiedModel(net(), num_views=views)(batch)
    assert (joint - logits).abs().max() > 1e-4  # BatchNorm makes the difference
    assert "forward='separate'" in repr(tied)


def test_separate_equals_joint_without_batchnorm():
    model = net()
    model.norm = nn.Identity()
    joint, separate = TiedModel(copy.deepcopy(model)), TiedModel(model, forward="separate")
    for ours, theirs in zip(joint(images()), separate(images()), strict=True):
        assert_close(ours, theirs)
    with pytest.raises(ValueError, match="images must have 2B rows, all of view 1 first, got 3"):
        separate(images()[0])


Pair = namedtuple("Pair", "logits auxiliary")


class Wrapped(nn.Module):
    """A model that returns its logits within something."""

    def __init__(self, wrap):
        super().__init__()
        self.body, self.classifier, self.wrap = nn.Linear(4, 3), nn.Linear(3, 2), wrap

    def forward(self, pixel_values):
        logits = self.classifier(self.body(pixel_values).tanh())
        return self.wrap(logits)


def test_separate_keeps_the_form_of_the_output():
    def make(wrap):
        torch.manual_seed(0)
        return TiedModel(Wrapped(wrap), forward="separate")

    batch = torch.randn(6, 4)
    logits, _ = make(lambda logits: logits)(batch)
    pair, _ = make(lambda logits: Pair(logits, [2 * logits]))(batch)
    assert isinstance(pair, Pair)
    assert torch.equal(pair.logits, logits)
    assert torch.equal(pair.auxiliary[0], 2 * logits)
    with pytest.raises(TypeError, match="can't join outputs of type str; use 'joint'"):
        make(lambda logits: "logits")(batch)


class ModelOutput(OrderedDict):
    """As in Hugging Face's transformers: a dict whose items are attributes as well."""

    def __getattr__(self, name):
        return self[name]


@pytest.mark.parametrize("forward", ["joint", "separate"])
def test_hugging_face_classifiers(forward):
    tied = TiedModel(Wrapped(lambda logits: ModelOutput(logits=logits)), forward=forward)
    batch = torch.randn(6, 4)
    logits, features = tied(batch)
    assert torch.equal(tied.classifier(features), logits)
    assert torch.equal(tied.eval()(pixel_values=batch).logits, logits)
    TiedLoss()(logits, features, torch.tensor([0, 1, 1])).backward()


def test_eval_takes_what_the_plain_model_takes():
    tied = TiedModel(Wrapped(lambda logits: logits)).eval()
    assert torch.equal(tied(pixel_values=torch.ones(1, 4)), tied(torch.ones(1, 4)))
    with pytest.raises(TypeError, match="takes the images as its first argument"):
        tied.train()(pixel_values=torch.ones(2, 4))


def test_split_batchnorm_has_statistics_for_each_view():
    torch.manual_seed(0)
    model = convert_splitbn_model(timm.create_model("test_resnet", num_classes=7), 2).train()
    tied = TiedModel(model)
    batch = torch.randn(4, 3, 64, 64)
    twin = copy.deepcopy(model)
    logits, features = tied(batch)
    assert torch.equal(logits, twin(batch))
    assert torch.equal(model.fc(features), logits)
    norm = next(m for m in model.modules() if type(m).__name__ == "SplitBatchNorm2d")
    assert not torch.equal(norm.running_mean, norm.aux_bn[0].running_mean)


def test_exports_in_eval():
    tied = TiedModel(net()).eval()
    batch = images().flatten(0, 1)
    exported = torch.export.export(tied, (batch,))
    assert torch.equal(exported.module()(batch), tied(batch))
    assert sorted(exported.state_dict) == sorted(net().state_dict())


# torch's compiler imports and calls deprecated parts of torch itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize(
    "arguments", [{"forward": "separate"}, {"feature_module": ["pool", "classify"]}]
)
def test_compiles_to_one_graph(arguments):
    torch._dynamo.reset()
    tied, twin = TiedModel(net(), **arguments), TiedModel(net(), **arguments)
    compiled = torch.compile(tied, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        ours, theirs = compiled(images()), twin(images())
        assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_step_under_autocast_and_a_scaler(dtype):
    model = net()
    tied, criterion = TiedModel(model), TiedLoss(tied_weight=2.0, similarity="cosine")
    optimizer = torch.optim.SGD(tied.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = model.conv.weight.detach().clone()
    with torch.autocast("cpu", dtype):
        logits, features = tied(images())
        loss = criterion(logits, features, torch.tensor([0, 1, 2]))
    assert (logits.dtype, loss.dtype) == (dtype, torch.float32)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 1024.0
    assert not torch.equal(model.conv.weight, before)

    # Inf in the features is Inf in the loss: the scaler skips the step.
    skipped = model.conv.weight.detach().clone()
    optimizer.zero_grad()
    logits, features = tied(images())
    loss = criterion(logits, features * float("inf"), torch.tensor([0, 1, 2]))
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 512.0
    assert torch.equal(model.conv.weight, skipped)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"forward": "both"}, r"forward must be one of \('joint', 'separate'\), got 'both'"),
        ({"num_views": 1}, "num_views must be at least 2, got 1"),
        ({"feature_module": []}, "feature_module must name at least one module"),
        ({"feature_module": ["pool", "fc"]}, "Sequential has no module 'fc'; choose"),
    ],
)
def test_refuses_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TiedModel(net(), **arguments)


def test_refuses_another_number_of_views():
    with pytest.raises(ValueError, match=r"must be \(3, B, C, H, W\), views first, got \(2, 3"):
        TiedModel(net(), num_views=3)(images(2))
    with pytest.raises(ValueError, match="images must be 3 views of one shape, got the shapes"):
        TiedModel(net(), num_views=3)(list(images(2)))


class Normalising(nn.Module):
    """A model that takes raw images."""

    def __init__(self):
        super().__init__()
        self.fc = net()

    def forward(self, batch):
        return self.fc(batch.float() / 255)


@pytest.mark.parametrize("forward", ["joint", "separate"])
def test_raw_images_are_for_models_that_normalise_them(forward):
    raw = (255 * images().sigmoid()).to(torch.uint8)
    logits, features = TiedModel(Normalising(), forward=forward)(raw)
    expected = TiedModel(net(), forward=forward)(raw.float() / 255)
    assert torch.equal(logits, expected[0])
    assert torch.equal(features, expected[1])
    tied = TiedModel(net(), forward=forward)
    message = r"failed on images of torch.uint8: .*Byte.*output='float32'.*float\(\) / 255"
    with pytest.raises(RuntimeError, match=message):
        tied(raw)
    assert all(tap.inputs is None for tap in tied._taps)


class Reentrant(nn.Module):
    """A model whose layers run without grad in the forward pass, and again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(OrderedDict(body=nn.Linear(4, 3), fc=nn.Linear(3, 2)))

    def forward(self, batch):
        return checkpoint(self.inner, batch.requires_grad_(), use_reentrant=True)


def test_warns_once_of_features_that_cannot_be_trained():
    message = "the input of 'inner.fc' needs no gradient, but the logits do.*use_reentrant=False"
    tied = TiedModel(Reentrant(), feature_module="inner.fc")
    with pytest.warns(RuntimeWarning, match=message):
        tied(torch.randn(4, 4))
    tied(torch.randn(4, 4))  # an error if it warned again
    frozen = TiedModel(net())
    for parameter in frozen.conv.parameters():
        parameter.requires_grad_(False)
    for parameter in frozen.norm.parameters():
        parameter.requires_grad_(False)
    with pytest.warns(RuntimeWarning, match="needs no gradient"):
        frozen(images())


def test_does_not_warn_where_nothing_is_trained():
    tied = TiedModel(net()).requires_grad_(False)
    tied(images())
    with torch.no_grad():
        TiedModel(net())(images())


def test_other_errors_are_the_models_own():
    with pytest.raises(RuntimeError, match=r"^Given groups=1"):
        TiedModel(net())(images()[:, :, :1])
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2"):  # no images: rows of numbers
        TiedModel(nn.Sequential(nn.Linear(4, 2)))(torch.zeros(2, 4, dtype=torch.int64))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"forward": "seperate"}, ValueError, "got 'seperate': did you mean 'separate'"),
        ({"forward": "split"}, ValueError, "got 'split': did you mean 'separate'"),
        ({"forward": True}, TypeError, r"forward must be one of \('joint', 'separate'\), got True"),
        ({"num_views": "2"}, TypeError, "num_views must be an int, got '2'"),
        ({"num_views": 2.0}, TypeError, "num_views must be an int, got 2.0"),
        ({"num_views": 1}, ValueError, "num_views must be at least 2, got 1"),
    ],
)
def test_refuses_wrong_arguments_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        TiedModel(net(), **arguments)


def test_refuses_data_parallel():
    with pytest.raises(TypeError, match=r"use torch.*DistributedDataParallel\(TiedModel\(model"):
        TiedModel(nn.DataParallel(net()))


def test_refuses_a_class():
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got the class Normalising"):
        TiedModel(Normalising)
