"""The options of train.py that work with --tied-augment, each in a run of 4 steps per epoch.

The scripts are those in tests/timm_train and each train.py that TIMM_TRAIN_SCRIPT names (paths,
separated as in PATH).
"""

import csv
from itertools import product

import pytest
from timm_launch import ALL, BY_TASK, REAL, launch

pytestmark = pytest.mark.integration

# One run each. An asterisk marks options that not every train.py has.
OPTIONS = [
    "",
    "--smoothing 0",
    "--bce-loss",
    "--channels-last",
    "--model test_vit --grad-checkpointing",
    "* --model-dtype bfloat16",
    "--amp --amp-dtype bfloat16",
    "--model-ema --model-ema-decay 0.9",
    "--grad-accum-steps 2",
    "--grad-accum-steps 3 --mixup 0.2",
    "--use-multi-epochs-loader --tied-loader timm --workers 1",
    "--clip-grad 1",
    "--clip-grad 0.01 --clip-mode agc",
    "--clip-grad 0.1 --clip-mode value",
    "--layer-decay 0.7",
    "--opt adamw --drop 0.1",
    "--split-bn",
    "--resplit --reprob 0.5",
    "--no-prefetcher --resplit --reprob 0.5",
    "--no-prefetcher --resplit --reprob 0.5 --tied-loader timm",
    "--mixup 0.2",
    "--mixup 0.2 --cutmix 1 --bce-loss",
    "--mixup 0.2 --mixup-mode pair",
    "--mixup 0.2 --cutmix 1 --mixup-mode elem",
    "--mixup 0.2 --mixup-mode elem --tied-loader timm",
    "--cutmix-minmax 0.2 0.8",
    "--no-prefetcher --mixup 0.2",
    "--no-prefetcher --mixup 0.2 --cutmix 1 --mixup-mode pair",
    "--no-prefetcher --cutmix 1 --mixup-mode elem",
    "--mixup 0.2 --mixup-off-epoch 1 --epochs 2",
    "--no-prefetcher --mixup 0.2 --mixup-off-epoch 1 --epochs 2",
    "--no-aug",
    "--aa rand-m9-mstd0.5-inc1",
    "--aa rand-m9-mstd0.5-inc1 --tied-loader timm",
    "--aa augmix-m3 --tied-clean-first --tied-same-crop",
    "--aa v0 --tied-aa2 none --tied-loader timm",
    "--train-crop-mode rkrr --color-jitter-prob 0.5 --grayscale-prob 0.2 --gaussian-blur-prob 0.2",
    "* --train-img-sizes 32 48",
    "* --train-img-sizes 32 48 --mixup 0.2 --no-prefetcher",
    "--tied-forward separate --model-ema",
    "--tied-supervise first --tied-weight -0.5",
    "--tied-similarity vicreg --tied-schedule cosine --epochs 2",
    "--tied-feature-module layer3 layer4 --tied-layer-weights 0.1 0.2 --mixup 0.2",
    "--torchcompile aot_eager --mixup 0.2 --epochs 2",
    "--tied-views 3 --aa rand-m9-mstd0.5-inc1",
    "--tied-views 4 --mixup 0.2 --cutmix 1 --mixup-mode elem",
    "--tied-views 3 --mixup 0.2 --resplit --reprob 0.5 --tied-loader timm",
    "--tied-views 3 --no-prefetcher --mixup 0.2 --mixup-mode pair --resplit --reprob 0.5",
    "--tied-views 3 --split-bn",
    "--tied-views 3 --tied-forward separate --tied-similarity js",
    "--tied-views 3 --aa v0 --tied-aa2 none --tied-clean-first --tied-same-crop",
]
# They import modules that take seconds, or compile for seconds.
SLOW = [
    "--amp --amp-dtype float16",
    "--torchcompile inductor",
    "--tied-views 3 --torchcompile aot_eager --mixup 0.2 --epochs 2",
]
# With --device cuda in addition.
ON_A_GPU = [
    "--amp --channels-last --pin-mem",
    "--amp --amp-dtype bfloat16 --channels-last --aa rand-m9-mstd0.5-inc1",
    "--amp --no-prefetcher --pin-mem --mixup 0.2 --cutmix 1",
    "--amp --mixup 0.2 --mixup-mode elem --tied-loader timm --workers 1 --pin-mem",
    "--resplit --reprob 0.5 --pin-mem",
    "--tied-similarity cka --tied-schedule cosine --epochs 2",
    "--split-bn --model-ema --model-ema-decay 0.9 --grad-accum-steps 2",
    "--tied-forward separate --tied-views 3",
]
IN_GRAPHS = "--torchcompile inductor --torchcompile-mode reduce-overhead --epochs 2"


def name_of(value):
    return value.stem if hasattr(value, "stem") else value or "plain"


@pytest.mark.parametrize("script", ALL, ids=name_of)
@pytest.mark.parametrize(
    "options",
    [*OPTIONS, *(pytest.param(options, marks=pytest.mark.slow) for options in SLOW)],
    ids=name_of,
)
def test_option(script, options, train_folder, tmp_path):
    asked = options.removeprefix("* ").split()
    if options.startswith("*") and asked[0] not in script.read_text() and script in REAL:
        pytest.skip(f"{script.name} has no {asked[0]}")
    check(launch(script, train_folder, tmp_path, *asked), options)


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("options", "script"),
    # Compiling takes so long that one script has to do.
    [*product(ON_A_GPU, ALL), (IN_GRAPHS, BY_TASK)],
    ids=name_of,
)
def test_option_on_a_gpu(script, options, train_folder, tmp_path):
    check(launch(script, train_folder, tmp_path, "--device", "cuda", *options.split()), options)


def check(run, options):
    """What is logged, and the summary."""
    epochs = 2 if "--epochs 2" in options else 1
    assert len(run.steps) >= 2 * epochs  # timm logs updates, of which accumulation has fewer
    for line in run.steps:
        assert "nan" not in line
        assert all(part in line for part in ("CE: ", "Sim: ", "Weight: ", "Cos: "))
    rows = run.summary
    assert len(rows) == epochs
    for row in rows:
        assert row["train_ce"] > 0
        assert row["train_similarity"] >= 0
        assert -1 <= row["train_feature_cosine"] <= 1.001
        if "--tied-schedule" not in options and "--amp" not in options and "bf" not in options:
            expected = row["train_ce"] + row["train_tied_weight"] * row["train_similarity"]
            assert row["train_loss"] == pytest.approx(expected, rel=1e-4)


def test_the_summary_is_one_table(train_folder, tmp_path):
    run = launch(BY_TASK, train_folder, tmp_path, "--epochs", "2")
    with open(run.folder / "summary.csv") as file:
        widths = {len(row) for row in csv.reader(file)}
    assert len(widths) == 1
