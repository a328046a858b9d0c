"""What our policies draw against what timm and torchvision draw: two-sample tests, fixed seeds."""

import itertools

import numpy as np
import pytest
import scipy.stats
from draws import ours, policy_of_timm, timm_draws, timm_mixes, torchvision_draws
from test_policy_parity import TORCHVISION
from torchvision.transforms import autoaugment
from two_samples import chi_square, ranks, same_values

from tied_augment import View

# Together about 1,500 tests at 1e-5 each: were the seeds not fixed, one run in 65 would fail by
# chance.
ALPHA = 1e-5
COUNT = 4000
SIZE = (48, 64)

TIMM_POLICIES = [
    "rand-m9-mstd0.5-inc1",
    "rand-m9-n3-p0.8-mstd0.5",
    "rand",
    "rand-m10-inc1-mstd1e999",
    "rand-m7-mstd101-n1-p1",
    "rand-m14-mmax20-mstd3-inc1-p1",
    "rand-m9-tweights-mstd0.5-n4-p1",
    "rand-m8-n5-p1-t3aw-mstd1",
    "rand-m6-n3-p0.3-t3a-mstd2",
    "original",
    "original-mstd0.5",
    "originalr-mstd1",
    "v0",
    "v0r-mstd0.5",
    "3a",
    "3a-mstd3",
]


def compare(ours, theirs):
    """All p-values, by what they compare."""
    names = [[[name for name, _, _ in draw] for draw in draws] for draws in (ours, theirs)]
    yield "number of ops", chi_square(*([len(draw) for draw in draws] for draws in names))
    yield "ops", chi_square(*([name for draw in draws for name in draw] for draws in names))
    yield "lists", chi_square(*([tuple(draw) for draw in draws] for draws in names))
    # Of tables, whose magnitudes are few, these tell the entries apart.
    sizes = (
        [tuple((name, round(abs(value), 6)) for name, value, _ in draw) for draw in draws]
        for draws in (ours, theirs)
    )
    yield "lists with values", chi_square(*sizes)
    pairs = ([pair for draw in draws for pair in itertools.pairwise(draw)] for draws in names)
    yield "pairs", chi_square(*pairs)
    by_name = [{}, {}]
    for samples, draws in zip(by_name, (ours, theirs), strict=True):
        for draw in draws:
            for name, value, filter_ in draw:
                values, filters = samples.setdefault(name, ([], []))
                values.append(value)
                filters.append(filter_)
    pooled = ([], [])
    for name in sorted(by_name[0].keys() & by_name[1].keys()):
        (value, filters), (other_value, other_filters) = (samples[name] for samples in by_name)
        for pool, ranked in zip(pooled, ranks(value, other_value), strict=True):
            pool.extend(ranked)
        yield f"{name}'s value", same_values(value, other_value)
        yield f"{name}'s sign", chi_square(np.sign(value), np.sign(other_value))
        yield f"{name}'s filter", chi_square(filters, other_filters)
    # What is alike in all ops, as signs are, shows in all together.
    yield "values", scipy.stats.ks_2samp(*pooled).pvalue


# A table has many entries: a change of one shows in many draws only.
TABLES = {"v0": 60_000, "original": 60_000}
TABLES |= dict.fromkeys(("tv-auto-imagenet", "tv-auto-cifar10", "tv-auto-svhn"), 30_000)


def assert_same(ours, theirs):
    results = dict(compare(ours, theirs))
    assert len(results) > 4
    assert {what: p for what, p in results.items() if p < ALPHA} == {}


def our_draws(policy, digits=None, count=COUNT, **fields):
    view = View(SIZE, auto_augment=policy, **fields)
    return [ours(view.plan((50, 50), index=index)["ops"], digits) for index in range(count)]


@pytest.mark.parametrize("config", TIMM_POLICIES)
def test_draws_as_timm_does(config, monkeypatch):
    policy = policy_of_timm(config, SIZE)
    count = TABLES.get(config, COUNT)
    assert_same(our_draws(config, count=count), timm_draws(policy, SIZE, count, monkeypatch))


def test_a_filter_of_the_views_own_is_the_ops_filter(monkeypatch):
    policy = policy_of_timm("rand-m9-p1", SIZE, "nearest")
    theirs = timm_draws(policy, SIZE, COUNT, monkeypatch)
    mine = our_draws("rand-m9-p1", interpolation="nearest")
    assert_same(mine, theirs)
    assert {filter_ for draw in mine for _, _, filter_ in draw} == {None, "nearest"}


