"""What strangers try at an encrypted cluster: each is refused and counted, the value stays, and the node goes on."""

import base64
import itertools
import json
import os
from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from onevalue.exchange import Statement, encode_answer
from onevalue.serf.core import VSN
from onevalue.signing import NONCE_HEADER, SIGNATURE_HEADER, Signer
from onevalue.store import State
from onevalue.types import Generation, Incarnation, SequenceNumber
from onevalue.wire.codec import encode_compressed, encode_message, encode_packet
from onevalue.wire.envelope import Envelope
from onevalue.wire.keyring import Keyring
from onevalue.wire.messages import Ack, Alive, Ping, PushPull, Suspect
from onevalue.wire.serf_codec import encode_tags
from onevalue.wire.stream import STREAM_SIZE_MAX, StreamDecoder, encode_stream
from tests.e2e.harness import GOSSIP_PORT, HTTP_PORT, House, Node, ensure_deferred, eventually, free_address, reactor
from tests.e2e.raw import exchange, send_datagrams

LABEL = "blue"
PLAIN = Envelope()


def envelope(key: bytes, label: str = LABEL) -> Envelope:
    """Of somebody with this key and label."""
    return Envelope(label.encode(), Keyring([key], os.urandom))


async def one_node(house: House, key: bytes) -> Node:
    """An encrypted node that holds 7 at generation 1."""
    path = house.folder / "keys"
    path.write_bytes(base64.b64encode(key))
    path.chmod(0o600)
    options = ["--key-file", str(path), "--label", LABEL, "--broadcast-interval", "0.2"]
    node = await house.node("n", options=options).start()
    assert (await node.set(7)).status == 200
    return node


async def counters(node: Node) -> dict[str, Any]:
    """What it has counted of gossip."""
    return dict((await node.call("GET", "/v1/status")).json()["engine"]["swim"]["counters"])


def packet(*messages: Any) -> bytes:
    """One datagram, not sealed."""
    return encode_packet([encode_message(message) for message in messages], compress=False, crc=False)


def alive(name: str, host: str, tags: dict[str, str], incarnation: int = 1) -> Alive:
    """News of a member."""
    addr = bytes(map(int, host.split(".")))
    return Alive(Incarnation(incarnation), name, addr, GOSSIP_PORT, encode_tags(tags), VSN)


@ensure_deferred
async def test_packets_and_streams_of_strangers_are_refused_and_counted(house: House) -> None:
    """Wrong key, wrong label, none, cut short, changed: counted by kind, and no member comes of it."""
    key = os.urandom(32)
    node = await one_node(house, key)
    ours, before = envelope(key), await counters(node)
    news = packet(alive("intruder", free_address(), {}))
    good = ours.seal_packet(news)
    undecipherable = [
        envelope(os.urandom(32)).seal_packet(news),
        good[:-1],
        good[:40],
        good[:-1] + bytes([good[-1] ^ 1]),
        ours.seal_packet(b"")[:20],
    ]
    mislabelled = [envelope(key, "red").seal_packet(news), PLAIN.seal_packet(news), b"\xf4", b"\xf4\x00" + news]
    await send_datagrams(node.host, [*undecipherable, *mislabelled, b""])
    ping = encode_stream(Ping(SequenceNumber(1), "n"), compress=False)
    for stream, found in [
        (envelope(os.urandom(32)).seal_request(ping), False),
        (envelope(key, "red").seal_request(ping), False),
        (ping, False),
        (ours.seal_request(ping)[:-1], False),
        (b"\xf4\x04blue\x0a\xff\xff\xff\xff" + bytes(100), False),
        (ours.seal_request(ping), True),
    ]:
        answer = await exchange(node.host, GOSSIP_PORT, stream)
        if found:
            assert StreamDecoder(ours, is_request=False).feed(answer) == Ack(SequenceNumber(1))

    async def counted() -> bool:
        now = await counters(node)
        grown = {name: now[name] - before[name] for name in ("undecipherable", "mislabelled")}
        wanted = {"undecipherable": len(undecipherable) + 1, "mislabelled": len(mislabelled) + 2}
        return all(grown[name] >= count for name, count in wanted.items())

    await eventually(counted, 10, "all are counted by their kind")
    assert list(await node.members()) == ["n"]
    assert await node.get() == "7"
    assert "was refused" in node.output
    assert "Traceback" not in node.output


