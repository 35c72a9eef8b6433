"""Tokens, TLS and the names of a host, among real processes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import treq
from twisted.internet.ssl import Certificate
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool

from tests.certificates import Authority, Pair
from tests.e2e.harness import (
    HTTP_PORT,
    TWISTD,
    Answer,
    House,
    Node,
    Process,
    ensure_deferred,
    eventually,
    free_address,
    reactor,
)
from tests.e2e.raw import connect, exchange
from tests.e2e.test_encryption import key_file, new_key

WRITE, READ, OTHER = "write-token-of-tests", "read-token-of-tests", "another-token-of-tests"


def bearer(token: str) -> dict[str, str]:
    """The header that sends a token."""
    return {"Authorization": f"Bearer {token}"}


def token_file(house: House, *lines: str) -> Path:
    """A file for `--token-file`."""
    path = house.folder / "tokens"
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o600)
    return path


async def shown(node: Node, words: str) -> None:
    """The log has these words, in time."""

    async def check() -> bool:
        return words in node.output

    await eventually(check, 10, f"{words!r} in the log of {node.name}")


def assert_silent(house: House) -> None:
    """No token is in what any process printed."""
    for token in (WRITE, READ, OTHER):
        assert token not in house.report()


@ensure_deferred
async def test_a_cluster_with_tokens_and_a_key(house: House) -> None:
    """Writes need a token to write, reads one of either kind; the nodes themselves need none; no log shows one."""
    path = token_file(house, f"write {WRITE} deploys", f"read {READ}", "# end")
    options = ["--token-file", str(path), "--key-file", key_file(house, new_key())]
    n1, n2 = (house.node(f"n{i}", host=host, options=options) for i, host in enumerate([free_address() for _ in "ab"]))
    n2.join = [n1.host]
    for node in (n1, n2):
        await node.start()  # /healthz and /readyz are open
    assert (await n1.set(7)).status == 401
    assert (await n1.call("GET", "/set/7", headers=bearer(READ))).status == 403
    assert (await n1.call("GET", "/set/7", headers=bearer(WRITE))).text == "7"

    async def arrived() -> bool:
        return (await n2.call("GET", "/get", headers=bearer(READ))).text == "7"

    await eventually(arrived, 10, "the value is on the other node")
    assert (await n2.call("GET", "/get")).status == 401
    refused = await n2.call("PUT", "/v1/value", json=8)
    assert (refused.status, refused.header("WWW-Authenticate")) == (401, 'Bearer realm="onevalue"')
    assert (await n2.call("PUT", "/v1/value", json=8, headers=bearer(WRITE))).json()["value"] == 8
    status = (await n2.call("GET", "/v1/status", headers=bearer(READ))).json()
    assert status["spread"]["exchanges"] > 0
    assert status["spread"].get("failures", 0) == 0
    assert status["http"]["requests_denied"] == 2
    assert status["exposure"] == []  # on loopback, with a key
    keys = await n2.call("GET", "/v1/keys", headers=bearer(WRITE))
    assert (keys.status, keys.json()["answers"]) == (200, 2)
    assert_silent(house)


@ensure_deferred
async def test_tokens_are_read_again_at_sighup(house: House) -> None:
    """A good file counts at once; a broken one is told, and changes nothing; the node goes on in any case."""
    path = token_file(house, f"write {WRITE}", f"read {READ}")
    node = await house.node("n", options=["--token-file", str(path)]).start()
    assert node.process is not None

    async def statuses() -> list[int]:
        return [
            (await node.call("GET", "/get", headers=headers)).status
            for headers in ({}, bearer(READ), bearer(WRITE), bearer(OTHER))
        ]

    assert await statuses() == [401, 200, 200, 401]
    for content, words in [(f"write {OTHER}\nred {READ}\n", "is wrong in line 2"), ("", "holds no token")]:
        path.write_text(content)
        node.process.signal("HUP")
        await shown(node, words)
    assert await statuses() == [401, 200, 200, 401]
    path.write_text(f"write {WRITE}\nread {OTHER}\n")
    node.process.signal("HUP")
    await shown(node, "tokens that count from now on: 1 to write and 1 to read")
    assert await statuses() == [401, 401, 200, 200]
    path.write_text(f"write {WRITE}\n")
    node.process.signal("HUP")
    await shown(node, "tokens that count from now on: 1 to write and 0 to read")
    assert await statuses() == [200, 200, 200, 200]
    [sentence] = (await node.call("GET", "/v1/status")).json()["exposure"]
    assert "/notify does not ask" in sentence
    assert "--key-file" in sentence
    assert sentence in node.output
    await node.stop()
    assert_silent(house)


@ensure_deferred
async def test_what_was_made_for_a_token_ends_with_it(house: House) -> None:
    """A stream that is open, and an answer that is remembered, when the token counts no more."""
    path = token_file(house, f"write {WRITE}", f"read {READ}")
    node = await house.node("n", options=["--token-file", str(path)]).start()
    assert node.process is not None
    head = f"HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {READ}\r\n\r\n".encode()
    stream = await connect(node.host, HTTP_PORT, b"GET /v1/watch " + head)
    await stream.until(lambda raw: b"data: " in raw.received, 5)
    reader = await connect(node.host, HTTP_PORT)
    for _ in range(5):
        reader.received = b""
        reader.send(b"GET /get " + head)
        await reader.until(lambda raw: b"200 OK" in raw.received and raw.received.endswith(b"42"), 5)
    assert (await node.call("GET", "/v1/status", headers=bearer(WRITE))).json()["http"]["requests_remembered"]
    path.write_text(f"write {WRITE}\nread {OTHER}\n")
    node.process.signal("HUP")
    await stream.until(lambda raw: raw.received.endswith(b"0\r\n\r\n"), 5)
    reader.send(b"GET /get " + head)
    await reader.until(lambda raw: b"401 Unauthorized" in raw.received, 5)
    for raw in (stream, reader):
        raw.abort()


@ensure_deferred
async def test_sighup_does_not_end_a_node_without_tokens(house: House) -> None:
    """Systemctl reload is harmless."""
    node = await house.node("n").start()
    assert node.process is not None
    node.process.signal("HUP")
    await shown(node, "SIGHUP")
    assert (await node.set(7)).text == "7"


@ensure_deferred
async def test_a_page_that_rebinds_its_name_is_misdirected(house: House) -> None:
    """At a loopback address the Host header must name this host; --host-names adds to what does."""
    node = await house.node("n", options=["--host-names", "db.example, db2.example"]).start()
    for host, status in [
        ("evil.example:8080", 421),
        ("evil.example", 421),
        ("localhost:8080", 200),
        ("n", 200),
        ("db2.example:8080", 200),
        (f"{node.host}:8080", 200),
    ]:
        line = f"GET /get HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        answer = await exchange(node.host, HTTP_PORT, line.encode())
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), (host, answer)
        assert (b"--host-names" in answer) == (status == 421)


class TlsNode(Node):
    """A node that serves HTTPS on port 8443."""

    authority: Authority

    @property
    def url(self) -> str:
        """Of its HTTP service."""
        return f"https://{self.host}:8443"

    async def call(self, method: str, path: str, **keywords: Any) -> Answer:
        """One HTTP request, by a client that trusts the authority."""
        root = Certificate.loadPEM(self.authority.file.read_bytes())
        pool = HTTPConnectionPool(reactor, persistent=False)
        agent = Agent(reactor, BrowserLikePolicyForHTTPS(root), connectTimeout=5, pool=pool)
        response = await treq.request(method, self.url + path, agent=agent, timeout=5, **keywords)
        return Answer(response.code, await treq.content(response), response.headers)


def tls_node(house: House, authority: Authority, name: str, pair_for: str | None = None, **keywords: Any) -> TlsNode:
    """A node whose certificate is of this authority, for its own address unless `pair_for` is another."""
    host = free_address()
    pair = authority.pair(name, pair_for or host)
    options = ["--http", pair.endpoint(host, 8443), *keywords.pop("options", [])]
    node = TlsNode(name, host, house.folder, options=options, **keywords)
    node.authority = authority
    house.nodes.append(node)
    return node


@ensure_deferred
async def test_nodes_exchange_states_over_tls(house: House) -> None:
    """Under the authority of --ca-file; they show their certificates, and no exchange fails."""
    authority = Authority.new(house.folder / "ca")
    trusting = ["--ca-file", str(authority.file), "--broadcast-interval", "0.2"]
    n1 = tls_node(house, authority, "n1", options=trusting)
    n2 = tls_node(house, authority, "n2", options=trusting, join=[n1.host])
    for node in (n1, n2):
        await node.start()
    assert (await n1.set(7)).text == "7"
    await n2.holds(7)
    members = await n1.members()
    assert members["n2"]["http"] == n2.url
    for origin, status in [(n1.url, 200), (n1.url.replace("https", "http"), 403)]:
        assert (await n1.call("PUT", "/v1/value", json=8, headers={"Origin": origin})).status == status

    async def exchanged() -> bool:
        spread = (await n1.call("GET", "/v1/status")).json()["spread"]
        assert spread.get("failures", 0) == 0
        return bool(spread["exchanges"] > 2)

    await eventually(exchanged, 10, "exchanges over TLS")
    assert "Traceback" not in n1.output + n2.output


@pytest.mark.parametrize("fault", ["stranger", "address", "platform"])
@ensure_deferred
async def test_a_certificate_that_does_not_verify_is_refused(house: House, fault: str) -> None:
    """Another authority, another address, or no --ca-file: the log says why, and what it answers does not count."""
    authority, stranger = (Authority.new(house.folder / name, name) for name in ("ours", "strangers"))
    good = tls_node(
        house,
        authority,
        "good",
        options=["--broadcast-interval", "0.2", "--join-timeout", "1"]
        + ([] if fault == "platform" else ["--ca-file", str(authority.file)]),
    )
    bad = tls_node(
        house,
        stranger if fault == "stranger" else authority,
        "bad",
        pair_for="127.0.0.1" if fault == "address" else None,
        join=[good.host],
        options=["--ca-file", str(authority.file), "--broadcast-interval", "3600"],
    )
    await good.start()
    bad.spawn()
    await good.sees({"bad": "alive"})
    await shown(good, f"no exchange with bad: the certificate of {bad.host} is refused")
    spread = (await good.call("GET", "/v1/status")).json()["spread"]
    assert spread["answers_unauthenticated"] > 0
    assert "Traceback" not in good.output


async def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and output of `twistd onevalue` with these arguments."""
    command = [TWISTD, "--nodaemon", "--pidfile=", "onevalue", "--no-journal", *arguments]
    process = Process("twistd", command, {"PATH": os.environ["PATH"], "HOME": str(folder)}, folder)
    return await process.ended(20), process.output


