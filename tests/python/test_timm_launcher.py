"""The launcher around train.py: options, refusals, what is left alone."""

import shutil
import sys

import pytest
import ready_process
import timm.data.loader
import yaml
from timm_launch import ALL, BY_TASK, base_options, launch, rewritten, run_alone

from tied_augment import Views
from tied_augment.cli import main
from tied_augment.timm.arguments import DEFAULTS
from tied_augment.timm.errors import LaunchError
from tied_augment.timm.launcher import run_script


@pytest.fixture(params=ALL, ids=lambda path: path.stem)
def script(request):
    return request.param


def args_of(run):
    return yaml.safe_load((run.folder / "args.yaml").read_text())


def refusal(data, out, *options, script=BY_TASK, tied=True):
    """The error, of one line, with which a run stops before it writes anything."""
    with pytest.raises(LaunchError) as caught:
        launch(script, data, out, *options, tied=tied)
    assert not (out / "run").exists()
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- without the flag


def test_without_the_flag_nothing_is_different(script, train_folder, tmp_path):
    through = launch(script, train_folder, tmp_path, tied=False)
    files = {name: (through.folder / name).read_bytes() for name in ("args.yaml", "summary.csv")}
    assert b"tied" not in files["args.yaml"]
    assert "CE:" not in through.text
    assert vars(through.checkpoint()["args"]).keys() & DEFAULTS.keys() == set()

    shutil.rmtree(through.folder)  # args.yaml has its name
    alone = launch(script, train_folder, tmp_path, tied=False, run=run_alone)
    assert files == {name: (alone.folder / name).read_bytes() for name in files}


def test_timm_is_as_before_afterwards(train_folder, tmp_path):
    before = timm.data.loader.create_transform
    launch(BY_TASK, train_folder, tmp_path, "--tied-loader", "timm")
    assert timm.data.loader.create_transform is before


