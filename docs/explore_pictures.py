"""Take docs/pictures/explore.png and explore-dark.png: the page of ``tied-augment explore``.

    python docs/explore_pictures.py

Needs chromium and chromedriver, and the packages selenium and scikit-image.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

PICTURES = Path(__file__).with_name("pictures")
SIZE = (1280, 760)
# An epoch with crops and ops that are easy to see.
EPOCH = 37
_SHOWN = "return document.querySelector('.python pre')?.innerText.includes('epoch={}') ?? false"

_NEXT = "document.querySelector('[aria-label=\"Next epoch\"]').click()"


def main() -> None:
    """Write the pictures."""
    command = [sys.executable, "-m", "tied_augment", "explore", "--no-browser", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        for scheme, name in (("light", "explore.png"), ("dark", "explore-dark.png")):
            driver = _browser(scheme)
            try:
                _take(driver, url, PICTURES / name)
            finally:
                driver.quit()
    finally:
        server.terminate()
        server.wait()


def _browser(scheme: str) -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for option in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{option}")
    # With the path of the driver, selenium looks for none in the network.
    service = webdriver.ChromeService(shutil.which("chromedriver") or "")
    driver = webdriver.Chrome(options=options, service=service)
    width, height = SIZE
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    return driver


def _take(driver: Any, url: str, path: Path) -> None:
    driver.get(url)
    for epoch in range(EPOCH + 1):
        if epoch:
            driver.execute_script(_NEXT)
        shown = _SHOWN.format(epoch)
        WebDriverWait(driver, 30).until(partial(_true, shown))
    image = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    # 256 colours: half the size.
    colors = image.quantize(256)
    image.quantize(palette=colors, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(path, os.path.getsize(path) // 1024, "KB")


def _true(script: str, driver: Any) -> bool:
    return bool(driver.execute_script(script))


if __name__ == "__main__":
    main()
