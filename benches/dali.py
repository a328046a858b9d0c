"""Two views of each file by NVIDIA DALI, for loader.py and peers.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


class Dali:
    """DALI's own pipeline on the CPU: crop and flip only, since its RandAugment needs a GPU.

    Only whole batches are made: those of the last files, if they are fewer, are left out.

    DALI's `run` always schedules AHEAD more batches, whose work would fall into the turn of the
    next loader. So only the batches of an epoch are scheduled here, as in the other loaders. Like
    DataLoader's workers, its threads start in the first iteration.
    """

    AHEAD = 2  # DALI's default

    def __init__(
        self,
        paths: list[str],
        threads: int,
        batch_size: int,
        side: int,
        scale: tuple[float, float],
    ) -> None:
        from nvidia.dali import fn, pipeline_def, types

        def view(images: Any, seed: int) -> Any:
            crop = fn.random_resized_crop(
                images,
                size=side,
                random_area=scale,
                interp_type=types.INTERP_CUBIC,
                seed=seed,
            )
            flip = fn.flip(crop, horizontal=fn.random.coin_flip(seed=seed + 2))
            return fn.transpose(flip, perm=[2, 0, 1])

        @pipeline_def(  # type: ignore[untyped-decorator]
            batch_size=batch_size,
            num_threads=threads,
            device_id=None,
            prefetch_queue_depth=self.AHEAD,
        )
        def pipeline() -> tuple[Any, Any]:
            files, _ = fn.readers.file(files=paths, random_shuffle=True, seed=4)
            images = fn.decoders.image(files, device="cpu", output_type=types.RGB)
            return view(images, 0), view(images, 1)

        self.pipeline = pipeline()
        self.begun = False
        self.batches = len(paths) // batch_size

    def __iter__(self) -> Iterator[Any]:
        # The first call schedules AHEAD batches, each later one a single batch.
        for _ in range(self.AHEAD if self.begun else 1):
            self.pipeline.schedule_run()
        self.begun = True
        for batch in range(self.batches):
            views = self.pipeline.share_outputs()
            yield [torch.utils.dlpack.from_dlpack(view.as_tensor()) for view in views]
            self.pipeline.release_outputs()
            if batch + self.AHEAD < self.batches:
                self.pipeline.schedule_run()