@ensure_deferred
async def test_what_cannot_be_used_is_one_clear_line(house: House) -> None:
    """Certificates, keys, authorities, tokens: the last line names option and file; no traceback, and no token."""
    one, other = (Authority.new(house.folder / "ca").pair(name, "127.0.0.1") for name in "ab")
    loose = token_file(house, f"write {WRITE}")
    loose.chmod(0o644)
    broken = house.folder / "broken"
    broken.write_text(f"wrote {WRITE}\n")
    broken.chmod(0o600)
    cases: Sequence[tuple[str, str, str]] = [
        ("--http", Pair(one.certificate, house.folder / "none").endpoint("127.0.0.1", 8443), "No such file"),
        ("--http", Pair(one.key, one.key).endpoint("127.0.0.1", 8443), "certKey="),
        ("--http", Pair(one.certificate, other.key).endpoint("127.0.0.1", 8443), "do not match"),
        ("--ca-file", str(one.key), str(one.key)),
        ("--token-file", str(loose), f"chmod 600 {loose}"),
        ("--token-file", str(broken), "line 1"),
    ]
    for option, value, words in cases:
        status, output = await run(house.folder, f"{option}={value}")
        assert status == 1, output
        assert option in output.splitlines()[-1], output
        assert words in output.splitlines()[-1], output
        assert "Traceback" not in output
        assert WRITE not in output
