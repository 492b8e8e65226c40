"""The page in a real browser: every test drives headless Chromium against a server of its own process."""

import contextlib
import json
import pathlib
import re
import shutil
import signal
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from bad_images import bad_files
from page_server import Server
from sample_scenes import SCENES, box_of

from vggfcn.app.safety import uploads

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
pytest.importorskip("gradio", reason='Gradio is not installed: pip install "vggfcn[app]"')
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 30


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running


class Page:
    """One visitor's browser window."""

    def __init__(self, address, profile, size=(1280, 900)):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        self.driver.get(address)
        self.see("#drop")

    def close(self):
        self.driver.quit()

    def see(self, css, text=""):
        """The first element shown that matches, and holds a text, waited for."""

        def shown(driver):
            found = driver.find_elements(By.CSS_SELECTOR, css)
            return next((one for one in found if one.is_displayed() and text in one.text), None)

        return WebDriverWait(self.driver, PATIENCE, 0.05, ignored_exceptions=[Exception]).until(shown)

    def drop(self, path):
        for button in self.driver.find_elements(By.CSS_SELECTOR, "#drop button[aria-label='Clear']"):
            button.click()
            self.see(".welcome")
        field = WebDriverWait(self.driver, PATIENCE).until(
            lambda driver: driver.find_element(By.CSS_SELECTOR, "#drop input[type=file]")
        )
        field.send_keys(str(path))

    def choose_class(self, name):
        field = self.see("#class input")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(name, Keys.ENTER)

    def source(self):
        return self.see("#heatmap img").get_attribute("src")

    def another_heatmap(self, before):
        WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: self.source() != before)

    def click(self, css, x, y):
        """Click at a fraction of an image's width and height."""
        script = """
            const box = arguments[0].getBoundingClientRect(), at = {bubbles: true, view: window,
              clientX: box.left + arguments[1] * box.width, clientY: box.top + arguments[2] * box.height};
            arguments[0].dispatchEvent(new MouseEvent("click", at));
        """
        self.driver.execute_script(script, self.see(css), x, y)

    def facts(self):
        script = """return ["dt", "dd"].map(tag =>
            [...document.querySelectorAll(`#cell ${tag}`)].map(one => one.innerText))"""
        names, values = self.driver.execute_script(script)
        return dict(zip(names, values, strict=True))

    def hosts(self):
        """Of every request that the browser has made for the page."""
        found = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                url = message["params"].get("request", message["params"])["url"]
                if re.match("(https?|wss?)://", url):
                    found.add(url.split("/")[2])
        return found


@pytest.fixture
def visit(server, tmp_path):
    opened = []

    def open_page(**options):
        opened.append(Page(server.address, tmp_path / f"profile-{len(opened)}", **options))
        return opened[-1]

    yield open_page
    for page in opened:
        page.close()


def test_an_image_its_heatmap_another_class_a_click_and_no_request_outside(visit, server):
    page = visit()
    page.drop(SCENES / "rocket.jpg")
    page.see("#summary", "highest probability")
    page.see("#summary", "24 x 34 windows, 32 pixels apart")
    assert float(page.see("#difference").text) < 1e-3
    before = page.source()
    left, top, right, bottom = box_of("rocket.jpg", 2)
    page.choose_class("2")
    page.see("#summary h2", "2")
    page.another_heatmap(before)
    page.click("#heatmap img", (left + right) / 2 / 1280, (top + bottom) / 2 / 960)
    page.see("#cell", "The window you clicked")
    facts = page.facts()
    assert float(facts["probability"]) > 0.5
    first, last = map(int, facts["columns, of 1280"].split(" to "))
    assert first < (left + right) / 2 < last
    assert last - first == 224
    page.click("#image img", 0.1, 0.1)
    WebDriverWait(page.driver, PATIENCE).until(lambda _: page.facts() != facts)
    assert float(page.facts()["probability"]) < 0.5
    assert page.hosts() == {f"127.0.0.1:{server.port}"}


def test_the_files_are_what_is_seen(visit):
    page = visit()
    page.drop(SCENES / "rocket.jpg")
    page.see("#summary", "highest probability")
    links = [one.get_attribute("href") for one in page.driver.find_elements(By.CSS_SELECTOR, ".files a")]
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in page.driver.get_cookies())
    image, numbers = (
        urllib.request.urlopen(urllib.request.Request(link, headers={"Cookie": cookie})).read() for link in links
    )
    assert image.startswith(b"\x89PNG")
    path = pathlib.Path(page.driver.capabilities["chrome"]["userDataDir"]) / "probabilities.npy"
    path.write_bytes(numbers)
    values = np.load(path)
    assert (values.shape, values.dtype) == ((960, 1280), np.float32)
    assert values.max() > 0.9
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(links[1])


def test_the_policy_stops_nothing_that_the_page_does(visit):
    page = visit()
    page.drop(SCENES / "rocket.jpg")
    page.see("#summary", "highest probability")
    said = [entry["message"] for entry in page.driver.get_log("browser")]
    assert [message for message in said if "Security Policy" in message or "status of 4" in message] == []
    assert page.driver.execute_script("return document.fonts.check('16px \"Source Sans Pro\"')")
    script = "return [...document.images].map(image => image.naturalWidth)"
    WebDriverWait(page.driver, PATIENCE).until(lambda driver: all(driver.execute_script(script)))
    assert len(page.driver.execute_script(script)) == 6


