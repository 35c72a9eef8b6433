"""A real headless Chromium for the tests of the live page, driven by Selenium through Debian's chromedriver."""

import shutil
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.harness import eventually

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DISCONNECTED_WITHIN_S = 20.0
"""A page that hears nothing says so after 12 s."""


class Browser:
    """One window; what it does is done when a method returns."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))

    def close(self) -> None:
        """It has ended."""
        self.driver.quit()

    def open(self, url: str, width: int = 1280, *, dark: bool = False) -> None:
        """The page at `url`, in a window that wide, in a tab that knows no token."""
        self.driver.get("about:blank")
        self.look(width, dark=dark)
        self.driver.get(url)
        self.driver.execute_script("sessionStorage.clear()")
        self.complaints()

    def open_tab(self, url: str, *, hidden_max_ms: int) -> str:
        """Likewise in a tab before all others, for whose pages a minute is that short; its handle."""
        self.driver.switch_to.new_window("tab")
        shorter = f"const later = setTimeout; setTimeout = (f, ms) => later(f, ms === 60000 ? {hidden_max_ms} : ms);"
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": shorter})
        self.driver.get(url)
        return self.driver.current_window_handle

    def show_tab(self, handle: str) -> None:
        """This tab is before all others."""
        self.driver.switch_to.window(handle)
        self.driver.execute_cdp_cmd("Page.bringToFront", {})

    def close_tabs(self) -> None:
        """The window has its first tab alone."""
        first, *others = self.driver.window_handles
        for handle in others:
            self.driver.switch_to.window(handle)
            self.driver.close()
        self.show_tab(first)

    def look(self, width: int, *, dark: bool) -> None:
        """The window is that wide, and prefers dark colours or light ones; nothing moves."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})

    def text(self, name: str) -> str:
        """The text of the element with this id, as people see it."""
        return str(self.driver.find_element(By.ID, name).text)

    def shown(self, name: str) -> bool:
        """The element with this id can be seen."""
        return bool(self.driver.find_element(By.ID, name).is_displayed())

    def focused(self) -> str:
        """The id of the element that has the focus."""
        return str(self.driver.switch_to.active_element.get_attribute("id"))

    def usable(self, name: str) -> bool:
        """The button with this id does something."""
        return self.driver.find_element(By.ID, name).get_attribute("aria-disabled") != "true"

    def press(self, *keys: str) -> None:
        """Keys go to whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def tab_to(self, name: str, at_most: int = 30) -> None:
        """The focus is moved by the tabulator alone, until this element has it."""
        for _ in range(at_most):
            if self.focused() == name:
                return
            self.press(Keys.TAB)
        raise AssertionError(f"the tabulator does not lead to {name}")

    def script(self, text: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(text, *arguments)

    def rows(self) -> dict[str, list[str]]:
        """The table of members: by name, what the other cells say."""
        found = self.script(
            "return [...document.querySelectorAll('#members-body tr')].map((row) =>"
            " [row.querySelector('.member-name').textContent, ...[...row.cells].slice(1).map((c) => c.textContent)])"
        )
        return {name: cells for name, *cells in found}

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.script("return document.documentElement.scrollWidth - window.innerWidth"))

    def complaints(self) -> list[str]:
        """What the console has said since the last call, but for requests that failed because a node was not there."""
        log: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # Selenium has no type here
        return [entry["message"] for entry in log if entry["source"] != "network"]

    async def says(self, name: str, text: str, within_s: float = 10.0) -> None:
        """The element comes to have this text in it."""

        async def check() -> bool:
            found = self.text(name)
            assert text in found, found
            return True

        await eventually(check, within_s, f"{name} says {text!r}")
