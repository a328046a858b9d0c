"""One rule for where features are: they are what enters the last linear layer of the classifier."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from tied_augment import TiedModel
from tied_augment.tap import find_heads, name_of
from tied_augment.timm.tap import FeatureTap

# What stands before the last linear layer in the classifier is before the features.
TIMM = {
    "levit_128s": ["head.linear", "head_dist.linear"],  # BatchNorm
    "levit_256d": ["head.linear"],
    "efficientvit_m0": ["head.linear"],
    "shvit_s1": ["head.l"],
    "repvit_m1": ["head.head.l", "head.head_dist.l"],
    "iformer_t": ["head.head.l"],
    "cpubone_nano": ["head.classifier.linear"],  # Dropout
    "caformer_s18": ["head.fc.fc2"],  # a linear layer, an activation and a norm
    "inception_next_atto": ["head.fc2"],
    "efficientvit_b0": ["head.classifier.4"],
    "vgg11": ["head.fc"],  # pooling
    "test_convnext": ["head.fc"],  # pooling and a norm
    "hiera_tiny_224": ["head.fc"],
    "samvit_base_patch16_224": ["head.fc"],
    "sequencer2d_s": ["head.fc"],
    "volo_d1_224": ["head"],
    "dla46x_c": ["fc"],  # a 1x1 convolution
    "dpn48b": ["classifier"],
    "deit_tiny_distilled_patch16_224": ["head", "head_dist"],
}


def on_meta(make, *arguments, **options):
    with torch.device("meta"):
        return make(*arguments, **options)


def names(model, feature_module=None):
    return [name_of(head, model) for head in find_heads(model, feature_module)]


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    model = on_meta(timm.create_model, name, num_classes=7)
    assert names(model) == TIMM[name]
    for head in find_heads(model, None):
        assert isinstance(head, nn.Linear | nn.Conv2d)
        assert head.weight.shape[0] == 7


@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "convnext_tiny",
        "densenet121",
        "efficientnet_b0",
        "maxvit_t",
        "mobilenet_v3_small",
        "swin_t",
        "vgg11",
        "vit_b_16",
    ],
)
def test_torchvision(name):
    model = on_meta(torchvision.models.get_model, name, num_classes=7)
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert names(model) == linear[-1:]


def test_the_features_of_levit_give_its_logits():
    torch.manual_seed(0)
    model = timm.create_model("levit_256d", num_classes=7).train()
    batch = torch.randn(4, 3, 224, 224)
    with torch.no_grad():
        logits, features = TiedModel(model)(batch)
        assert torch.equal(model.head.linear(features), logits)
    tap = FeatureTap(timm.create_model("levit_256d"))
    assert tap.names == ["head.linear"]


class Distance(nn.Module):
    """A classifier without a linear layer."""

    def __init__(self):
        super().__init__()
        self.points = nn.Parameter(torch.randn(5, 8))

    def forward(self, features):
        return -torch.cdist(features, self.points)


class LowRank(nn.Module):
    """A linear layer with a trained addition of rank 2, as PEFT makes of it."""

    def __init__(self, layer):
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.base_layer = layer
        self.down, self.up = nn.Linear(8, 2, bias=False), nn.Linear(2, 5, bias=False)

    def forward(self, features):
        return self.base_layer(features) + self.up(self.down(features))


@pytest.mark.parametrize(
    ("classifier", "expected"),
    [
        ([nn.Linear(8, 5), nn.BatchNorm1d(5)], "1"),  # a norm after it holds vectors only
        ([nn.Linear(8, 8), nn.PReLU(), nn.Linear(8, 5), nn.PReLU(5)], "3"),
        ([nn.Linear(8, 8), Distance()], "2"),
        ([nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 5)), nn.Dropout()], "1.1"),
        ([nn.LazyLinear(5)], "1"),
        ([LowRank(nn.Linear(8, 5))], "1"),
    ],
)
def test_of_a_sequence_the_last_layer_with_a_matrix(classifier, expected):
    assert names(nn.Sequential(nn.Flatten(), *classifier)) == [expected]


def test_feature_module_means_the_module_that_it_names():
    model = on_meta(timm.create_model, "levit_128s")
    assert names(model, "head") == ["head"]
    assert names(model, ["head", "head.linear"]) == ["head", "head.linear"]


@pytest.mark.parametrize(
    ("feature_module", "error", "message"),
    [
        ("layer5", ValueError, "has no module 'layer5'; did you mean 'layer4'"),
        ("fc.weight", ValueError, "has no module 'fc.weight'; .* its children are conv1"),
        ("", ValueError, "must name at least one module, got the name ''"),
        ([], ValueError, "must name at least one module, got an empty list"),
        (nn.Linear(1, 1), TypeError, "must be a dotted name .*, or a list of such, got Linear"),
        (["fc", 3], TypeError, "must be a dotted name .*, or a list of such, got 3"),
    ],
)
def test_refuses_another_feature_module(feature_module, error, message):
    model = timm.create_model("test_resnet")
    with pytest.raises(error, match=message):
        TiedModel(model, feature_module=feature_module)
