"""What TiedLoss says of arguments and inputs that are almost right."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from tied_augment import TiedLoss
from tied_augment.loss import SIMILARITIES, Schedule
from tied_augment.similarity import vicreg

B, C, D = 3, 5, 7
LOGITS, FEATURES = torch.zeros(2 * B, C), torch.zeros(2 * B, D)
TARGET = torch.zeros(B, dtype=torch.int64)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("l2", "mse"),  # the reference's names
        ("mae", "l1"),
        ("l2-norm", "l2_norm"),
        ("l2_normalized", "l2_norm"),
        ("cosine-l2-norm", "cosine_l2_norm"),
        ("MSE", "mse"),
        ("cos", "cosine"),
        ("cosine_similarity", "cosine"),
        ("vic_reg", "vicreg"),
        ("lineer_cka", "linear_cka"),
    ],
)
def test_names_the_nearest_similarity(given, meant):
    with pytest.raises(ValueError, match=f"got '{given}': did you mean '{meant}'\\?$"):
        TiedLoss(similarity=given)


def test_names_none_where_none_is_near():
    message = r"similarity must be one of \('mse', .*or a callable .*, got 'dog'$"
    with pytest.raises(ValueError, match=message):
        TiedLoss(similarity="dog")
    with pytest.raises(ValueError, match=r"got 'none'$"):
        TiedLoss(similarity="none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"supervise": "view1"}, "got 'view1': did you mean 'first'"),
        ({"supervise": "All"}, "got 'All': did you mean 'both'"),
        ({"schedule": "linear"}, "got 'linear': did you mean 'linear_up'"),
        ({"layer_weights": []}, "layer_weights must have a number for each layer, got none"),
        ({"layer_weights": [float("nan")]}, "each of layer_weights must be finite, got nan"),
    ],
)
def test_refuses_wrong_values(arguments, message):
    with pytest.raises(ValueError, match=message):
        TiedLoss(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criterion": "cosine"}, "criterion must be callable .*mean similarity='cosine'"),
        ({"criterion": 0.5}, "criterion must be callable .*did you mean tied_weight=0.5"),
        ({"criterion": [1]}, "criterion must be callable or None, got list$"),
        ({"criterion": nn.CrossEntropyLoss}, r"got the class CrossEntropyLoss: CrossEntropyLoss\("),
        ({"similarity": nn.MSELoss}, r"got the class MSELoss: MSELoss\(\)\?"),
        ({"similarity": None}, "similarity must be a name or callable, got None"),
        ({"supervise": None}, r"supervise must be one of \('both', 'first'\), got None"),
        ({"label_smoothing": "0.1"}, "label_smoothing must be a number, got '0.1'"),
        ({"num_views": "2"}, "num_views must be an int, got '2'"),
        ({"num_views": 2.0}, "num_views must be an int, got 2.0"),
        ({"layer_weights": 3}, "layer_weights must be a list of numbers, .*, got 3"),
        ({"layer_weights": "1,2"}, "layer_weights must be a list of numbers, .*, got '1,2'"),
        ({"layer_weights": {0: 1.0}}, "layer_weights must be a list of numbers, .*, got dict"),
        ({"layer_weights": {1.0, 2.0}}, "layer_weights must be a list of numbers, .*, got set"),
        ({"layer_weights": torch.ones(1, 1)}, r"a list of numbers, .* shape \(1, 1\)"),
        ({"schedule": None}, "schedule must be one of .* or a Schedule, .*, got None"),
        ({"schedule": 1}, r"one of .* or a Schedule, such as Schedule\('cosine', .*, got 1"),
        ({"schedule": float}, "schedule must be one of .* or a Schedule, .*, got the class float"),
        ({"schedule": Schedule}, "one of .* or a Schedule, .*, got the class Schedule"),
        ({"gather": "no"}, "gather must be True or False, got 'no'"),
        ({"watch_collapse": 0}, "watch_collapse must be True or False, got 0"),
        ({"tied_weight": None}, "tied_weight must be a number, got None"),
    ],
)
def test_refuses_wrong_types(arguments, message):
    with pytest.raises(TypeError, match=message):
        TiedLoss(**arguments)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"target": torch.zeros(B)}, r"got shape \(3,\): class indices are integers, target.long"),
        (
            {"logits": FEATURES, "features": LOGITS, "target": torch.zeros(B, C)},
            r"\(2B, 7\), got shape \(3, 5\): logits, the first argument, have 7 columns",
        ),
        ({"target": TARGET[:2]}, r"B=3 or 2B=6 rows .*\(2,\): are these 3 views \(num_views\)"),
        ({"target": torch.zeros(B, C).long()}, r"got shape \(3, 5\): soft labels are floating"),
        ({"target": torch.zeros(4).long()}, r"B=3 or 2B=6 rows .*, got shape \(4,\)$"),
        ({"features": []}, "a list of one or more tensors, one for each layer, got 0"),
        (
            {"target": TARGET.to("meta")},
            r"target is on meta, logits are on cpu: move it there with target.to\(logits.device\)",
        ),
    ],
)
def test_refuses_inputs_with_a_hint(inputs, message):
    arguments = {"logits": LOGITS, "features": FEATURES, "target": TARGET} | inputs
    with pytest.raises(ValueError, match=message):
        TiedLoss()(**arguments)


def test_refuses_a_weight_that_was_set_to_no_number():
    criterion = TiedLoss()
    criterion.tied_weight = "3"
    with pytest.raises(TypeError, match="tied_weight must be a number, got '3'"):
        criterion(LOGITS, FEATURES, TARGET)
    criterion.tied_weight = np.float32(2)
    assert criterion(LOGITS, FEATURES, TARGET) == TiedLoss()(LOGITS, FEATURES, TARGET)


@pytest.mark.parametrize("name", ["invariance", "variance", "covariance"])
def test_refuses_weights_of_vicreg_that_are_no_numbers(name):
    criterion = TiedLoss(similarity=partial(vicreg, **{name: "x"}))
    with pytest.raises(TypeError, match=f"{name} must be a number, got 'x'"):
        criterion(LOGITS, FEATURES, TARGET)
    tensor = TiedLoss(similarity=partial(vicreg, **{name: torch.tensor(0.5)}))
    number = TiedLoss(similarity=partial(vicreg, **{name: 0.5}))
    assert tensor(LOGITS, FEATURES, TARGET) == number(LOGITS, FEATURES, TARGET)


@pytest.mark.parametrize("make", [list, tuple, np.array, torch.tensor])
def test_takes_layer_weights_as_a_list_or_an_array(make):
    assert TiedLoss(layer_weights=make([1.0, 0.5])).layer_weights == (1.0, 0.5)


@pytest.mark.parametrize("weight", [1.0, -1.0, 0.01, 99.0])
def test_warns_where_l2_norm_ties_nothing(weight):
    message = r"'l2_norm' with tied_weight=.* ties next to nothing.* of the order of B \* D, or"
    with pytest.warns(UserWarning, match=message) as caught:
        criterion = TiedLoss(similarity="l2_norm", tied_weight=weight)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        criterion(LOGITS, FEATURES, TARGET)  # once, when it is made


def test_warns_of_no_other_similarity_and_of_no_weight_of_the_right_order():
    for name, entry in SIMILARITIES.items():
        TiedLoss(similarity=name, tied_weight=1e5 if entry.shrinks else 1.0)
    TiedLoss(similarity="l2_norm", tied_weight=0.0)  # not tied on purpose


def test_l2_norm_is_at_most_what_the_warning_says():
    torch.manual_seed(0)
    for pairs, width in ((2, 3), (256, 512)):
        first = torch.randn(pairs, width)
        assert SIMILARITIES["l2_norm"](first, -first).item() == pytest.approx(4 / (pairs * width))


def test_other_images_in_the_place_of_second_views_are_found_out():
    """A batch with one view per image, whose halves would be tied silently."""
    target = torch.tensor([0, 1, 2, 0, 3, 2])
    message = r"views 1 and 2 of sample 1 have 1 and 3: .*TwoView"
    for criterion in (TiedLoss(), TiedLoss(similarity="cka"), TiedLoss(lambda x, y: x.sum())):
        with pytest.raises(ValueError, match=message):
            criterion(LOGITS, FEATURES, target)
    three = TiedLoss(num_views=3)
    with pytest.raises(ValueError, match="views 1 and 3 of sample 0 have 0 and 2"):
        three(LOGITS, FEATURES, torch.tensor([0, 1, 0, 1, 2, 1]))
    # The views of an image may be labelled or not.
    TiedLoss()(LOGITS, FEATURES, torch.tensor([0, 1, 2, 0, -100, 2]))
