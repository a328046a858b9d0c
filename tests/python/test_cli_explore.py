"""tied-augment explore without a browser: its pictures, its code, its errors."""

import io
import json
import shlex
import socket
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from commands import error_of
from packed_sets import pack_folder, write_good
from PIL import Image

from tied_augment import View, decode, render
from tied_augment.cli.errors import CommandError
from tied_augment.cli.explore.code import plans_json, python_code, timm_command
from tied_augment.cli.explore.photos import MOST_PHOTOS, built_in, of_paths, opened, uploaded
from tied_augment.cli.explore.pictures import crops_svg, draw
from tied_augment.cli.explore.settings import METHODS, SettingError, Settings, declared
from tied_augment.timm.arguments import DEFAULTS, add_options
from tied_augment.timm.views import declared_views
from tied_augment.view_from_timm import options_from_args

SHARED = Path(__file__).parents[1] / "timm_train"


@pytest.fixture
def photo(tmp_path, photos, monkeypatch):
    """A JPEG file in the working directory, opened."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photos[1]).save("dög's.jpg", quality=92)
    (found,) = of_paths([Path("dög's.jpg")])
    return opened(found)


def drawn_settings(rng, timms=False):
    """Settings as a user may choose them; with `timms`, of those that train.py has."""
    crops = ["rrc", "rkrc", "rkrr"] + ["pad", "center", "squash", "border"] * (not timms)
    crop = str(rng.choice(crops))
    view = {
        "crop": crop,
        "scale": (0.25, 0.9) if rng.random() < 0.5 else None,
        "ratio": (0.5, 2.0) if rng.random() < 0.5 else None,
        "interpolation": str(rng.choice(["random", "bilinear", "bicubic"])),
        "hflip": float(rng.choice([0, 0.5, 1])),
        "vflip": float(rng.choice([0, 0.3])),
        "auto_augment": str(
            rng.choice(["", "rand-m9-mstd0.5-inc1", "augmix-m5", "tv-trivial", "3a", "original"])
        ),
        "grayscale_prob": float(rng.choice([0, 0.5])),
        "gaussian_blur_prob": float(rng.choice([0, 0.5])),
    }
    if not view["auto_augment"]:
        view["color_jitter"] = float(rng.choice([0, 0.4]))
    if not timms:
        view |= {
            "solarize_prob": float(rng.choice([0, 0.5])),
            "cutout": int(rng.choice([0, 8])),
            "re_prob": float(rng.choice([0, 1])),
            "re_mode": str(rng.choice(["const", "rand", "pixel"])),
        }
    same = bool(rng.random() < 0.3)
    return Settings(
        size=int(rng.choice([32, 48])),
        views=int(rng.integers(2 if timms else 1, 6)),
        same_crop=same,
        own_flips=same and bool(rng.random() < 0.5),
        view=view,
        seed=int(rng.integers(1 << 40)),
        epoch=int(rng.integers(300)),
        index=int(rng.integers(1 << 40)),
    )


def pixels_of(shown):
    with Image.open(io.BytesIO(shown.png)) as image:
        assert image.mode == "RGB"
        return np.asarray(image).transpose(2, 0, 1)


def executed(code):
    space = {}
    exec(compile(code, "page", "exec"), space)
    return space["made"]


def assert_code_makes(settings, image):
    views, _ = declared(settings)
    page = draw(views, image, settings.draw)
    made = executed(python_code(settings, views, image.photo))
    assert len(made) == len(page.views) == len(page.plans)
    stored = json.loads(plans_json(page.plans))
    for shown, pixels, plan in zip(page.views, made, stored, strict=True):
        assert np.array_equal(pixels_of(shown), pixels)
        assert np.array_equal(render(image.sample, plan), pixels)


@pytest.mark.parametrize("number", range(40))
def test_the_code_makes_the_views_on_the_page(number, photo):
    assert_code_makes(drawn_settings(np.random.default_rng(number)), photo)


@pytest.mark.parametrize("method", [name for name in METHODS if name])
def test_the_code_of_a_method_makes_its_views(method, photo):
    assert_code_makes(Settings(method=method, size=64, seed=3, epoch=2), photo)


def test_the_code_has_the_number_of_small_views(photo):
    settings = Settings(method="dino", size=64, local_views=3)
    assert_code_makes(settings, photo)
    views, _ = declared(settings)
    assert len(views.views) == 5
    assert "presets.dino(64, local_views=3)" in python_code(settings, views, photo.photo)


def test_the_code_of_built_in_photographs_makes_their_views():
    settings = Settings(size=40)
    photos = built_in()
    assert len(photos) == 4
    for one in photos:
        assert_code_makes(settings, opened(one))


def test_the_code_of_a_packed_data_set_makes_its_views(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_good(Path("folder"))
    pack_folder(Path("folder"), Path("packed"))
    photos = of_paths([Path("packed")])
    assert len(photos) == 24
    for one in photos[::6]:
        assert_code_makes(Settings(size=40), opened(one))


def test_the_code_of_an_upload_has_its_name(photo):
    one = uploaded("a \"b\" 'c' \\ 犬.jpg", photo.sample)
    views, _ = declared(Settings())
    code = python_code(Settings(), views, one)
    names = []
    exec(code.split("made = ")[1], {"views": lambda name, **_: names.append(name)})
    assert names == [one.name]


@pytest.mark.parametrize("number", range(30))
def test_the_command_declares_the_views_on_the_page(number, photo, monkeypatch):
    settings = drawn_settings(np.random.default_rng(number), timms=True)
    views, _ = declared(settings)
    command, remark = timm_command(settings, views)
    monkeypatch.syspath_prepend(SHARED)
    try:
        import shared
    finally:
        sys.modules.pop("shared", None)
    _, parser = shared.make_parsers()
    add_options(parser)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:3] == ["tied-augment", "train", "train.py"]
    parser.set_defaults(**DEFAULTS)
    parser.set_defaults(model=None, mean=None, std=None, input_size=None)
    args = parser.parse_args(words[3:])
    assert args.tied_augment
    assert args.seed == settings.seed
    trained = declared_views(args, options_from_args(args))
    assert trained.sizes == views.sizes
    shape = photo.pixels.shape[:2]
    for one, other in zip(
        trained.plan(shape, **settings.draw), views.plan(shape, **settings.draw), strict=True
    ):
        assert one["crop"] == other["crop"]
        assert one["hflip"] == other["hflip"]
    expected = views(photo.sample, **settings.draw)
    for one, other in zip(trained(photo.sample, **settings.draw), expected, strict=True):
        assert np.array_equal(one, other) or "grayscale and blur from other numbers" in remark


def test_the_command_erases():
    settings = Settings(view={"re_prob": 0.25, "re_mode": "const", "auto_augment": "rand-m9"})
    views, _ = declared(settings)
    command, remark = timm_command(settings, views)
    assert "--reprob 0.25 --remode const" in command.replace(" \\\n   ", "")
    assert "--color-jitter" not in command
    assert remark == "train.py erases on the device, after the views."


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "byol"}, "no options for this method"),
        ({"views": 1}, "it needs 2 or more"),
        ({"view": {"crop": "pad"}}, "crop='pad'"),
        ({"view": {"solarize_prob": 0.5}}, "no option for solarize_prob"),
        ({"view": {"cutout": 8}}, "no option for cutout"),
    ],
)
def test_where_train_py_has_no_options_the_remark_says_so(changes, says):
    settings = Settings(**changes)
    command, remark = timm_command(settings, declared(settings)[0])
    assert command == ""
    assert says in remark


@pytest.mark.parametrize(
    ("changes", "control", "says"),
    [
        ({"view": {"auto_augment": "rnad-m9"}}, "auto_augment", "no policy is called 'rnad'"),
        ({"view": {"auto_augment": "augmix-a0"}}, "auto_augment", "augmix-a0"),
        ({"view": {"ratio": (-1, 4 / 3)}}, "ratio", "ratio"),
        ({"view": {"ratio": (2.0, 1.0)}}, "ratio", "ratio"),
        ({"view": {"cutout": 500}}, "cutout", "cutout"),
        ({"view": {"cutout": 1.5}}, "cutout", "cutout"),
        ({"size": 0}, "size", "size"),
        ({"size": 1.5}, "size", "size"),
        ({"size": None}, "size", "size must be a whole number"),
        ({"size": 5000}, "size", "at most 1024 on this page"),
        ({"views": 0}, None, "at least one View"),
        ({"views": 17}, "views", "at most 16 on this page"),
        ({"views": None}, "views", "views must be a whole number"),
        ({"method": "dino", "local_views": -1}, "local_views", "local_views"),
        ({"method": "dino", "local_views": 99}, "local_views", "at most 16"),
        ({"seed": -1}, "seed", "seed must be from 0"),
        ({"seed": 1.5}, "seed", "seed must be an integer"),
        ({"index": None}, "index", "index must be a whole number"),
        ({"own_flips": True}, "own_flips", "own_flips"),
    ],
)
def test_an_error_belongs_to_its_control(changes, control, says):
    with pytest.raises(SettingError, match=says) as caught:
        declared(Settings(**changes))
    assert caught.value.control == control


def test_a_hidden_number_of_views_is_no_error():
    assert len(declared(Settings(method="simclr", views=None))[0].views) == 2


@pytest.mark.parametrize(
    ("view", "control", "says"),
    [
        ({"auto_augment": "rand-m9-inc"}, "auto_augment", "'inc'"),
        ({"auto_augment": "rand-m9", "color_jitter": 0.4}, "color_jitter", "is not applied"),
    ],
)
def test_a_warning_belongs_to_its_control(view, control, says):
    _, ((name, text),) = declared(Settings(view=view))
    assert name == control
    assert says in text


def test_ranges_that_a_crop_does_not_use_are_left_out():
    views, remarks = declared(Settings(view={"crop": "center", "scale": (0.2, 1), "ratio": (1, 1)}))
    assert views.views[0] == View(224, crop="center")
    assert remarks == []


def test_an_image_that_does_not_fit_is_an_error(photo):
    settings = Settings(size=1000, view={"crop": "pad"})
    with pytest.raises(ValueError, match="use crop='rrc'"):
        draw(declared(settings)[0], photo, settings.draw)


def test_the_frames_are_the_crops_of_the_plans():
    boxes = [(10, 20, 50, 40), (0, 0, 200, 100), (10, 20, 50, 40), (-4, -4, 32, 32)]
    svg = ElementTree.fromstring(crops_svg(boxes, (100, 200)))
    frames = [rect for rect in svg.iter("rect") if rect.get("class") == "frame"]
    percents = [
        [float(rect.get(name).removesuffix("%")) for name in ("x", "y", "width", "height")]
        for rect in frames
    ]
    assert percents == [[5, 20, 25, 40], [0, 0, 100, 100], [5, 20, 25, 40], [-2, -4, 16, 32]]
    # Equal boxes take turns.
    assert [rect.get("stroke-dasharray") for rect in frames] == ["10 10", None, "10 10", None]
    assert frames[0].get("stroke-dashoffset") != frames[2].get("stroke-dashoffset")
    assert [text.text for text in svg.iter("text")] == ["1", "2", "3", "4"]


def test_the_image_on_the_page_is_the_file(photo):
    assert np.array_equal(photo.pixels, decode(photo.sample))
    with Image.open(io.BytesIO(photo.jpeg)) as image:
        assert image.size == (451, 300)
    large = opened(uploaded("x", np.zeros((3000, 100, 3), np.uint8)))
    with Image.open(io.BytesIO(large.jpeg)) as image:
        assert image.size == (40, 1200)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"not an image" * 100, b"\xff\xd8\xff\xe0"])
def test_an_upload_that_is_not_an_image_is_an_error(content):
    with pytest.raises(OSError, match=r"^notes\.txt: ."):
        opened(uploaded("notes.txt", content))


def test_a_file_that_has_gone_is_an_error(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (photo,) = of_paths([tmp_path])
    (tmp_path / "a.png").unlink()
    with pytest.raises(OSError, match=r"^a\.png: No such file"):
        opened(photo)


def test_a_folder_offers_a_spread_of_its_images(image_folder, tmp_path):
    photos = of_paths([image_folder])
    assert len(photos) == 12
    assert photos[0].name.startswith("class0")
    for number in range(MOST_PHOTOS + 50):
        (tmp_path / f"{number:03}.png").touch()
    many = of_paths([tmp_path])
    assert len(many) == MOST_PHOTOS
    assert many[-1].name > "240"


def test_paths_without_images_are_errors(tmp_path):
    with pytest.raises(CommandError, match="has no images"):
        of_paths([tmp_path])
    with pytest.raises(CommandError, match="there is no file or folder"):
        of_paths([tmp_path / "missing"])


def test_a_taken_port_is_an_error(capsys, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        says = error_of(capsys, "explore", tmp_path, "--port", port, "--no-browser")
    assert f"port {port} can't be used (Address already in use): " in says
    assert "--port 0" in says


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_an_error(capsys, port):
    assert f"--port must be from 0 to 65535, got {port}" in error_of(
        capsys, "explore", "--port", port
    )


def test_a_missing_package_names_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "nicegui", None)
    for name in [name for name in sys.modules if name.startswith("tied_augment.cli.explore.")]:
        monkeypatch.delitem(sys.modules, name)
    says = error_of(capsys, "explore", "--no-browser")
    assert "nicegui is not installed: pip install 'tied-augment[explore]'" in says
