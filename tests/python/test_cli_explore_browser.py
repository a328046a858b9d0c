"""tied-augment explore in a real browser: headless Chromium, if it is installed."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver"),
    # selenium and its websocket leave sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photos):
    root = tmp_path_factory.mktemp("explore")
    for number, photo in enumerate(photos[:3]):
        Image.fromarray(photo).save(root / f"{number}.jpg", quality=90)
    return root


@contextmanager
def served(*arguments):
    """The address of a server, which must end by Ctrl-C without a word on stderr."""
    command = [sys.executable, "-m", "tied_augment", "explore", "--no-browser", "--port", "0"]
    server = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield server.stdout.readline().strip()
    finally:
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
    assert errors == ""
    assert server.returncode == 0


@contextmanager
def browser(width=1400, height=1000):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu"):
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    # With the path of the driver, selenium looks for none in the network.
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    try:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield driver
        assert [entry["message"] for entry in driver.get_log("browser")] == []
    finally:
        driver.quit()


def wait_for(driver, condition):
    return WebDriverWait(driver, 30).until(lambda _: condition())


def control(driver, name):
    return driver.find_element(By.CSS_SELECTOR, f'[data-control="{name}"]')


def write(driver, name, text):
    field = control(driver, name)
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text or Keys.DELETE)


def note(driver, name):
    return driver.find_element(By.CSS_SELECTOR, f'[data-note="{name}"]').text


def code(driver):
    return driver.execute_script("return document.querySelector('.python pre')?.innerText || ''")


def views(driver):
    """The pixels of the views on the page, (3, h, w) each."""
    script = (
        "return [...document.querySelectorAll('.card')].filter(c => c.offsetParent)"
        ".map(c => c.querySelector('img').src)"
    )
    sources = [source.partition(",")[2] for source in driver.execute_script(script)]
    images = [Image.open(io.BytesIO(base64.b64decode(source))) for source in sources]
    return [np.asarray(image).transpose(2, 0, 1) for image in images]


def is_as_its_code(driver):
    """Whether the page shows the pixels that its code makes."""
    space = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code(driver), space)
    shown = views(driver)
    made = space["made"]
    return len(shown) == len(made) and all(map(np.array_equal, shown, made))


def opened(driver, url):
    driver.get(url)
    wait_for(driver, lambda: "made" in code(driver))


def test_the_page_shows_what_its_code_makes(folder):
    with served(folder) as url, browser() as driver:
        opened(driver, url)
        assert "0.jpg" in code(driver)
        assert is_as_its_code(driver)
        write(driver, "size", "64")
        write(driver, "views", "3")
        write(driver, "seed", "7")
        wait_for(driver, lambda: "seed=7" in code(driver) and "3 * [view]" in code(driver))
        assert len(views(driver)) == 3
        wait_for(driver, lambda: is_as_its_code(driver))
        driver.find_element(By.CSS_SELECTOR, '[aria-label="Next epoch"]').click()
        wait_for(driver, lambda: "epoch=1" in code(driver))
        wait_for(driver, lambda: is_as_its_code(driver))
        frames = driver.find_elements(By.CSS_SELECTOR, ".crops .frame")
        assert len(frames) == 3
        assert re.search(r"\d ms", driver.find_element(By.CSS_SELECTOR, ".facts").text)
        control(driver, "method").click()
        choose = """
            const items = [...document.querySelectorAll(".q-menu .q-item")];
            const dino = items.find(item => item.innerText === "DINO");
            dino?.click();
            return dino !== undefined;
        """
        wait_for(driver, lambda: driver.execute_script(choose))
        wait_for(driver, lambda: "presets.dino(64)" in code(driver) and len(views(driver)) == 10)
        wait_for(driver, lambda: is_as_its_code(driver))


def test_it_ends_while_a_tab_is_open(folder):
    with browser() as driver:
        with served(folder) as url:
            opened(driver, url)
        driver.get("about:blank")
        driver.get_log("browser")  # that the server has gone


def test_dragging_through_the_epochs_ends_at_the_last_one(folder):
    with served(folder) as url, browser() as driver:
        opened(driver, url)
        slider = driver.find_element(By.CSS_SELECTOR, ".drag .q-slider__thumb")
        mouse = webdriver.ActionChains(driver, duration=20).click_and_hold(slider)
        for _ in range(30):
            mouse.move_by_offset(9, 0)
        mouse.release().perform()
        # The browser's own value: the page gets it a little later.
        track = driver.find_element(By.CSS_SELECTOR, ".drag [role=slider]")
        epoch = track.get_attribute("aria-valuenow")
        assert int(epoch) > 100
        wait_for(driver, lambda: f"epoch={epoch}," in code(driver))
        wait_for(driver, lambda: is_as_its_code(driver))


def test_an_error_is_beside_its_field_and_goes_again(folder):
    with served(folder) as url, browser() as driver:
        opened(driver, url)
        before = code(driver)
        write(driver, "auto_augment", "rnad-m9")
        wait_for(driver, lambda: "no policy is called 'rnad'" in note(driver, "auto_augment"))
        assert code(driver) == before
        write(driver, "auto_augment", "augmix-m5")
        wait_for(driver, lambda: "augmix-m5" in code(driver))
        assert note(driver, "auto_augment") == ""
        write(driver, "seed", "-1")
        wait_for(driver, lambda: "seed must be from 0" in note(driver, "seed"))
        write(driver, "seed", "")
        wait_for(driver, lambda: "whole number" in note(driver, "seed"))
        write(driver, "seed", "12")
        wait_for(driver, lambda: "seed=12" in code(driver))
        write(driver, "auto_augment", "rand-m9-inc")
        wait_for(driver, lambda: "'inc'" in note(driver, "auto_augment"))
        wait_for(driver, lambda: is_as_its_code(driver))


def test_uploads(folder, tmp_path, monkeypatch, photos):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photos[3]).save("mine & <yours>.png")
    (tmp_path / "notes.jpg").write_text("not an image")
    with served(folder) as url, browser() as driver:
        opened(driver, url)
        before = code(driver)
        chooser = driver.find_element(By.CSS_SELECTOR, "input[type=file]")
        chooser.send_keys(str(tmp_path / "notes.jpg"))
        banner = driver.find_element(By.CSS_SELECTOR, ".banner")
        wait_for(driver, lambda: banner.text.startswith("notes.jpg: "))
        assert code(driver) == before
        chooser = driver.find_element(By.CSS_SELECTOR, "input[type=file]")
        chooser.send_keys(str(tmp_path / "mine & <yours>.png"))
        wait_for(driver, lambda: "mine & <yours>.png" in code(driver))
        assert banner.text == ""
        wait_for(driver, lambda: is_as_its_code(driver))


def test_a_page_without_images_waits_for_an_upload(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photos[3]).save("mine.png")
    without = tmp_path / "skimage"
    without.mkdir()
    (without / "__init__.py").write_text("raise ModuleNotFoundError(name='skimage')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    with served() as url, browser() as driver:
        driver.get(url)
        wait_for(driver, lambda: "upload one" in driver.page_source)
        chooser = driver.find_element(By.CSS_SELECTOR, "input[type=file]")
        chooser.send_keys(str(tmp_path / "mine.png"))
        wait_for(driver, lambda: '"mine.png"' in code(driver))
        assert is_as_its_code(driver)


def test_tabs_have_a_state_of_their_own(folder):
    with served(folder) as url, browser() as driver:
        opened(driver, url)
        first = driver.current_window_handle
        write(driver, "seed", "5")
        wait_for(driver, lambda: "seed=5" in code(driver))
        driver.switch_to.new_window("tab")
        opened(driver, url)
        assert "seed=0" in code(driver)
        write(driver, "seed", "6")
        wait_for(driver, lambda: "seed=6" in code(driver))
        driver.close()  # in the middle of its work, perhaps
        driver.switch_to.window(first)
        assert "seed=5" in code(driver)
        assert is_as_its_code(driver)


def test_nothing_is_requested_from_elsewhere(folder):
    with served(folder) as url, browser() as driver:
        opened(driver, url)
        write(driver, "size", "96")
        wait_for(driver, lambda: "96" in code(driver))
        entries = [
            json.loads(entry["message"])["message"] for entry in driver.get_log("performance")
        ]
        requested = {
            entry["params"]["request"]["url"]
            for entry in entries
            if entry["method"] == "Network.requestWillBeSent"
        }
        sockets = {
            entry["params"]["url"]
            for entry in entries
            if entry["method"] == "Network.webSocketCreated"
        }
    host = url.removeprefix("http://")
    requested = {address for address in requested if not address.startswith(("data:", "blob:"))}
    assert len(requested) > 10
    assert len(sockets) == 1
    assert all(address.startswith((url, f"ws://{host}")) for address in requested | sockets)


def test_only_this_machine_is_answered(folder):
    with served(folder) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert answer.status == 200
        # A name that someone's DNS leads to this machine.
        request = urllib.request.Request(url, headers={"Host": "example.com"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 400
        refused.value.close()
        # Another address of this machine, as other machines see it.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.parametrize("width", [360, 768, 1400])
def test_the_page_fits_its_window(folder, width):
    with served(folder) as url, browser(width) as driver:
        opened(driver, url)
        time.sleep(0.5)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_light_and_dark(folder):
    def brightness():
        color = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color)[:3])) / 3

    def system(scheme):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    with served(folder) as url, browser() as driver:
        system("dark")
        opened(driver, url)
        wait_for(driver, lambda: brightness() < 60)
        button = driver.find_element(By.CSS_SELECTOR, '[aria-label="Light or dark"]')
        button.click()  # to light
        wait_for(driver, lambda: brightness() > 200)
        button.click()  # to dark
        system("light")
        wait_for(driver, lambda: brightness() < 60)
        button.click()  # to that of the system
        wait_for(driver, lambda: brightness() > 200)