def test_help_shows_both_kinds_of_options(script, capsys):
    with pytest.raises(SystemExit) as caught:
        run_script(script, ["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {script.name}")
    for option in ("--mixup-mode", "--tied-augment", *DEFAULTS):
        assert option.replace("_", "-") in text


# --- options


def test_options_are_in_args_yaml_and_in_the_checkpoint(script, train_folder, tmp_path):
    run = launch(script, train_folder, tmp_path, "--tied-weight", "3", "--split-bn")
    expected = DEFAULTS | {"tied_augment": True, "tied_weight": 3.0}
    assert {name: args_of(run)[name] for name in DEFAULTS} == expected
    saved = vars(run.checkpoint()["args"])
    assert {name: saved[name] for name in DEFAULTS} == expected
    assert args_of(run)["split_bn"] is True
    assert saved["split_bn"] is True


def test_options_come_from_a_config_file(script, train_folder, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "tied_augment: true\ntied_weight: 0.5\ntied_similarity: cosine\nsmoothing: 0.0\n"
        "tied_feature_module: layer4\n"
    )
    run = launch(script, train_folder, tmp_path, "-c", str(config), tied=False)
    (row,) = run.summary
    assert row["train_tied_weight"] == 0.5
    assert 0 <= row["train_similarity"] <= 2
    assert args_of(run)["tied_similarity"] == "cosine"


def test_args_yaml_is_a_config_file_that_the_command_line_overrides(script, train_folder, tmp_path):
    run = launch(script, train_folder, tmp_path, "--tied-weight", "0.5", "--epochs", "2")
    again = ["-c", str(run.folder / "args.yaml"), "--tied-weight", "2"]
    run = launch(script, train_folder, tmp_path / "again", *again)
    (row,) = run.summary  # base_options has --epochs 1
    assert row["train_tied_weight"] == 2
    assert args_of(run)["tied_augment"] is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tied_wieght: 2", "unknown option tied_wieght: did you mean tied_weight?"),
        ("tied-weight: 2", "unknown option tied-weight: did you mean tied_weight?"),
        ("tie_weight: 2", "unknown option tie_weight: did you mean tied_weight?"),
        ("tied: {weight: 2}", "unknown option tied: see --help"),
        ("tied_loader: dali", "--tied-loader must be one of native, timm, got 'dali'"),
        ("tied_weight: [1, 2]", "--tied-weight takes finite numbers, got [1, 2]"),
        ("tied_weight: true", "--tied-weight takes finite numbers, got True"),
        ("tied_layer_weights: [x]", "--tied-layer-weights takes finite numbers, got 'x'"),
        ("tied_threads: 0", "--tied-threads must be a whole number from 1 to 65535, got 0"),
        ("tied_threads: 1.5", "--tied-threads must be a whole number from 1 to 65535, got 1.5"),
        ("tied_same_crop: 'false'", "--tied-same-crop must be true or false, got 'false'"),
        ("tied_aa2: no", "--tied-aa2 must be text, got False: put it in quotes"),
        ("tied_feature_module: 3", "--tied-feature-module must be text, got 3"),
        ("tied_similarity: [mse]", "--tied-similarity must be one of mse, "),
    ],
)
def test_a_config_file_is_checked(text, message, train_folder, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    assert message in refusal(train_folder, tmp_path, "-c", str(config))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--aug-splits 3", "--aug-splits 3 does not go with --tied-augment: leave it out"),
        ("--jsd-loss", "use --tied-similarity js"),
        ("--naflex-loader", "--naflex-loader does not go with --tied-augment"),
        ("--torchscript", "use --torchcompile"),
        ("--variable-batch-loss-scale sqrt", "it counts images, not samples"),
        ("--in-chans 1", "the views are RGB"),
        ("--input-img-mode L", "the views are RGB"),
        ("--mixup-mode half --mixup 1", "choose batch, pair or elem"),
        ("--split-bn --sync-bn", "--split-bn and --sync-bn: choose one"),
        ("--split-bn --tied-forward separate", "choose one"),
        ("--kd-model-name x --kd-distill-type feature --tied-forward separate", "does not go with"),
        ("--tied-weight nan", "--tied-weight takes finite numbers, got nan"),
        ("--tied-layer-weights 1 2", "--tied-layer-weights has 2 weights for 0 modules"),
        ("--tied-similarity dot", "--tied-similarity must be one of mse, l1, "),
        ("--tied-similarity MSE", "got 'MSE'; did you mean mse?"),
        ("--tied-similarity l2", "got 'l2'; did you mean mse?"),
        ("--tied-schedule step", "--tied-schedule must be one of constant, "),
        ("--tied-schedule linear", "got 'linear'; did you mean linear_up?"),
        ("--tied-similarity js --tied-feature-module layer3", "has no effect with --tied-sim"),
        ("--tied-similarity js --tied-layer-weights 1", "--tied-layer-weights has no effect with"),
        ("--tied-similarity cka -b 1", "needs batches of 2 or more: got -b 1"),
        ("--tied-similarity vicreg -b 1", "use a larger -b or another similarity"),
        ("--tied-own-flips", "--tied-own-flips has no effect without --tied-same-crop"),
        ("--tied-views 1", "needs 2 or more; to train on a single view leave out --tied-augment"),
        ("--tied-views 0", "--tied-views must be a whole number from 1 to 65535, got 0"),
        ("--tied-threads 65536", "--tied-threads must be a whole number from 1 to 65535, got 65"),
        ("--workers 65536", "--workers must be from 0 to 2**16 - 1, got 65536"),
        ("--tied-loader timm --tied-threads 2", "give --workers instead"),
        (
            "--tied-threads 2 --train-img-sizes 32 48 --tied-aa2 v0",
            "--tied-threads has no effect with timm's loader, used since with --train-img-sizes",
        ),
        ("--no-aug --tied-aa2 v0", "--tied-aa2 has no effect with --no-aug"),
        ("--no-aug --tied-clean-first", "--tied-clean-first has no effect with --no-aug"),
        ("--no-aug --tied-same-crop", "--tied-same-crop has no effect with --no-aug"),
        ("-b 33", "--batch-size 33 is larger than the 32 samples of the data set: use a smaller"),
        ("-b 33 --tied-loader timm", "--batch-size 33 is larger than the 32 samples of the data"),
        ("-b 3 --mixup 0.2", "-b 3: samples are mixed two by two, so batches must be even"),
        ("-b 3 --cutmix 1 --no-prefetcher", "so batches must be even; change -b"),
        ("--tied-feature-module head.fc", "has no module 'head.fc'"),
        ("--tied-feature-module layer5", "for example layer4, "),
        ("--num-classes 0", "name the module whose input are the features: --tied-feature-module"),
        ("--aa rand-m99-q3 --tied-aa2 v0", "--aa 'rand-m99-q3': 'q3' is not a section"),
        ("--tied-aa2 nonsense", "--tied-aa2 'nonsense': no policy is called 'nonsense'"),
        ("--hflip 2 --tied-aa2 v0", "--hflip must be a probability"),
        ("--workers -1", "--workers must be from 0"),
        ("--reprob 2", "--reprob must be a probability"),
        ("--remode foo --reprob 0.5", "--remode must be"),
        ("--aug-repeats 3", "--aug-repeats needs several processes"),
    ],
)
def test_what_does_not_work_is_refused_in_one_line(options, message, train_folder, tmp_path):
    assert message in refusal(train_folder, tmp_path, *options.split())


def test_tied_options_alone_have_no_effect_and_are_refused(train_folder, tmp_path):
    text = refusal(train_folder, tmp_path, "--tied-weight", "2", tied=False)
    assert text == "--tied-weight has no effect without --tied-augment: add that"


