"""What timm's training needs of this package, under timm's own names.

`create_loader` takes the place of timm's. The only sub-package that imports timm.
"""

from tied_augment.timm.loader import create_loader

__all__ = ["create_loader"]
