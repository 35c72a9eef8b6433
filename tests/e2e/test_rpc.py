"""Debian's `serf` command line at a real agent and at our node, side by side: what ends and reads alike."""

import base64
import json
import os
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack  # type: ignore[import-untyped]  # comes without types
import pytest
from twisted.internet.threads import deferToThread

from onevalue.wire import rpc_messages as rpc
from onevalue.wire.rpc_codec import encode_request
from tests.e2e.harness import (
    HTTP_PORT,
    RPC_PORT,
    SERF,
    House,
    Node,
    Process,
    SerfAgent,
    at_once,
    ensure_deferred,
    eventually,
    free_address,
    pause,
    serf,
)

pytestmark = pytest.mark.interop

PATH = {"PATH": os.environ["PATH"]}
AUTH = "open sesame"
MONITOR_LINE = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(?:INFO|WARN|ERR|DEBUG)\] \S+: .+")


@dataclass
class Pair:
    """A member whose RPC is tried, and two agents beside it, one of them not joined yet."""

    one: Node | SerfAgent
    two: SerfAgent
    three: SerfAgent

    async def serf(self, *words: str) -> tuple[str, int]:
        """Output and exit status of the command at the first member."""
        return await serf(self.one.host, *words)

    def named(self, words: Sequence[str]) -> list[str]:
        """The words with the addresses of this cluster."""
        return [word.format(two=self.two.host, three=self.three.host) for word in words]


def shape(text: str) -> list[str]:
    """The lines in some order, without what differs from one run, or one host, to the next.

    That are numbers, addresses, the width of columns, and the order of members and of the tags of each.
    """
    text = re.sub(r"127(?:\.\d+){3}(?::\d+)?", "HOST", text)
    text = re.sub(r"\S+=\S*", lambda tags: ",".join(sorted(tags[0].split(","))), text)
    return sorted(re.sub(r"[ \t]+", " ", re.sub(r"[\d.]*\d", "N", line)).strip() for line in text.splitlines())


def sections(text: str) -> list[str]:
    """The lines of `serf info` without what they say."""
    return [line.partition(" = ")[0] for line in text.splitlines()]


def first_words(text: str) -> list[str]:
    """The last line up to its colon: of an error, who could not do what. The reason is each program's own."""
    return [line.partition(":")[0] for line in text.splitlines() if line and not line.startswith("\t")][-1:]


async def pairs(house: House) -> list[Pair]:
    """A cluster around a real agent, and one around our node; alike but for that."""
    key = base64.b64encode(os.urandom(32)).decode()
    file = house.folder / "keys"
    file.write_text(key)
    file.chmod(0o600)
    own = ["-tag", "role=web", "-tag", f"http=http:{HTTP_PORT}"]
    handler = "-event-handler=query:uptime=echo long"

    def agent(name: str, *options: str) -> SerfAgent:
        return house.agent(name, f"-encrypt={key}", *options)

    host = free_address()
    options = ["--tag", "role=web", "--key-file", str(file), "--rpc", host]
    ours = house.node("one", host=host, options=options)
    members: list[Node | SerfAgent] = [agent("one", *own), ours]
    found = [Pair(one, agent("two", handler), agent("three")) for one in members]
    await at_once(*(each.start() for pair in found for each in (pair.one, pair.two, pair.three)))
    await at_once(*(pair.two.join(pair.one.host) for pair in found))
    await at_once(*(pair.one.sees({"two": "alive"}) for pair in found))
    return found


async def compare(both: list[Pair], *words: str, by: Callable[[str], list[str]] = shape) -> None:
    """The command ends at both with the same status, and prints the same but for what `by` leaves out."""
    (at_agent, status), (at_ours, our_status) = await at_once(*(each.serf(*each.named(words)) for each in both))
    assert our_status == status, (words, at_agent, at_ours)
    assert by(at_ours) == by(at_agent), words