def test_the_flag_in_a_config_file_must_be_a_bool(train_folder, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("tied_augment: 'false'")
    text = refusal(train_folder, tmp_path, "-c", str(config), tied=False)
    assert text == "--tied-augment must be true or false, got 'false'"


@pytest.mark.parametrize(
    "options",
    [
        "--tied-feature-module layer3 --tied-layer-weights 0.5",
        "--tied-same-crop --tied-own-flips",
        "--tied-same-crop --tied-own-flips --tied-loader timm",
        "--tied-sim cosine",
    ],
)
def test_these_options_work(options, train_folder, tmp_path):
    assert len(launch(BY_TASK, train_folder, tmp_path, *options.split()).steps) == 4


@pytest.mark.parametrize("loader", ["native", "timm"])
def test_own_flips_are_of_one_crop(loader, train_folder, tmp_path, monkeypatch):
    made = []

    def record(*args, **kw):
        made.append(kw)
        return Views(*args, **kw)

    monkeypatch.setattr("tied_augment.timm.loader.Views", record)
    monkeypatch.setattr("tied_augment.timm.views.Views", record)
    options = ["--tied-same-crop", "--tied-own-flips", "--tied-loader", loader]
    launch(BY_TASK, train_folder, tmp_path, *options)
    assert made == [{"same_crop": True, "own_flips": True}]


@pytest.mark.parametrize(
    ("lacking", "missing"),
    [
        (("FastCollateMixup", "Mixup"), "it lacks Mixup, FastCollateMixup"),
        (("ClassificationTask",), "it lacks ClassificationTask or a parameter loss_fn"),
        (("_parse_args",), "is not a train.py of timm 0.9.16 or later: it lacks _parse_args"),
    ],
)
def test_a_script_of_another_shape_is_refused(lacking, missing, train_folder, tmp_path):
    removed = "".join(f"del {name}\n" for name in lacking)
    change = ('if __name__ == "__main__":', f"{removed}if 0:")
    script = rewritten(BY_TASK, tmp_path, change)
    assert missing in refusal(train_folder, tmp_path, script=script)


PARSER = "parser = shared.make_parsers()\n"


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (
            (PARSER, PARSER + "parser.add_argument('--tied-views')\n"),
            "",
            "the script has a tied option of its own: argument --tied-views",
        ),
        (
            (PARSER, PARSER + "parser.add_argument('--input-size', nargs=3, type=int)\n"),
            "--input-size 1 32 32",
            "--input-size 1 ...: the views have 3 channels; give 3",
        ),
        (
            ("create_model(**", "__import__('timm').create_model(**"),
            "",
            "the script made its model without create_model",
        ),
    ],
)
def test_what_a_script_may_not_do(change, options, says, train_folder, tmp_path):
    script = rewritten(BY_TASK, tmp_path, change)
    assert says in refusal(train_folder, tmp_path, *options.split(), script=script)


def test_an_epoch_without_the_tied_criterion_is_an_error(train_folder, tmp_path):
    other = "sum(each.sum() for each in task.parameters())"
    script = rewritten(BY_TASK, tmp_path, ('task(images, target)["loss"]', other))
    with pytest.raises(RuntimeError, match="an epoch without calling the tied criterion"):
        launch(script, train_folder, tmp_path)


def test_a_collate_function_of_the_script_is_refused(train_folder, tmp_path):
    script = rewritten(BY_TASK, tmp_path, ("collate_fn=collate", "collate_fn=len"))
    assert "a collate function of its own" in refusal(train_folder, tmp_path, script=script)


def test_a_package_that_only_the_script_needs_is_named_by_the_scripts_own_error(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("import a_package_of_the_script")
    with pytest.raises(ModuleNotFoundError, match="'a_package_of_the_script'"):
        main(["train", str(script)])


def test_a_package_of_the_extra_is_named_with_the_extra(tmp_path, capsys, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text("import timm")
    monkeypatch.setitem(sys.modules, "timm", None)
    assert main(["train", str(script)]) == 1
    assert "timm is not installed: pip install 'tied-augment[timm]'" in capsys.readouterr().err


def test_the_command_says_so_in_one_line(tmp_path, capsys):
    assert main(["train", str(tmp_path / "none.py"), "--tied-augment"]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("tied-augment train: error: there is no file ")
    assert error.count("\n") == 1
    (tmp_path / "train.txt").touch()
    assert main(["train", str(tmp_path / "train.txt"), "--tied-augment"]) == 1
    assert "train.txt is not a Python file: give the path of timm's" in capsys.readouterr().err


# --- as a command


def test_the_command_runs_a_script_beside_its_own_modules(train_folder, tmp_path):
    command = ["-m", "tied_augment", "train", BY_TASK, "--tied-augment"]
    done = ready_process.run(*command, *base_options(train_folder, tmp_path), ready="timm")
    assert done.returncode == 0, done.stderr
    assert "Sim: " in done.stderr
    assert (tmp_path / "run" / "summary.csv").exists()
