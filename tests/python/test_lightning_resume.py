"""TiedLoader in a LightningDataModule: a checkpoint goes on in the middle of an epoch."""

import runpy
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),  # the framework uses deprecated features
]

EPOCHS, BATCHES = 3, 4
EXAMPLE = Path(__file__).parents[2] / "examples" / "lightning_datamodule.py"


def photos(folder):
    """The DataModule of examples/lightning_datamodule.py."""
    example = runpy.run_path(str(EXAMPLE))
    return example["Photos"](str(folder), str(folder), size=32, batch_size=3)


class Seen(lightning.LightningModule):
    """Keeps the batches that it gets."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches = []

    def training_step(self, batch, _index):
        self.batches.append([part.clone() for part in batch])
        return self.weight * 1.0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trained(folder, root, callbacks=(), path=None):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet["limit_val_batches"] = 0
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, callbacks=list(callbacks), default_root_dir=root, **quiet
    )
    seen = Seen()
    trainer.fit(seen, datamodule=photos(folder), ckpt_path=path)
    return seen.batches


@pytest.mark.parametrize(
    ("when", "steps"),
    [({"every_n_train_steps": 3}, [3, 6, 9]), ({"every_n_epochs": 1}, [4, 8])],
    ids=["steps", "epochs"],
)
def test_a_checkpoint_goes_on_with_the_batches_of_an_uninterrupted_run(
    image_folder, tmp_path, when, steps
):
    keep = ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, **when)
    whole = trained(image_folder, tmp_path, [keep])
    assert len(whole) == EPOCHS * BATCHES
    for step in steps:
        rest = trained(image_folder, tmp_path, path=tmp_path / f"step={step}.ckpt")
        assert len(rest) == len(whole) - step
        for batch, wanted in zip(rest, whole[step:], strict=True):
            assert all(torch.equal(part, want) for part, want in zip(batch, wanted, strict=True))
