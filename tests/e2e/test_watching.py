"""Watching and waiting on real sockets: across nodes, with readers that do not read, and when the node stops."""

import json
import socket
import time

from tests.e2e.harness import HTTP_PORT, House, Node, at_once, ensure_deferred, eventually, pause
from tests.e2e.raw import Raw, connect, resident_mb

WATCH = b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEARD_WITHIN_S = 1.0
STALLED = 20
CHANGES = 5000
CHANGES_HEARD_MIN = 1500
GROWTH_MAX_MB = 2.5
STOP_WITHIN_S = 4.0


async def watch(host: str) -> Raw:
    """A client that watches, and has got the first event."""
    raw = await connect(host, data=WATCH)
    await raw.until(lambda raw: b"data: " in raw.received, 5)
    return raw


async def hears(raw: Raw, value: int, within_s: float) -> None:
    """An event with the value comes, in time."""
    await raw.until(lambda raw: b'"value": %d,' % value in raw.received, within_s)


async def write_often(host: str, count: int) -> None:
    """So many changes, one after the other."""
    raw = await connect(host)
    for value in range(1, count + 1):
        raw.send(b"GET /set/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % value)
        await raw.until(lambda raw: b"\r\n\r\n" in raw.received, 5)
        raw.received = b""
    raw.abort()


def stalled(host: str) -> socket.socket:
    """A client that watches and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, HTTP_PORT))
    client.sendall(WATCH)
    client.setblocking(False)
    return client


def read_some(client: socket.socket) -> bytes:
    """What can be read now."""
    data = b""
    try:
        while part := client.recv(65536):
            data += part
    except BlockingIOError:
        pass
    return data


@ensure_deferred
async def test_a_write_on_one_node_is_heard_by_a_watcher_of_another(house: House) -> None:
    """Soon, once, with the state that the node then shows."""
    one, two = await house.cluster(2)
    raw = await watch(two.host)
    assert raw.received.startswith(b"HTTP/1.1 200 OK\r\n")
    for value in (43, 44, 45):
        written = (await one.call("PUT", "/v1/value", data=str(value).encode())).json()
        await hears(raw, value, HEARD_WITHIN_S)
        assert b"id: " + written["tag"].encode() + b"\ndata: " in raw.received
        assert raw.received.count(b'"value": %d,' % value) == 1
        last = json.loads(raw.received.rpartition(b"data: ")[2].partition(b"\n")[0])
        shown = await two.value()
        assert last == {name: shown[name] for name in last}
    raw.abort()


@ensure_deferred
async def test_reads_wait_on_another_node_than_the_write(house: House) -> None:
    """For a change, and for the generation of one's own write; or until the time is up."""
    one, two = await house.cluster(2)
    tag = (await two.call("GET", "/v1/value")).header("ETag")
    begun = time.monotonic()
    unchanged = await two.call("GET", "/v1/value?wait=1", headers={"If-None-Match": tag})
    assert (unchanged.status, unchanged.header("ETag")) == (304, tag)
    assert 1.0 <= time.monotonic() - begun < 2.0

    async def write_later() -> None:
        await pause(0.3)
        assert (await one.set(50)).status == 200

    begun = time.monotonic()
    changed, _ = await at_once(
        two.call("GET", "/v1/value?wait=30", headers={"If-None-Match": tag}, timeout_s=10.0), write_later()
    )
    assert (changed.status, changed.json()["value"]) == (200, 50)
    assert time.monotonic() - begun < 0.3 + HEARD_WITHIN_S
    for value in range(60, 80):
        written = (await one.call("PUT", "/v1/value", data=str(value).encode())).json()
        read = await two.call("GET", f"/v1/value?min_generation={written['generation']}&wait=5&max_stale=5")
        assert (read.status, read.json()["tag"]) == (200, written["tag"])
    never = await two.call("GET", f"/v1/value?min_generation={written['generation'] + 1}&wait=0.2")
    assert (never.status, never.json()["current"]["value"]) == (504, 79)


@ensure_deferred
async def test_readers_that_do_not_read_cost_little(house: House) -> None:
    """Twenty of them while the value changes thousands of times; when they read at last, they get the latest."""
    node = await house.node("n" * 120, keep=False).start()
    assert node.process is not None
    clients = [stalled(node.host) for _ in range(STALLED)]
    quick = await watch(node.host)

    async def all_watch() -> bool:
        http = (await node.call("GET", "/v1/status")).json()["http"]
        return bool(http["watchers"] == STALLED + 1)

    await eventually(all_watch, 10, "all watch")
    before_mb = resident_mb(node.process.pid)
    await write_often(node.host, CHANGES)
    await hears(quick, CHANGES, 10)
    told = quick.received.count(b"data: ")
    assert told > CHANGES_HEARD_MIN, "the changes were told one by one"
    growth_mb = resident_mb(node.process.pid) - before_mb
    assert growth_mb < GROWTH_MAX_MB, f"{growth_mb:.1f} MB more, after {told} events"
    received = dict.fromkeys(clients, b"")

    async def all_have_the_latest() -> bool:
        for client in clients:
            received[client] += read_some(client)
        return all(b'"value": %d,' % CHANGES in data for data in received.values())

    await eventually(all_have_the_latest, 10, "all have the latest")
    assert max(data.count(b"data: ") for data in received.values()) < told, "somebody got less than every event"
    quick.abort()
    for client in clients:
        client.close()

    async def all_are_gone() -> bool:
        http = (await node.call("GET", "/v1/status")).json()["http"]
        return bool(http["watchers"] == 0)

    await eventually(all_are_gone, 5, "their places are free")


@ensure_deferred
async def test_a_node_that_stops_ends_what_waits(house: House) -> None:
    """Streams are complete, long polls answered, and a reader that does not read holds up nothing."""
    node = await house.node("n1").start()
    streams = [await watch(node.host) for _ in range(3)]
    client = stalled(node.host)
    await write_often(node.host, 500)
    tag = (await node.call("GET", "/v1/value")).header("ETag") or ""
    poll = await connect(
        node.host, data=b"GET /v1/value?wait=50 HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %b\r\n\r\n" % tag.encode()
    )

    async def all_wait() -> bool:
        return bool((await node.call("GET", "/v1/status")).json()["http"]["watchers"] == 5)

    await eventually(all_wait, 5, "all wait")
    begun = time.monotonic()
    assert await node.stop() == -15
    assert time.monotonic() - begun < STOP_WITHIN_S
    for raw in streams:
        await raw.closed(1)
        assert raw.received.endswith(b"\r\n0\r\n\r\n")
    await poll.closed(1)
    assert poll.received.startswith(b"HTTP/1.1 304 ")
    assert b"\r\nConnection: close\r\n" in poll.received
    client.close()


@ensure_deferred
async def test_the_limits_follow_from_the_files_that_may_be_open(house: House) -> None:
    """The soft limit is raised to the hard one, and what is left beside the node's own files is for connections."""
    node: Node = house.node("n1", keep=False)
    node.prefix = ["/bin/sh", "-c", 'ulimit -S -n 64; ulimit -H -n 300; exec "$@"', "sh"]
    await node.start()
    http = (await node.call("GET", "/v1/status")).json()["http"]
    assert (http["connections_max"], http["watchers_max"]) == (76, 60)
