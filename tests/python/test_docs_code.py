"""The Python code of docs/*.md runs as printed, page by page. README's is run by test_examples.py.

Each page gets small images under the names that it uses, small models in place of the large ones,
and what its text assumes: `ASSUMED`, and `GIVEN` for all pages.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tied_augment.cli import main

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = {
    path.name: blocks for path in DOCS.glob("*.md") if (blocks := BLOCK.findall(path.read_text()))
}

SMALL = {
    r"\bresnet(18|50)\b": "test_resnet",
    r"\bpretrained=True": "pretrained=False",
    r"\bbatch_size=\d+": "batch_size=4",
}

GIVEN = """
import timm, torch
import torch.nn.functional as F
from torchvision.datasets import ImageFolder
from tied_augment import Normalize, TiedLoader, TiedLoss, TiedModel, TwoView, View, Views
epochs, device = 2, "cpu"
"""

ASSUMED = {
    "evaluation.md": "model = timm.create_model('test_resnet')",
    "fused.md": """
import numpy as np
random = np.random.default_rng(0)
logits, features, target = random.random((8, 5)), random.random((8, 6)), np.arange(4)
""",
    "loader.md": """
from pathlib import Path
views, path = TwoView(View(32)), Path("run.pth")
model = timm.create_model("test_resnet")
""",
    "loss.md": """
loader = TiedLoader("imagenet/train", TwoView(View(32)), batch_size=4)
model = TiedModel(timm.create_model("test_resnet", num_classes=3), normalize=Normalize())
""",
    "masks.md": """
import numpy as np
height, width, epoch = 200, 300, 1
mask, boxes = np.zeros((200, 300), np.uint8), np.array([[10.0, 10, 90, 60]])
""",
    "recipes.md": """
folder = "imagenet/train"
plain = timm.create_model("test_resnet", num_classes=3)
""",
    "scale.md": """
import torch.distributed as dist
from pathlib import Path
views, path, save = TwoView(View(32)), Path("run.pth"), torch.save
model = timm.create_model("test_resnet")
""",
    "timm.md": """
from tied_augment.timm import create_dataset
dataset = create_dataset("", "imagenet/train")
model = timm.create_model("test_resnet", num_classes=3)
""",
    "views.md": """
from PIL import Image
dataset = ImageFolder("imagenet/train")
backbone = momentum_backbone = timm.create_model("test_resnet", num_classes=0)
""",
}


@pytest.fixture
def images(image_folder, tmp_path, monkeypatch):
    """The working directory, with the folders and files that the pages name."""
    for name in ("imagenet/train", "imagenet/val", "photos", "pets"):
        shutil.copytree(image_folder, tmp_path / name)
    for name in ("dog.jpg", "photo.jpg"):
        Image.fromarray(np.full((200, 300, 3), 90, np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def one_process(monkeypatch):
    """What torchrun sets for a single process."""
    values = {
        "RANK": 0,
        "WORLD_SIZE": 1,
        "LOCAL_RANK": 0,
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": 0,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("page", sorted(PAGES))
@pytest.mark.usefixtures("images", "one_process")
def test_the_code_runs(page):
    if page == "packed.md":
        assert main(["pack", "imagenet", "packed"]) == 0
    names = {}
    exec(compile(GIVEN + ASSUMED.get(page, ""), f"what {page} assumes", "exec"), names)
    for number, block in enumerate(PAGES[page], 1):
        for large, small in SMALL.items():
            block = re.sub(large, small, block)
        exec(compile(block, f"{page}, block {number}", "exec"), names)


def test_assumptions_are_of_pages_with_code():
    assert set(ASSUMED) <= set(PAGES)