MEMBERS = [
    *(
        [],
        ["-detailed"],
        ["-status=alive"],
        ["-status=al"],
        ["-status=al.*"],
        ["-name=two"],
        ["-name=t"],
        ["-name=t|e"],
    ),
    *(["-tag", "role=web"], ["-tag", "role=w"], ["-tag", "role=.*"], ["-tag", "role=web", "-tag", "none=x"]),
    *(["-format", "json"], ["-format=json", "-detailed"], ["-format", "text"], ["-format", "odd"], ["-status=("]),
]
ORDERS = [
    *(["event", "deploy", "release 7"], ["event", "-coalesce=false", "deploy"], ["event"]),
    *(["query", "uptime"], ["query", "-no-ack", "uptime", "now"], ["query", "-format", "json", "uptime"]),
    *(["query", "-node", "two", "uptime"], ["query", "-tag", "role=w.b", "-timeout=500ms", "uptime"]),
    *(["query", "-node", "nobody", "-timeout=300ms", "uptime"], ["query", "-relay-factor=1", "uptime"]),
    *(["query", "_serf_ping"], ["query", "-timeout=300ms", "nobody-answers"]),
    *(["tags", "-set", "a=b", "-set", "c=d"], ["tags", "-delete", "a", "-set", "c=e"], ["tags", "-delete", "none"]),
    *(["tags", "-delete", "c"], ["tags"], ["reachability"], ["rtt", "one"], ["rtt", "none"], ["rtt", "one", "none"]),
    *(["keys", "-list"], ["force-leave", "nobody"], ["force-leave", "-prune", "nobody"], ["force-leave"], ["join"]),
]
REFUSALS = [
    *(["event", "deploy", "x" * 600], ["query", "uptime", "x" * 2000], ["query", "_serf_install-key"]),
    *(["tags", "-set", f"a={'x' * 600}"], ["keys", "-use", "no key"], ["keys", "-install", "c2hvcnQ="]),
    ["join", "127.255.255.1"],
]


@ensure_deferred
async def test_every_command_ends_and_reads_alike(house: House) -> None:
    """The same status, and the same lines but for numbers; of an error of our own the beginning."""
    both = await pairs(house)
    for options in MEMBERS:
        await compare(both, "members", *options)
    for words in ORDERS:
        await compare(both, *words)
    for words in REFUSALS:
        await compare(both, *words, by=first_words)
    await compare(both, "info", by=sections)

    async def measured() -> bool:
        return [status for _, status in await at_once(*(each.serf("rtt", "two") for each in both))] == [0, 0]

    await eventually(measured, 20, "both have pinged the other member")
    await compare(both, "rtt", "two")
    await compare(both, "rtt", "two", "one")


@ensure_deferred
async def test_members_come_and_go_alike(house: House) -> None:
    """join, force-leave of who has failed, and leave, which ends the process with status 0."""
    both = await pairs(house)
    await compare(both, "join", "{three}")
    await at_once(*(each.one.sees({"two": "alive", "three": "alive"}) for each in both))
    await compare(both, "join", "-replay", "{three}", "127.255.255.1")
    await at_once(*(each.three.kill() for each in both))
    await at_once(*(each.one.sees({"three": "failed"}, 40.0) for each in both))
    await compare(both, "members", "-status=failed")
    await compare(both, "force-leave", "three")
    await at_once(*(each.one.sees({"three": "left"}) for each in both))
    await compare(both, "force-leave", "-prune", "three")
    await compare(both, "members")

    await compare(both, "leave")
    for each in both:
        assert each.one.process is not None
        assert await each.one.process.ended() == 0
    await at_once(*(each.two.sees({"one": "left"}) for each in both))


@ensure_deferred
async def test_keys_are_rotated_alike(house: House) -> None:
    """list, install, use and remove, over both kinds of members; the last key cannot be removed."""
    both = await pairs(house)
    new = base64.b64encode(os.urandom(32)).decode()
    old = (house.folder / "keys").read_text()

    def without_keys(text: str) -> list[str]:
        return shape(text.replace(new, "NEW").replace(old, "OLD"))

    for words in (["-install", new], ["-list"], ["-use", new], ["-remove", old], ["-list"]):
        await compare(both, "keys", *words, by=without_keys)
    await compare(both, "keys", "-remove", new, by=first_words)


@ensure_deferred
async def test_a_monitor_and_streams_tell_what_happens(house: House) -> None:
    """`serf monitor` shows lines of the log as Serf writes them, old ones first; an event is among them."""
    both = await pairs(house)
    assert SERF is not None
    monitors = [
        Process("monitor", [SERF, "monitor", f"-rpc-addr={each.one.host}:{RPC_PORT}"], PATH, house.folder)
        for each in both
    ]
    try:

        async def told() -> bool:
            await at_once(*(each.serf("event", "-coalesce=false", "deploy", "release 7") for each in both))
            await at_once(*(each.two.run("event", "-coalesce=false", "shown", "now") for each in both))
            await pause(1.0)
            return all(f'"{name}"' in each.output for each in monitors for name in ("deploy", "shown"))

        await eventually(told, 10, "both monitors, once they have begun, have told of own events and others'")
        infos = []
        for each in monitors:
            assert each.running
            lines = each.output.splitlines()[:-1]
            logged = [line for line in lines if line[:1].isdigit()]
            assert logged
            assert [line for line in logged if not MONITOR_LINE.match(line)] == []
            fields = [line for line in lines if line.startswith(("Event Info:", "\t")) and "member" not in line.lower()]
            infos.append(sorted(dict.fromkeys(shape("\n".join(fields)))))
        assert infos[1] == infos[0]
    finally:
        await at_once(*(each.kill() for each in monitors))


