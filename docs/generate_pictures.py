"""Draw docs/pictures/views.png, the README's view pairs, of photographs that ship in wheels.

    python docs/generate_pictures.py

``benches/peers.py --chart docs/pictures/speed.png`` draws the charts beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tied_augment import TwoView
from tied_augment.cli.demo.photos import POLICY, SIZE, VIEW, photographs
from tied_augment.sheet import contact_sheet, make_row

CHOSEN = ("astronaut", "chelsea", "coffee", "flower")
# Chosen for crops and ops that are easy to see.
SEED = 3


def main() -> None:
    """Write the picture."""
    photos = photographs()
    rows = [
        make_row(TwoView(VIEW), np.asarray(photos[name]), [name], index, 0, SEED)
        for index, name in enumerate(CHOSEN)
    ]
    title = f"Two views of each photograph: {SIZE} x {SIZE}, RandAugment {POLICY}"
    sheet = contact_sheet(rows, title, columns=2)
    sheet.save(Path(__file__).with_name("pictures") / "views.png", optimize=True)


if __name__ == "__main__":
    main()
