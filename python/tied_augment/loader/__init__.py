"""`TiedLoader`: view pairs in batches, made by threads that need no GIL.

`tied_loader` declares, `iteration` runs one epoch, `fetch` asks data sets that only Python can
read, `output` is the memory and the form of batches, `errors` what happens to samples that fail,
`samplers` the order. May import torch and `sources`; never timm.
"""

from tied_augment.loader.samplers import EpochSampler
from tied_augment.loader.tied_loader import TiedLoader

__all__ = ["EpochSampler", "TiedLoader"]
