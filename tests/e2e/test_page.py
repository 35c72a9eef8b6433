"""The live page in a real browser, on real nodes: what it shows, how it changes the value, what it says is wrong."""

import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.e2e.browser import CHROMEDRIVER, CHROMIUM, DISCONNECTED_WITHIN_S, Browser
from tests.e2e.harness import House, Node, Process, ensure_deferred, eventually

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER) and not os.environ.get("CI"),
    reason="no browser on this machine: install Debian's packages chromium and chromium-driver",
)
LOGIC = Path(__file__).with_name("page_logic.js").read_text(encoding="utf-8")
AXE = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
CONNECTIONS_PER_HOST = 6
KEEP_TEXTS = """
    window.texts = [];
    for (const name of arguments) {
      const place = document.getElementById(name);
      new MutationObserver(() => texts.push(place.textContent)).observe(place, { childList: true });
    }
"""
WRITE, READ = "write-token-of-tests", "read-token-of-tests"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests of this file."""
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


def violations(browser: Browser) -> list[str]:
    """The rules of accessibility that the page breaks, and where."""
    browser.script(AXE)
    found: list[dict[str, Any]] = browser.driver.execute_async_script(
        "const done = arguments[arguments.length - 1]; axe.run().then((found) => done(found.violations))"
    )
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]


async def members_are(browser: Browser, wanted: dict[str, str], within_s: float = 20.0) -> None:
    """The table has these statuses, in time."""

    async def check() -> bool:
        found = {name: cells[0] for name, cells in browser.rows().items()}
        assert found == wanted, found
        return True

    await eventually(check, within_s, f"the page shows {wanted}")


def wish(browser: Browser, text: str) -> None:
    """The dialog asks for a confirmation that this is to be written; its button has the focus."""
    browser.tab_to("edit")
    browser.press(Keys.ENTER, text)
    browser.tab_to("editor-go")
    browser.press(Keys.ENTER)


@ensure_deferred
async def test_it_shows_the_cluster_as_it_is(house: House, browser: Browser) -> None:
    """The value, who wrote it, the members; a write elsewhere at once, a crash in seconds; nothing on the console."""
    nodes = await house.cluster(3)
    browser.open(nodes[0].url)
    await browser.says("badge-text", "Live")
    await browser.says("value", "42")
    assert browser.text("node-name") == "n1"
    await members_are(browser, dict.fromkeys(("n1", "n2", "n3"), "alive"))
    await nodes[1].call("PUT", "/v1/value", json={"release": "v2", "big": 2**60})
    await browser.says("value", '"big": 1152921504606846976')
    assert browser.text("fact-origin") == "n2"
    await browser.says("value-held", "all 3 nodes")
    await browser.says("spread-summary", "of 1 change")
    assert browser.driver.title.startswith('{"big":11529')
    await nodes[2].kill()
    await members_are(browser, {"n1": "alive", "n2": "alive", "n3": "failed"})
    await browser.says("events", "member failed: n3")
    await browser.says("members-summary", "2 alive, 1 failed")
    await nodes[1].kill()
    await browser.says("notices", "Isolated.", 20)

    async def is_spoken() -> bool:
        return "isolated" in str(browser.script("return document.getElementById('announcer').textContent"))

    await eventually(is_spoken, 10, "who cannot see that is told, too")
    assert browser.complaints() == []


@ensure_deferred
async def test_the_value_is_changed_by_keyboard_alone(house: House, browser: Browser) -> None:
    """With a confirmation of what is replaced by what; what is no JSON is told before, and may be sent as text."""
    nodes = await house.cluster(2)
    browser.open(nodes[0].url)
    await browser.says("value", "42")
    browser.tab_to("edit")
    browser.press(Keys.ENTER)
    assert browser.focused() == "editor-text"
    browser.press("on")
    await browser.says("editor-fault", "choose “Text”")
    browser.press(Keys.TAB, Keys.ARROW_RIGHT)  # of JSON and Text, the other
    browser.tab_to("editor-go")
    browser.press(Keys.ENTER)
    assert (browser.text("editor-old"), browser.text("editor-new")) == ("42", '"on"')
    assert await nodes[1].get() == "42"
    assert browser.focused() == "editor-go"
    browser.press(Keys.ENTER)
    await browser.says("value", '"on"')
    assert not browser.shown("editor")
    assert browser.focused() == "edit"

    async def everywhere() -> bool:
        return await nodes[1].get() == '"on"'

    await eventually(everywhere, 5, "the other node has it")
    browser.press(Keys.ENTER)
    browser.press(Keys.ESCAPE)
    assert not browser.shown("editor")
    assert browser.complaints() == []


@ensure_deferred
async def test_who_was_faster_is_shown_first(house: House, browser: Browser) -> None:
    """Nothing is written over that the person has not seen."""
    node = await house.node("n1").start()
    browser.open(node.url)
    await browser.says("value", "42")
    wish(browser, "7")
    await node.set(99)
    await browser.says("editor-news", "It is 99 now")
    assert browser.text("editor-go") == "Show the new value"
    browser.press(Keys.ENTER)
    assert (browser.text("editor-old"), await node.get()) == ("99", "99")

    async def may_go_on() -> bool:
        return browser.usable("editor-go")

    await eventually(may_go_on, 5, "it may be written over")
    browser.press(Keys.ENTER)
    await node.holds(7)
    assert browser.complaints() == []


async def writes_to_silence(house: House, browser: Browser) -> tuple[Node, Process]:
    """A node that stands still, and a page of it that has asked it to write 7."""
    node = await house.node("n1").start()
    browser.open(node.url)
    await browser.says("value", "42")
    wish(browser, "7")
    assert node.process is not None
    node.process.signal("STOP")
    browser.press(Keys.ENTER)
    return node, node.process


@ensure_deferred
async def test_a_write_that_was_left_does_not_touch_the_next(house: House, browser: Browser) -> None:
    """Its answer comes when the dialog is open again, for another: that stays as it is, and says what has changed."""
    _, process = await writes_to_silence(house, browser)
    browser.script("document.getElementById('editor-cancel').click()")
    assert not browser.shown("editor")
    browser.tab_to("edit")
    browser.press(Keys.ENTER, "8")
    process.signal("CONT")
    await browser.says("value", "7")
    await browser.says("editor-news", "It is 7 now")
    assert browser.shown("editor")
    assert browser.script("return document.getElementById('editor-text').value") == "8"
    assert browser.complaints() == []


@ensure_deferred
async def test_the_focus_stays_on_a_button_that_waits(house: House, browser: Browser) -> None:
    """While the node is silent: nothing has to be looked for with the tabulator when it speaks again."""
    node, process = await writes_to_silence(house, browser)
    assert (browser.text("editor-go"), browser.usable("editor-go")) == ("Writing", False)
    browser.press(Keys.ENTER)  # is no second write
    assert browser.focused() == "editor-go"
    process.signal("CONT")
    await browser.says("value", "7")
    assert (browser.focused(), await node.get()) == ("edit", "7")
    await node.stop()
    await browser.says("badge-text", "Disconnected")
    assert (browser.focused(), browser.usable("edit")) == ("edit", False)
    browser.press(Keys.ENTER)
    assert not browser.shown("editor")
    assert browser.complaints() == []


@ensure_deferred
async def test_why_a_value_could_not_be_fetched_is_said_in_each_step(house: House, browser: Browser) -> None:
    """Where the person is, as an alert, each time it is tried; nothing is written over what was not seen."""
    node = await house.node("n1").start()
    browser.open(node.url)
    await node.call("PUT", "/v1/value", json="x" * 20_000)
    await browser.says("value", "19.5 KiB")
    browser.script("window.node = fetch; fetch = async () => new Response('<html>', { status: 502 })")
    browser.tab_to("edit")
    browser.press(Keys.ENTER)
    await browser.says("editor-problem", "could not be fetched: something that is no node answers")
    assert browser.focused() == "editor-text"
    browser.script("fetch = window.node")
    browser.press(Keys.ESCAPE)
    await node.set(42)
    await browser.says("value", "42")
    browser.press(Keys.ENTER, "7")
    browser.tab_to("editor-go")
    browser.press(Keys.ENTER)
    await node.call("PUT", "/v1/value", json="y" * 20_000)
    await browser.says("editor-go", "Show the new value")
    browser.script(KEEP_TEXTS, "editor-problem")
    browser.script("fetch = async () => new Response('<html>', { status: 502 })")
    for _ in range(2):
        browser.press(Keys.ENTER)
        await browser.says("editor-problem", "HTTP status 502, bad gateway")
        assert (browser.focused(), browser.text("editor-go")) == ("editor-go", "Show the new value")
    assert len(browser.script("return texts")) == 3  # the second was preceded by nothing, so that it is heard
    browser.script("fetch = window.node")
    browser.press(Keys.ENTER)
    await browser.says("editor-old", "yyy")
    assert browser.text("editor-problem") == ""
    assert browser.focused() == "editor-go"
    assert browser.script("return document.getElementById('editor-problem').role") == "alert"
    assert browser.complaints() == []


@ensure_deferred
async def test_a_node_that_is_not_heard_is_said_to_be_so(house: House, browser: Browser) -> None:
    """Stopped, it is disconnected at once, halted, soon; what is old can be read, not changed, and it comes back."""
    node = await house.node("n1").start()
    browser.open(node.url)
    await browser.says("badge-text", "Live")
    await node.stop()
    await browser.says("badge-text", "Disconnected")
    await browser.says("notices", "as it was")
    assert not browser.usable("edit")
    assert "Disconnected" in browser.driver.title
    assert violations(browser) == []
    await node.start()
    await browser.says("badge-text", "Live", 15)
    assert browser.text("notices") == ""
    assert node.process is not None
    node.process.signal("STOP")
    await browser.says("badge-text", "Disconnected", DISCONNECTED_WITHIN_S)
    node.process.signal("CONT")
    await browser.says("badge-text", "Live", 15)
    assert browser.complaints() == []


@ensure_deferred
async def test_a_node_that_learns_does_not_call_itself_the_whole_cluster(house: House, browser: Browser) -> None:
    """What the others hold is not known, so its value is not called the one that all hold."""
    nobody = house.node("n2")
    node = await house.node("n1", options=["--join", nobody.host, "--join-timeout", "600"]).start(ready=False)
    browser.open(node.url)
    await browser.says("notices", "Learning.")
    await browser.says("members-summary", "No other member is known yet")
    await browser.says("value-held", "what others hold is not known yet")
    await nobody.start(ready=False)
    await browser.says("value-held", "Held by all 2 nodes", 30)
    assert browser.complaints() == []


@ensure_deferred
async def test_tabs_that_are_hidden_leave_room_for_the_one_that_is_shown(house: House, browser: Browser) -> None:
    """A browser has six connections to a host. Who is shown again connects at once, and nobody hears of a loss."""
    node = await house.node("n1").start()
    try:
        tabs = []
        for _ in range(CONNECTIONS_PER_HOST + 1):
            tabs.append(browser.open_tab(node.url, hidden_max_ms=100))
            await browser.says("badge-text", "Live")
            browser.script(KEEP_TEXTS, "badge-text", "announcer")
        browser.show_tab(tabs[0])
        await browser.says("badge-text", "Live")
        await node.set(7)
        await browser.says("announcer", "now 7")  # it would come after the news of a loss
        assert browser.script("return texts") == ["Connecting", "Live", "The value is now 7, written at n1."]
    finally:
        browser.close_tabs()


@ensure_deferred
async def test_a_token_is_asked_for(house: House, browser: Browser) -> None:
    """To read, and a better one to write; it is kept for the tab alone, and forgotten when one says so."""
    tokens = house.folder / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"write {WRITE}\nread {READ}\n", encoding="ascii")
    node: Node = await house.node("n1", options=["--token-file", str(tokens)]).start()
    browser.open(node.url)
    await browser.says("gate-heading", "asks for a token")
    assert browser.focused() == "gate-token"
    assert not browser.shown("for-programs")  # a link sends no token
    assert violations(browser) == []
    browser.press("wrong-token-of-tests", Keys.ENTER)
    await browser.says("gate-why", "does not know")
    browser.tab_to("gate-token")
    browser.press(READ, Keys.ENTER)
    await browser.says("value", "42")
    assert not browser.shown("gate")
    browser.tab_to("edit")
    browser.press(Keys.ENTER, "7")
    browser.tab_to("editor-go")
    browser.press(Keys.ENTER, Keys.ENTER)
    await browser.says("editor-problem", "may only read")
    assert browser.focused() == "editor-token"
    browser.press(WRITE, Keys.ENTER)
    await browser.says("value", "7")
    assert WRITE not in str(browser.script("return [document.cookie, JSON.stringify(localStorage), location.href]"))
    browser.tab_to("forget", 60)
    browser.press(Keys.ENTER)
    await browser.says("gate-heading", "asks for a token")
    assert browser.complaints() == []


@ensure_deferred
async def test_everybody_can_use_it(house: House, browser: Browser) -> None:
    """At any width, in light and dark, by the rules of axe; with values that try to be markup, and long ones."""
    node = await house.node("n1").start()
    hostile = "<img src=x onerror=alert(1)>" + "x" * 300
    await node.call("PUT", "/v1/value", json={hostile: [hostile, {"a": list(range(50))}]})
    for width, dark in ((1280, False), (768, True), (320, False)):
        browser.open(node.url, width, dark=dark)
        await browser.says("value", "<img src=x")
        await browser.says("changes-summary", "1 change")
        assert browser.overflow() == 0, width
        assert violations(browser) == [], (width, dark)
        browser.script("document.getElementById('changes-details').open = true")
        browser.tab_to("edit")
        browser.press(Keys.ENTER)
        assert violations(browser) == [], (width, dark)
        assert browser.overflow() == 0, width
        browser.press(Keys.ESCAPE)
        assert browser.complaints() == []


@ensure_deferred
async def test_its_modules_do_what_they_say(house: House, browser: Browser) -> None:
    """Those that need no page: the reader of events, pauses, JSON as text, words."""
    node = await house.node("n1").start()
    browser.open(node.url)
    assert browser.driver.execute_async_script(LOGIC) == []
