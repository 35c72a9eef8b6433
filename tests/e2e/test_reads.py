"""Fast reads of a real node: remembered answers over real sockets, beside writes and a client that does not read."""

import re
from typing import Any

from tests.e2e.harness import House, Node, ensure_deferred, eventually
from tests.e2e.raw import Raw, connect, resident_mb

GET = b"GET /get HTTP/1.1\r\nHost: localhost\r\n\r\n"
SET = b"GET /set/%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLIENTS = 5
WRITES = 30

READS_PER_WRITE = 3_000
GROWTH_MAX_MB = 6.0
"""Of a node with a client that has sent requests for 12 MB of answers, and reads none."""

_HEAD = re.compile(rb"HTTP/1\.1 200 OK\r\n.*?\r\n\r\n", re.DOTALL)


def values(raw: Raw) -> list[int]:
    """What a client has been told, in order; all of it with 200."""
    return [int(part) for part in _HEAD.split(raw.received)[1:]]


async def count(node: Node) -> int:
    """How many remembered answers it has given."""
    return int((await node.call("GET", "/v1/status")).json()["http"]["requests_remembered"])


@ensure_deferred
async def test_a_read_after_a_write_shows_it_on_every_connection(house: House) -> None:
    """As soon as it is acknowledged; and many of the answers were remembered ones."""
    node = await house.node("n1").start()
    writer, *readers = [await connect(node.host) for _ in range(CLIENTS + 1)]
    for number in range(WRITES):
        writer.send(SET % number)
        await writer.until(lambda raw, n=number: len(values(raw)) == n + 1, 10)  # type: ignore[misc]  # n is bound
        for reader in readers:
            reader.send(GET)
            await reader.until(lambda raw, n=number: len(values(raw)) == n + 1, 10)  # type: ignore[misc]  # likewise
    assert [values(raw) for raw in (writer, *readers)] == [list(range(WRITES))] * (CLIENTS + 1)
    assert await count(node) > WRITES * CLIENTS / 2


@ensure_deferred
async def test_a_client_that_does_not_read_costs_no_memory_and_gets_all_in_order(house: House) -> None:
    """It has sent tens of thousands of requests; others are answered meanwhile."""
    node = await house.node("n1", keep=False).start()
    assert node.process is not None
    before_mb = resident_mb(node.process.pid)
    raw = await connect(node.host)
    transport: Any = raw.transport
    transport.pauseProducing()
    raw.send(b"".join(SET % number + GET * READS_PER_WRITE for number in range(WRITES)))
    counts = [0, 0]

    async def stands_still() -> bool:
        counts.append(await count(node))
        return counts[-3] == counts[-2] == counts[-1] > 0

    await eventually(stands_still, 60, "the node reads no more requests")
    assert counts[-1] < WRITES * READS_PER_WRITE / 2, "the buffers of the system are larger than this test thinks"
    assert resident_mb(node.process.pid) - before_mb < GROWTH_MAX_MB
    transport.resumeProducing()
    answers = WRITES * (READS_PER_WRITE + 1)
    size = answers * 130  # at least: so `received` is not searched for each piece that comes
    await raw.until(lambda raw: len(raw.received) > size and raw.received.count(b"HTTP/1.1 ") == answers, 120)
    assert values(raw) == [number for number in range(WRITES) for _ in range(READS_PER_WRITE + 1)]
    raw.abort()
