"""`TiedLoader`: view pairs in batches, made by threads that need no GIL.

What each module holds, from the user to the core:

* `tied_loader`: the class; `arguments`: what its arguments may be; `report`: what it tells.
* `epochs`: which epoch comes next; `state`: what is saved of it; `progress`: how far it has got.
* `data`: which samples make the batches, and who reads them; `indexed` for map-style data sets,
  `streamed` for iterable ones; `samplers`, `share`: their order, and this rank's part of it.
* `iteration`: one epoch under way; `pending`: one batch under way; `feed`, `fetch`: how it gets to
  the core; `memory`, `output`: where it is written, and the form in which it is delivered.

May import torch and what lies beside this folder; never timm.
"""

from tied_augment.loader.samplers import EpochSampler
from tied_augment.loader.tied_loader import TiedLoader

__all__ = ["EpochSampler", "TiedLoader"]
