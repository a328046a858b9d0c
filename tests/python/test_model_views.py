"""TiedModel's choices: layers, views, joint and separate forwards; models that are not timm's."""

import copy
from collections import OrderedDict, namedtuple

import pytest
import timm
import torch
from small_models import small_net, views
from timm.layers import convert_splitbn_model
from torch import nn
from torch.testing import assert_close

from tied_augment import TiedLoss, TiedModel


def test_several_names_give_a_list_of_layers():
    model = small_net()
    logits, features = TiedModel(model, feature_module=["norm", "pool", "classify"])(views())
    assert [tuple(layer.shape) for layer in features] == [(6, 8 * 36), (6, 8 * 36), (6, 8)]
    assert torch.equal(features[0], model.conv(views().flatten(0, 1)).flatten(1))
    assert torch.equal(model.classify(features[2]), logits)
    loss = TiedLoss(layer_weights=[0.1, 0.2, 1.0])(logits, features, torch.tensor([0, 1, 2]))
    loss.backward()
    assert model.conv.weight.grad.abs().sum() > 0


def test_one_name_in_a_list_is_a_list_of_one():
    _, features = TiedModel(small_net(), feature_module=["classify"])(views())
    assert isinstance(features, list)
    assert len(features) == 1


@pytest.mark.parametrize("num_views", [2, 3])
def test_separate_is_a_forward_for_each_view(num_views):
    model = small_net()
    twin = copy.deepcopy(model)
    batch = views(num_views)
    tied = TiedModel(model, forward="separate", num_views=num_views)
    logits, features = tied(batch)
    expected = [twin(view) for view in batch]
    assert torch.equal(logits, torch.cat(expected))
    assert torch.equal(model.classify(features), logits)
    for name, value in model.state_dict().items():  # one update of the statistics for each view
        assert torch.equal(value, twin.state_dict()[name]), name
    assert model.norm.num_batches_tracked == num_views
    joint, _ = TiedModel(small_net(), num_views=num_views)(batch)
    assert (joint - logits).abs().max() > 1e-4  # BatchNorm makes the difference
    assert "forward='separate'" in repr(tied)


def test_separate_equals_joint_without_batchnorm():
    model = small_net()
    model.norm = nn.Identity()
    joint, separate = TiedModel(copy.deepcopy(model)), TiedModel(model, forward="separate")
    for ours, theirs in zip(joint(views()), separate(views()), strict=True):
        assert_close(ours, theirs)
    with pytest.raises(ValueError, match="images must have 2B rows, all of view 1 first, got 3"):
        separate(views()[0])


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
    tied = TiedModel(small_net()).eval()
    batch = views().flatten(0, 1)
    exported = torch.export.export(tied, (batch,))
    assert torch.equal(exported.module()(batch), tied(batch))
    assert sorted(exported.state_dict) == sorted(small_net().state_dict())


# torch's compiler imports and calls deprecated parts of torch itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize(
    "arguments", [{"forward": "separate"}, {"feature_module": ["pool", "classify"]}]
)
def test_compiles_to_one_graph(arguments):
    torch._dynamo.reset()
    tied, twin = TiedModel(small_net(), **arguments), TiedModel(small_net(), **arguments)
    compiled = torch.compile(tied, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        ours, theirs = compiled(views()), twin(views())
        assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_step_under_autocast_and_a_scaler(dtype, any_device):
    model, images = small_net().to(any_device), views().to(any_device)
    target = torch.tensor([0, 1, 2], device=any_device)
    tied, criterion = TiedModel(model), TiedLoss(tied_weight=2.0, similarity="cosine")
    optimizer = torch.optim.SGD(tied.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler(any_device.type, init_scale=1024.0)
    before = model.conv.weight.detach().clone()
    with torch.autocast(any_device.type, dtype):
        logits, features = tied(images)
        loss = criterion(logits, features, target)
    assert (logits.dtype, loss.dtype) == (dtype, torch.float32)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 1024.0
    assert not torch.equal(model.conv.weight, before)

    # Inf in the features is Inf in the loss: the scaler skips the step.
    skipped = model.conv.weight.detach().clone()
    optimizer.zero_grad()
    logits, features = tied(images)
    loss = criterion(logits, features * float("inf"), target)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 512.0
    assert torch.equal(model.conv.weight, skipped)