@ensure_deferred
async def test_the_tag_of_a_node_stays_its_own(house: House) -> None:
    """Nobody sets or deletes `http`, by which members reach it, and nothing else of such a request is done."""
    host = free_address()
    await house.node("n", host=host, options=["--rpc", host]).start()
    for words in (["-delete", "http"], ["-set", "http=-"], ["-set", "a=b", "-delete", "http"]):
        text, status = await serf(host, "tags", *words)
        assert (status, "'http' is set by the node itself" in text) == (1, True), text
    text, status = await serf(host, "members", "-format=json")
    assert status == 0
    assert json.loads(text)["members"][0]["tags"] == {"http": f"http:{HTTP_PORT}"}


def conversation(host: str, sent: bytes, *, ends: bool = False) -> tuple[bytes, bool]:
    """What comes back within a second, and whether the other side has closed the connection then.

    `ends`: no more is sent, and the other side can tell.
    """
    with socket.create_connection((host, RPC_PORT), timeout=5) as connection:
        connection.sendall(sent)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(1)
        received = b""
        while True:
            try:
                data = connection.recv(65536)
            except TimeoutError:
                return received, False
            except ConnectionResetError:
                return received, True
            if not data:
                return received, True
            received += data


HELLO = encode_request("handshake", 0, rpc.Handshake())
WRONG = encode_request("auth", 1, rpc.Auth("wrong"))
RIGHT = encode_request("auth", 2, rpc.Auth(AUTH))
COORDINATE = encode_request("get-coordinate", 3, rpc.GetCoordinate("nobody"))
REFUSED = {
    "no handshake": encode_request("members", 1),
    "no handshake, but a key": RIGHT,
    "another version": encode_request("handshake", 0, rpc.Handshake(2)) + HELLO,
    "two handshakes": HELLO + HELLO,
    "no key": HELLO + encode_request("members", 1),
    "a wrong key": HELLO + WRONG + encode_request("members", 2) + RIGHT + COORDINATE,
    "a wrong key after the right one": HELLO + RIGHT + WRONG + COORDINATE,
    "an unknown command": HELLO + RIGHT + msgpack.packb({"Command": "nix", "Seq": 4}),
    "an unknown command without a key": HELLO + msgpack.packb({"Command": "nix", "Seq": 4}),
    "no body": HELLO + RIGHT + msgpack.packb({"Command": "event", "Seq": 4}) + b"\x07",
    "no expression": HELLO + RIGHT + encode_request("members-filtered", 4, rpc.MembersFiltered({}, "", "(")),
    "no filter": HELLO + RIGHT + encode_request("stream", 4, rpc.Stream("nix")),
    "no level": HELLO + RIGHT + encode_request("monitor", 4, rpc.Monitor("nix")),
    "no query": HELLO + RIGHT + encode_request("respond", 4, rpc.Respond(9, b"")),
    "no msgpack": b"GET / HTTP/1.1\r\n\r\n",
    "nothing to stop": HELLO + RIGHT + encode_request("stop", 4, rpc.Stop(9)) + COORDINATE,
}


@ensure_deferred
async def test_a_client_is_refused_byte_for_byte_as_an_agent_does_it(house: House, tmp_path: Path) -> None:
    """Also when the connection is closed; and `serf` with a wrong key, or none, says the same."""
    config, file = tmp_path / "agent.json", tmp_path / "auth"
    config.write_text(json.dumps({"rpc_auth": AUTH}))
    file.write_text(f"{AUTH}\n")
    file.chmod(0o600)
    agent = house.agent("one", f"-config-file={config}")
    host = free_address()
    node = house.node("one", host=host, options=["--rpc", host, "--rpc-auth-file", str(file)])
    agent_up = SerfAgent.start(agent)
    with pytest.raises(AssertionError):  # it waits for `serf info` without a key
        await agent_up
    await node.start()
    hosts = (agent.host, node.host)
    for name, sent in REFUSED.items():
        answers = [await deferToThread(conversation, host, sent) for host in hosts]
        objects = [_objects(data) for data, _ in answers]
        assert objects[1] == objects[0], name
        assert answers[1][1] == answers[0][1], name
    ended = [await deferToThread(conversation, host, HELLO + RIGHT + COORDINATE, ends=True) for host in hosts]
    assert ended[1] == ended[0]
    for words in (["members"], ["members", "-rpc-auth=wrong"], ["members", f"-rpc-auth={AUTH}", "-status=left"]):
        (theirs, status), (ours, our_status) = [await serf(host, *words) for host in hosts]
        assert (shape(ours), our_status) == (shape(theirs), status), words


def _objects(data: bytes) -> list[object]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    return list(unpacker)
