"""`TiedLoader`: view pairs in batches, made by threads that need no GIL.

`tied_loader` declares, `arguments` checks, `order` says which samples make this process's batches,
`samplers` what their order follows from, `epochs` which epoch it is; `iteration` runs one, `fetch`
asks data sets that only Python can read, `output` is the memory and the form of batches, `state`
what is saved, `report` what is told. May import torch and what lies beside this folder; never timm.
"""

from tied_augment.loader.samplers import EpochSampler
from tied_augment.loader.tied_loader import TiedLoader

__all__ = ["EpochSampler", "TiedLoader"]