@ensure_deferred
async def test_packets_that_are_sent_again_change_nothing(house: House) -> None:
    """A suspicion that was refuted, news that is old, a push/pull: once or a hundred times is the same."""
    key = os.urandom(32)
    node = await one_node(house, key)
    ours = envelope(key)
    recorded = [
        ours.seal_packet(packet(Suspect(Incarnation(1), "n", "somebody"))),
        ours.seal_packet(packet(Ping(SequenceNumber(9), "n"))),
    ]
    await send_datagrams(node.host, recorded)

    async def refuted() -> bool:
        return bool((await counters(node))["refutations"] == 1)

    await eventually(refuted, 10, "the suspicion is refuted")
    await send_datagrams(node.host, recorded * 100)
    stream = ours.seal_request(encode_stream(PushPull(join=False, nodes=()), compress=True))
    answers = [await exchange(node.host, GOSSIP_PORT, stream) for _ in range(3)]
    assert all(ours.open_stream(answer) for answer in answers)
    assert (await counters(node))["refutations"] == 1
    assert list(await node.members()) == ["n"]
    assert (await node.value())["generation"] == 1
    bomb = ours.seal_request(encode_compressed(b"\x08" * (STREAM_SIZE_MAX + 1)))
    await exchange(node.host, GOSSIP_PORT, bomb)
    assert (await counters(node))["malformed"] >= 1
    assert await node.get() == "7"


class Impostor(Resource):
    """Answers `POST /notify` with a state far above; how it signs that, the test says."""

    isLeaf = True

    def __init__(self, signer: Signer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.signer = signer
        self.way = "unsigned"
        self.seen = 0
        self.first: tuple[bytes, dict[str, str]] | None = None

    def render_POST(self, request: Request) -> bytes:
        """One answer."""
        self.seen += 1
        statement = Statement("peer", learning=False, state=State(Generation(1000 + self.seen), 666))
        body = encode_answer(statement, changed=False, refused=None)
        nonce = (request.getHeader(NONCE_HEADER.lower().encode()) or b"").decode()
        headers = dict(self.signer.answer(nonce, body))
        if self.first is None:
            self.first = body, headers
        if self.way == "unsigned":
            headers = {}
        elif self.way == "forged":
            headers = {SIGNATURE_HEADER: "00" * 32}
        elif self.way == "replayed":
            body, headers = self.first
        for name, value in headers.items():
            request.setHeader(name, value)
        return body


@ensure_deferred
async def test_forged_and_replayed_answers_of_a_member_change_nothing(house: House) -> None:
    """Somebody between the nodes answers in the place of a member: only a right signature for this request counts."""
    key = os.urandom(32)
    node = await one_node(house, key)
    host = free_address()
    impostor = Impostor(Signer(envelope(key), os.urandom))
    site: Any = Site(impostor)
    port = await TCP4ServerEndpoint(reactor, HTTP_PORT, interface=host).listen(site)
    incarnations = itertools.count(1)

    async def still_alive() -> None:
        # Nobody answers probes for it: it is suspected soon, and refutes, however slowly this goes.
        news = packet(alive("peer", host, {"http": f"http:{HTTP_PORT}"}, next(incarnations)))
        await send_datagrams(node.host, [envelope(key).seal_packet(news)])

    try:
        for way in ("unsigned", "forged", "replayed"):
            impostor.way = way
            so_far = impostor.seen

            async def refused(so_far: int = so_far) -> bool:
                await still_alive()
                spread = (await node.call("GET", "/v1/status")).json()["spread"]
                return impostor.seen > so_far + 3 and spread["answers_unauthenticated"] > so_far

            await eventually(refused, 10, f"{way} answers are refused")
            assert await node.get() == "7", way
        impostor.way = "signed"

        async def taken() -> bool:
            await still_alive()
            return await node.get() == "666"

        await eventually(taken, 10, "a signed answer is taken")
    finally:
        await port.stopListening()
    body = json.dumps({"name": "x", "learning": False, "state": {"generation": 9999, "value": 1}})
    for headers in (
        {},
        {NONCE_HEADER: "00" * 16, SIGNATURE_HEADER: "00" * 32},
        {NONCE_HEADER: "x", SIGNATURE_HEADER: ""},
    ):
        assert (await node.call("POST", "/notify", data=body.encode(), headers=headers)).status == 403
    assert (await node.call("GET", "/notify/5/5000")).status == 403
    assert await node.get() == "666"
    assert "Traceback" not in node.output
