"""A live node under the eyes of Schemathesis: it asks what the description admits and what it does not, and compares.

`schemathesis.toml` says how, `schemathesis_hooks` what not. Its requests are the same in each run.
"""

import base64
import os
import re
import sys
from pathlib import Path

from tests.e2e.harness import House, Node, Process, ensure_deferred

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
CONFIG = str(Path(__file__).with_name("schemathesis.toml"))
KEYS = "^/v1/keys"
TIME_MAX_S = 120.0
"""For all requests; alone on a machine it is some ten seconds."""


async def tried(node: Node, *options: str) -> int:
    """How many requests Schemathesis made of the node; AssertionError if an answer was not as described."""
    command = [SCHEMATHESIS, "--no-color", "--config-file", CONFIG, "run", f"{node.url}/v1/openapi.json", *options]
    environ = {"PATH": os.environ["PATH"], "HOME": str(node.folder), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    process = Process("schemathesis", command, environ, node.folder)
    status = await process.ended(TIME_MAX_S)
    passed = re.search(r"(\d+) generated, (\d+) passed", process.output)
    assert status == 0, process.output
    assert passed is not None, process.output
    return int(passed[2])


@ensure_deferred
async def test_a_node_is_as_described(house: House) -> None:
    """Every operation but the endless one: statuses, headers, types and bodies; and it goes on answering."""
    node = await house.node("n1", options=["--cluster-size", "1"]).start()
    assert await tried(node, "--exclude-path-regex", KEYS) > 400
    assert (await node.set(43)).status == 200
    assert await node.get() == "43"


@ensure_deferred
async def test_keys_are_as_described(house: House) -> None:
    """At a node that has one: without, nothing about keys succeeds."""
    key_file = house.folder / "key"
    key_file.touch(mode=0o600)
    key_file.write_text(base64.b64encode(bytes(range(32))).decode(), encoding="ascii")
    node = await house.node("n1", options=["--key-file", str(key_file)]).start()
    assert await tried(node, "--include-path-regex", KEYS) > 40
    assert (await node.call("GET", "/v1/keys")).status == 200
