"""``python -m tied_augment`` is the command ``tied-augment``."""

import sys

from tied_augment.cli import main

if __name__ == "__main__":
    sys.exit(main())