@pytest.mark.parametrize(
    ("config", "other"),
    [
        ("rand-m9-mstd0.5-inc1", "rand-m8-mstd0.5-inc1"),
        ("rand-m9-mstd0.5-inc1", "rand-m9-mstd0.8-inc1"),
        ("rand-m9-p0.5", "rand-m9-p0.55"),
        ("rand-n4-p1-tweights", "rand-n4-p1-inc1"),
        ("original", "originalr"),
        ("v0", "v0r"),
    ],
)
def test_the_comparison_can_fail(config, other, monkeypatch):
    theirs = timm_draws(policy_of_timm(other, SIZE), SIZE, COUNT, monkeypatch)
    results = dict(compare(our_draws(config), theirs))
    assert min(results.values()) < ALPHA


AUGMIX = ["augmix", "augmix-m5-w4-d2", "augmix-m8-mstd1-a0.4", "augmix-m5-w2-a3-b1"]


@pytest.mark.parametrize("config", AUGMIX)
def test_mixes_as_timm_does(config, monkeypatch):
    theirs = timm_mixes(policy_of_timm(config, SIZE), SIZE, COUNT // 2, monkeypatch)
    view = View(SIZE, auto_augment=config)
    mine = []
    for index in range(COUNT // 2):
        (_, mix), *rest = [op for op in view.plan((50, 50), index=index)["ops"] if op[0] == "Mix"]
        assert not rest
        weights = np.array([weight for weight, _ in mix["chains"]], float)
        if mix["mixing"] == "blends":
            weights *= np.cumprod([1, *(1 - weights)[::-1]])[:-1][::-1]
            amount = weights.sum()
            weights /= amount
        else:
            amount = mix["amount"]
        mine.append((weights, amount, [ours(ops) for _, ops in mix["chains"]]))
    chains = [[chain for mix in mixes for chain in mix[2]] for mixes in (mine, theirs)]
    assert_same(*chains)
    for which in range(len(mine[0][0])):
        weights = ([mix[0][which] for mix in mixes] for mixes in (mine, theirs))
        assert same_values(*weights) > ALPHA, which
    largest = ([max(mix[0]) for mix in mixes] for mixes in (mine, theirs))
    assert same_values(*largest) > ALPHA
    assert same_values(*([mix[1] for mix in mixes] for mixes in (mine, theirs))) > ALPHA


@pytest.mark.parametrize("config", [name for name in TORCHVISION if "augmix" not in name])
def test_draws_as_torchvision_does(config, monkeypatch):
    policy, _, _ = TORCHVISION[config]
    count = TABLES.get(config, COUNT)
    mine = our_draws(config, digits=9, count=count)
    theirs = torchvision_draws(policy, SIZE, count, monkeypatch)
    if "-p0.8" in config:  # RandomApply, which the recorded policy lacks
        applied = [draw for draw in mine if draw]
        assert scipy.stats.binomtest(len(applied), len(mine), 0.8 * (1 - 14**-3)).pvalue > ALPHA
        mine, theirs = applied, [draw for draw in theirs if draw]
    assert_same(mine, theirs)


def test_mixes_as_torchvision_does(monkeypatch):
    view = View(SIZE, auto_augment="tv-augmix-m5-w2-a0.7")
    policy = autoaugment.AugMix(5, 2, alpha=0.7)
    weights = []
    dirichlet = policy._sample_dirichlet

    def sample(parameters):
        weights.append(dirichlet(parameters))
        return weights[-1]

    policy._sample_dirichlet = sample
    theirs = torchvision_draws(policy, SIZE, 1000, monkeypatch)
    mixes = [view.plan((50, 50), index=index)["ops"][-1][1] for index in range(1000)]
    mine = [[op for _, ops in mix["chains"] for op in ours(ops, 9)] for mix in mixes]
    assert_same(mine, theirs)
    images = [float(weight[0, 0]) for weight in weights[::2]]
    firsts = [float(w[0, 0] * i[0, 1]) for i, w in zip(weights[::2], weights[1::2], strict=True)]
    assert same_values([mix["image"] for mix in mixes], images) > ALPHA
    assert same_values([mix["chains"][0][0] for mix in mixes], firsts) > ALPHA
