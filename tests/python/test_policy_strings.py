"""Config strings: what timm takes we take, what it refuses we refuse, with a better message."""

import itertools
import warnings

import pytest
from timm.data import create_transform

from tied_augment import View


def timm_takes(config):
    try:
        create_transform(32, is_training=True, auto_augment=config)
    except (AssertionError, ValueError):
        return False
    return True


def we_take(config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            View(32, auto_augment=config)
        except ValueError as error:
            message = str(error)
        else:
            return True
    assert message.startswith(f"auto_augment '{config}': ")
    return False


HEADS = ["rand", "augmix", "original", "originalr", "v0", "v0r", "3a"]
HEADS += ["v1", "randm9", "random", "augmix5", "Rand", " rand", "3aw", "v", "original "]
SECTIONS = [
    *("m9", "m0", "m09", "m9.5", "m", "m9n3", "m99", "M9", "m9 ", " m9", "m-9", "m9e1", "m1e3"),
    *("n3", "n0", "n2.0", "n14", "p0.5", "p1", "p7", "p1.5e-1", "p1e3", "p.5", "p0", "p1."),
    *("mstd0.5", "mstd1e999", "mstd101", "mstdinf", "mstd", "mstd0", "mstd1.2.3", "mstd1,5"),
    *("mmax20", "mmax0", "mmax1.5", "mmax", "inc1", "inc0", "inc2", "inc", "inc1.0", "incr"),
    *("w0", "w3", "w", "w1.5", "tweights", "t3a", "t3aw", "t", "tfoo", "t9", "translate0"),
    *("d2", "d0", "d-1", "d1.5", "a0.5", "a1", "a2e0", "b1", "b0", "b", "b1.5"),
    *("", "x", "x1", "9", "0.5", "uniform", "mstdx1", "\t", "mstd\t1"),
]


@pytest.mark.parametrize("head", HEADS)
def test_takes_what_timm_takes(head):
    taken = 0
    for count in (0, 1, 2) if head in HEADS[:7] else (0, 1):
        for sections in itertools.product(SECTIONS, repeat=count):
            config = "-".join((head, *sections))
            takes = timm_takes(config)
            taken += takes
            assert we_take(config) == takes, config
    assert taken or head not in HEADS[:7]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        # timm takes these and fails at the first image, or would run for ever.
        ("augmix-a0", "concentration 'a' must be above 0"),
        ("rand-n16-tweights", "'n16' is more than the 15 ops"),
        ("rand-n15-t3aw", "'n15' is more than the 14 ops"),
        ("rand-n1001", "'n1001' must be at most 1000"),
        ("augmix-w99999999999999999999", "must be at most 1000"),
        ("augmix-w1000-d1000", "'w1000' chains of 'd1000' ops are more than 1000 ops"),
        ("rand-mmax601", "'mmax601' must be at most 600"),
        # Python's int takes these; a typing error is more likely.
        ("rand-m1_0", "'m1_0' must be 'm' and an integer"),
        ("rand-m٣", None),
    ],
)
def test_refuses_more_than_timm_in_few_places(config, message):
    if message is None:  # no ASCII digit: a section without a number
        with pytest.warns(UserWarning, match="as it has no number"):
            View(32, auto_augment=config)
        return
    assert timm_takes(config)
    with pytest.raises(ValueError, match=message):
        View(32, auto_augment=config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("rand-x3", r"auto_augment 'rand-x3': 'x3' is not a section of 'rand'; it takes m \(magn"),
        ("rand-m9.5", r"'m9.5' must be 'm' and an integer"),
        ("rand-mstd0.5.1", r"'mstd0.5.1' must be 'mstd' and a number"),
        ("rand-w0", "timm removed the key w; 'tweights' chooses by weights"),
        ("augmix-p0.5", r"'p0.5' is not a section of 'augmix'; it takes m \(magnitude"),
        ("v0-m9", "'m9' is not a section of 'v0'; it takes mstd"),
        ("v2", "no policy is called 'v2'; there are rand, augmix, v0"),
        ("tv", "after tv- comes rand, trivial, auto or augmix"),
        ("tv-rand-x1", "'x1' is not a section of 'tv'; it takes n, m, b, p, i"),
        ("tv-rand-m31", "magnitude m31 must be below the 31 bins"),
        ("tv-rand-b1-m0", "bins, b, must be at least 2"),
        ("tv-rand-p2", "p must be a probability"),
        ("tv-rand-ibox", "'ibox' is not a section"),
        ("tv-rand-n", "'n' must be 'n' and an integer"),
        ("tv-trivial-m3", "'m3' is not a section of 'tv'; it takes b, i"),
        ("tv-auto", "after tv-auto- comes imagenet, cifar10 or svhn"),
        ("tv-auto-mnist", "after tv-auto- comes imagenet, cifar10 or svhn"),
        ("tv-augmix-m11", "severity m must be from 1 to 10"),
        ("tv-augmix-w0", "width w must be at least 1"),
    ],
)
def test_messages_name_the_part_and_the_remedy(config, message):
    with pytest.raises(ValueError, match=message):
        View(32, auto_augment=config)


@pytest.mark.parametrize(
    ("config", "remark"),
    [
        ("rand-m9-inc", "timm ignores 'inc', as it has no number"),
        ("rand-mstdinf", "timm ignores 'mstdinf', as it has no number"),
        ("rand-tfoo", "timm ignores 'tfoo', as the sets are weights, 3a and 3aw"),
        ("rand-t3a-tweights", "timm ignores 'tweights', as a set of transforms is given already"),
        ("rand-mstd1-mstd2", "timm ignores 'mstd2', as the key is given already"),
        ("original-", "timm ignores '', as it has no number"),
    ],
)
def test_says_what_timm_ignores(config, remark):
    with pytest.warns(UserWarning, match=remark) as caught:
        View(32, auto_augment=config)
    assert [warning.filename for warning in caught] == [__file__]


def test_an_empty_string_is_no_policy():
    assert View(32, auto_augment="") == View(32)


@pytest.mark.parametrize("interpolation", ["box", "hamming", "lanczos"])
def test_filters_that_pillow_has_for_resizing_only(interpolation):
    """timm takes them, and fails at the first rotation."""
    for config in ("rand-m9", "rand-tweights", "v0", "augmix-m3"):
        with pytest.raises(ValueError, match="interpolation must be 'random', 'nearest', 'bilin"):
            View(32, auto_augment=config, interpolation=interpolation)
    for config in ("3a", "rand-t3a", "tv-rand-n2-m9"):  # none of timm's geometric ops
        View(32, auto_augment=config, interpolation=interpolation)
