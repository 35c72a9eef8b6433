"""What the agent RPC counts, for status and metrics."""

import msgpack  # type: ignore[import-untyped]  # it has no types

from onevalue.rpc.outgoing import BEHIND_TIME_MAX_S
from onevalue.rpc.service import CONNECTIONS_MAX
from onevalue.wire import rpc_messages as rpc
from tests.unit.rpc_bench import Client, RpcTestCase


class FigureTests(RpcTestCase):
    """With a key."""

    key = "sesame"

    def test_it_tells_where_it_listens_and_how_many_clients_there_are(self) -> None:
        """Whoever has gone counts no more."""
        clients = [self.client() for _ in range(3)]
        clients[0].lose()
        figures = self.rpc.figures()
        assert (figures.clients, figures.clients_max) == (2, CONNECTIONS_MAX)
        assert figures.address == "0.0.0.0:7373"

    def test_requests_count_by_command(self) -> None:
        """Those that were begun; what is no command makes no name of its own."""
        client = self.client()
        client.ask("auth", 1, rpc.Auth("sesame"))
        client.ask("stats", 2)
        client.ask("stats", 3)
        client.send(msgpack.packb({"Command": "nix", "Seq": 4}))
        requests = self.rpc.figures().requests
        assert {name: count for name, count in requests.items() if count} == {"handshake": 1, "auth": 1, "stats": 2}
        assert self.rpc.figures().status["requests"] == 4

    def test_what_is_refused_counts(self) -> None:
        """A wrong key is one of these, and is told apart."""
        client = self.client()
        client.ask("stats", 1)
        client.ask("auth", 2, rpc.Auth("guess"))
        client.ask("auth", 3, rpc.Auth("sesame"))
        events = self.rpc.figures().events
        assert (events["refused"], events["wrong_keys"]) == (2, 1)

    def test_clients_that_are_turned_away_or_cut_off_count(self) -> None:
        """There were too many of them, or they did not read."""
        clients = [self.client() for _ in range(CONNECTIONS_MAX)]
        assert self.rpc.buildProtocol(None) is None
        for client in clients:
            client.ask("auth", 1, rpc.Auth("sesame"))
        clients[0].protocol._outgoing.pauseProducing()
        self.wait(BEHIND_TIME_MAX_S + 0.2)
        events = self.rpc.figures().events
        assert (events["clients_refused"], events["clients_too_slow"]) == (1, 1)

    def test_status_tells_all_but_the_commands(self) -> None:
        """Address, clients, and each counter by its name."""
        Client(self)
        assert dict(self.rpc.figures().status) == {
            "address": "0.0.0.0:7373",
            "clients": 1,
            "clients_max": CONNECTIONS_MAX,
            "requests": 0,
            "refused": 0,
            "wrong_keys": 0,
            "clients_refused": 0,
            "clients_too_slow": 0,
        }