def test_what_was_uploaded_goes_with_the_page(visit, server):
    before = set(server.files())
    page = visit()
    page.drop(SCENES / "rocket.jpg")
    page.see("#summary", "highest probability")
    (first,) = set(server.files()) - before
    page.drop(SCENES / "chelsea.jpg")
    page.see("#summary", "highest probability")
    (second,) = set(server.files()) - before
    assert (first.name, second.name) == ("rocket.jpg", "chelsea.jpg")
    page.driver.get("about:blank")
    WebDriverWait(page.driver, PATIENCE).until(lambda _: not set(server.files()) - before)


def test_bad_files_are_said_in_the_page_and_the_server_goes_on(visit, tmp_path):
    bad_files(tmp_path)
    page = visit()
    for file, message in (("notes.jpg", "not an image"), ("cut.png", "damaged"), ("bomb.png", "more than")):
        page.drop(tmp_path / file)
        said = page.see(".message.error", message).text
        assert said.startswith(file)
        assert "/tmp" not in said
    page.drop(SCENES / "chelsea.jpg")
    page.see("#summary", "highest probability")
    assert not page.driver.find_elements(By.CSS_SELECTOR, ".message.error")
    page.choose_class("no such thing")
    page.see(".message.error", "Unknown class 'no such thing'")


def test_what_is_said_of_a_bad_file_stays_while_tensorflow_loads(tmp_path):
    bad_files(tmp_path)
    with Server(tmp_path) as server, contextlib.closing(Page(server.address, tmp_path / "profile")) as page:
        page.see("#loading", "One moment")
        page.drop(tmp_path / "notes.jpg")
        page.see(".message.error", "notes.jpg: not an image")
        WebDriverWait(page.driver, 2 * PATIENCE).until(
            lambda driver: not any(one.text for one in driver.find_elements(By.CSS_SELECTOR, "#loading"))
        )
        page.see(".message.error", "notes.jpg: not an image")


def test_a_file_too_large_is_refused(visit, tmp_path):
    (tmp_path / "huge.png").write_bytes(bytes(uploads.MAX_UPLOAD + 1))
    page = visit()
    page.drop(tmp_path / "huge.png")
    page.see("body", "exceed the maximum allowed size of 32.0 M")
    page.driver.refresh()
    page.drop(SCENES / "chelsea.jpg")
    page.see("#summary", "highest probability")


def test_two_users_at_once(visit):
    ann, bob = visit(), visit()
    ann.drop(SCENES / "rocket.jpg")
    bob.drop(SCENES / "chelsea.jpg")
    ann.see("#summary", "1280 x 960")
    bob.see("#summary", "highest probability")
    ann.choose_class("9")
    bob.choose_class("5")
    ann.see("#summary h2", "9")
    bob.see("#summary h2", "5")
    assert ann.source() != bob.source()


def test_a_sample_brings_its_weights_and_groups_of_classes_are_found(visit):
    page = visit()
    page.see("#samples button")
    page.driver.find_elements(By.CSS_SELECTOR, "#samples .thumbnail-item")[3].click()
    page.see("#summary", "1 x 68 windows, 4 pixels apart")
    assert page.see("#weights input").get_attribute("value") == "mnist-lenet5"


def test_a_class_that_is_chosen_while_the_map_is_computed_is_not_forgotten(visit):
    page = visit()
    page.drop(SCENES / "rocket.jpg")
    page.see("#heatmap", "step")
    page.choose_class("9")
    page.see("#summary h2", "9")
    assert not page.driver.find_elements(By.CSS_SELECTOR, ".message.error")


def test_a_narrow_screen_shows_all_without_scrolling_sideways(visit):
    page = visit(size=(500, 844))
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    page.drop(SCENES / "rocket.jpg")
    page.see("#summary", "highest probability")
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 390
    image = page.see("#heatmap img").rect
    assert image["width"] > 330
    assert image["y"] < page.see("#class").rect["y"]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_ends_quietly_and_leaves_nothing(tmp_path, by):
    folder = tmp_path / "temporary"
    folder.mkdir()
    with Server(folder) as server, contextlib.closing(Page(server.address, tmp_path / "profile")) as page:
        assert server.line == f"vggfcn is running at http://127.0.0.1:{server.port}/ (press Ctrl-C to stop)\n"
        page.drop(SCENES / "rocket.jpg")
        page.see("#summary", "highest probability")
        assert len(list(folder.glob(".vggfcn-*"))) == 1
        started = time.monotonic()
        code, rest, errors = server.stop(by)
    assert time.monotonic() - started < 10
    assert (code, rest, errors) == (0, "", "")
    assert list(folder.glob(".vggfcn-*")) == list(folder.rglob("*.jpg")) == []


def test_it_can_be_interrupted_while_it_starts(tmp_path):
    with Server(tmp_path) as server:
        assert server.stop() == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_names_that_lead_here_from_elsewhere_are_refused(server):
    asked = urllib.request.Request(server.address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(asked)
