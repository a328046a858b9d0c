"""Options of the command line: their names and defaults, and folders instead of images."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tied_augment import View
from tied_augment.cli import main, preview
from tied_augment.cli.options import Parser
from tied_augment.cli.pick import pick

REPOSITORY = Path(__file__).parents[2]


def views_of(*options):
    """The `Views` that preview makes of these options."""
    from tied_augment.cli.views import declared_views

    parser = Parser()
    subparsers = parser.add_subparsers(dest="command")
    preview.add_parser(subparsers)
    return declared_views(parser.parse_args(["preview", "image.jpg", *options]))


# --- two names


@pytest.mark.parametrize(
    ("ours", "timms", "field"),
    [
        ("--size=64", "--img-size=64", {"size": 64}),
        ("--interpolation=box", "--train-interpolation=box", {"interpolation": "box"}),
        ("--crop=rkrc", "--train-crop-mode=rkrc", {"crop": "rkrc"}),
        ("--auto-augment=rand-m9", "--aa=rand-m9", {"auto_augment": "rand-m9"}),
        ("--re-prob=0.25", "--reprob=0.25", {"re_prob": 0.25}),
        ("--re-mode=pixel", "--remode=pixel", {"re_mode": "pixel"}),
        ("--re-count=3", "--recount=3", {"re_count": 3}),
        ("--re-num-splits=2", "--resplit", {"re_num_splits": 2}),
    ],
)
def test_a_field_has_its_own_name_and_timms(ours, timms, field):
    # The other options of random erasing are refused without a probability.
    field = {"re_prob": 0.5} | field
    assert views_of("--re-prob=0.5", ours).views[0] == View(**field)
    assert views_of("--re-prob=0.5", timms).views[0] == View(**field)


def test_either_form_of_the_blur(capsys):
    blurred = ("--gaussian-blur-prob=0.5", "--gaussian-blur-sigma", "0.5", "3")
    fields = {"gaussian_blur_prob": 0.5, "gaussian_blur_sigma": (0.5, 3)}
    for text, kernel in (("9", 9), ("pillow", None)):
        made = views_of(*blurred, f"--gaussian-blur-kernel={text}").views[0]
        assert made == View(**fields, gaussian_blur_kernel=kernel)
    with pytest.raises(SystemExit, match="2"):
        views_of(*blurred, "--gaussian-blur-kernel=pil")
    assert "'pil' is neither a number of pixels nor 'pillow'" in capsys.readouterr().err


def test_preview_has_every_augmentation_option_of_train_py(capsys):
    """By the names that `View.from_args` reads from train.py's arguments."""
    source = (REPOSITORY / "python/tied_augment/view_from_timm.py").read_text()
    read = re.findall(r"\bargs\.(\w+)|\bgetattr\(args, \"(\w+)\"", source)
    names = {f"--{(one or other).replace('_', '-')}" for one, other in read}
    # These are not about a view: another transform, other images, the place where timm erases.
    names -= {"--no-aug", "--input-img-mode", "--no-prefetcher"}
    assert len(names) > 10
    with pytest.raises(SystemExit, match="0"):
        main(["preview", "--help"])
    assert names <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


def test_one_crop_with_flips_of_their_own():
    assert not views_of().same_crop
    assert views_of("--same-crop").same_crop
    assert not views_of("--same-crop").own_flips
    assert views_of("--same-crop", "--own-flips").own_flips


@pytest.mark.parametrize("option", ["--interp=box", "--re-p=1", "--auto=rand", "--epoch=1"])
def test_options_are_not_abbreviated(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["preview", "image.jpg", option])
    assert (
        f"there is no option {option.partition('=')[0]}: did you mean " in capsys.readouterr().err
    )


def test_parts_of_a_policy_that_timm_ignores_give_a_warning_that_names_the_option(tmp_path, capsys):
    image = tmp_path / "a.png"
    Image.new("RGB", (64, 64)).save(image)
    argv = ["preview", str(image), "--out", str(tmp_path / "o.png"), "--size=32"]
    assert main([*argv, "--aa", "rand-m9-foo"]) == 0
    assert re.fullmatch(
        r"tied-augment preview: warning: --aa 'rand-m9-foo': timm ignores 'foo'.*\n",
        capsys.readouterr().err,
    )


# --- folders


@pytest.fixture
def folder(tmp_path):
    """Ten classes with five images each, and a file that is not an image."""
    root = tmp_path / "images"
    for number in range(50):
        path = (
            root / f"class{number % 10}" / "deep" / f"{number:02}.{'jpg' if number % 2 else 'PNG'}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 40, 3), number, np.uint8)).save(path)
    (root / "class0" / "notes.txt").write_text("no image")
    return root


def chosen(folder):
    files, count = pick(folder)
    return [str(file.path.relative_to(folder)) for file in files], count


def test_images_are_picked_from_classes_far_apart(folder):
    files, count = chosen(folder)
    assert count == 50
    assert files == [f"class{n}/deep/0{n}.{'jpg' if n % 2 else 'PNG'}" for n in (0, 2, 5, 7)]
    assert chosen(folder) == (files, count)


def test_few_classes_are_taken_in_turn_and_images_far_apart(folder):
    assert chosen(folder / "class3") == ([f"deep/{n}.jpg" for n in ("03", "13", "23", "33")], 5)
    for number in range(2, 10):
        (folder / f"class{number}").rename(folder.parent / f"class{number}")
    files = ["class0/deep/00.PNG", "class0/deep/10.PNG", "class1/deep/01.jpg", "class1/deep/11.jpg"]
    assert chosen(folder) == (files, 10)


def test_fewer_images_than_are_picked(folder):
    for file in sorted((folder / "class0" / "deep").iterdir())[3:]:
        file.unlink()
    files, count = chosen(folder / "class0")
    assert len(files) == count == 3


def test_preview_takes_folders_and_files_mixed(folder, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    file = folder / "class1" / "deep" / "01.jpg"
    argv = ["preview", str(folder), str(file), str(folder / "class4"), "--out", str(out)]
    assert main([*argv, "--size=32", "--epochs=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{folder}: 4 of 50 images",
        f"{folder / 'class4'}: 4 of 5 images",
        f"18 views of 9 images written to {out}",
    ]


# --- the demo's default


def test_only_the_command_knows_how_many_seeds_the_demo_has():
    def recipe(*variables):
        done = subprocess.run(
            ["make", "--dry-run", "--no-print-directory", "demo", *variables],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()[-1].split()

    assert recipe()[-1] == "demo"
    assert recipe("SEEDS=2")[-2:] == ["--seeds", "2"]
