"""Fuzz target: what clients, peers and time do to the HTTP server, with remembered answers and without.

The first byte of an input says what the clients are like; steps follow. A step is one byte (what happens, and on which
connection or how long), the length of its data in two bytes, and the data. What must hold after each step is what
`web_twins` says: both ways have sent the same bytes.
"""

from collections.abc import Iterator

from tests.fuzz.targets import Target
from tests.web_support import PausingWire, Wire
from tests.web_twins import Twins

CONNECTIONS = 4
STEPS_MAX = 32
_PAUSES_S = (0.0, 0.3, 0.7, 1.0, 9.9, 29.0, 60.0, 70.0)
_KINDS: tuple[type[Wire], ...] = (Wire, PausingWire)
_LEARN, _WAIT, _READ, _HEAR = 4, 5, 6, 7  # below: a client sends

GET = b"GET /get HTTP/1.1\r\nHost: n1\r\n\r\n"
VALUE = b"GET /v1/value HTTP/1.1\r\nHost: n1\r\nAccept: */*\r\n\r\n"
SET = b"GET /set/7 HTTP/1.1\r\nHost: n1\r\n\r\n"
PUT = b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nContent-Length: 2\r\n\r\n43"
OTHERS = [
    b"HEAD /get HTTP/1.1\r\nHost: n1\r\n\r\n",
    b"POST /get HTTP/1.1\r\nHost: n1\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    b"POST /get HTTP/1.1\r\nHost: n1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"GET /get?a=1 HTTP/1.1\r\nHost: n1\r\n\r\n",
    b"GET /get HTTP/1.0\r\n\r\n",
    b"GET /get HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n",
    b"GET /get HTTP/1.1\r\nHost: n1\r\nExpect: 100-continue\r\n\r\n",
    b"GET /v1/value HTTP/1.1\r\nHost: n1\r\nIf-None-Match: *\r\n\r\n",
    b'GET /v1/value HTTP/1.1\r\nHost: n1\r\nIf-None-Match: "x"\r\n\r\n',
    b"GET /v1/status HTTP/1.1\r\nHost: n1\r\n\r\n",
    b"GET /v1/members HTTP/1.1\r\nHost: n1\r\n\r\n",
    b"GET /none HTTP/1.1\r\nHost: n1\r\n\r\n",
    b"GET /get HTTP/1.1\r\nHost: n1\r\nHost: n1\r\n\r\n",
    b"GET /get HTTP/1.1\r\nHost: n1\r\nAccept: a,\r\n b\r\n\r\n",
    PUT,
    SET,
    b"\r\n",
    b"\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"",
]
"""What else a client may send: most of it is not to be remembered."""


def step(what: int, data: bytes = b"", number: int = 0) -> bytes:
    """How a step is spelled."""
    return bytes([what | number << 3]) + len(data).to_bytes(2, "big") + data


def _steps(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    pos = 1
    for _ in range(STEPS_MAX):
        if pos >= len(data):
            return
        lead, size = data[pos], int.from_bytes(data[pos + 1 : pos + 3], "big")
        pos += 3
        yield lead & 7, lead >> 3, data[pos : pos + size]
        pos += size


def run(data: bytes) -> None:
    """The input is what the clients are like, and the steps; at the end all connections have gone."""
    if not data:
        return
    twins = Twins(_KINDS[data[0] & 1])
    for _ in range(CONNECTIONS):
        twins.connect()
    for what, number, rest in _steps(data):
        if what < _LEARN:
            twins.send(what, rest)
        elif what == _LEARN:
            twins.learn(number)
        elif what == _WAIT:
            twins.pass_time(_PAUSES_S[number & 7])
        elif what == _READ:
            twins.read(number % CONNECTIONS)
        else:
            twins.hear(number / 2 if number else None)
    twins.finish()


def _seeds() -> list[bytes]:
    """Each request between reads of the value, in a read of its own and in one with them; and what comes between."""
    found = []
    for kind in range(len(_KINDS)):
        head = bytes([kind])
        for other in [GET, VALUE, *OTHERS]:
            alone = [GET, GET, other, GET, other, VALUE, GET]
            found.append(head + b"".join(step(0, each) + step(_READ) for each in alone))
            found.append(head + b"".join(step(i % 3, each) for i, each in enumerate(alone)))
            found.append(head + step(0, b"".join(alone)) + b"".join(step(_READ) for _ in alone) + step(0, GET))
            cut = len(other) // 2
            found.append(head + step(0, GET) + step(0, GET + other[:cut]) + step(0, other[cut:] + GET) + step(0, GET))
        for event in [step(_LEARN, number=9), step(_HEAR, number=3), step(_HEAR), *_waits()]:
            found.append(head + (step(0, GET) + step(1, VALUE) + step(_READ) + step(_READ, number=1)) * 2 + event)
            found[-1] += step(0, GET) + step(1, VALUE)
    return found


def _waits() -> list[bytes]:
    return [step(_WAIT, number=number) for number in range(len(_PAUSES_S))]


TARGET = Target(run=run, seeds=_seeds, size_max=2048)
