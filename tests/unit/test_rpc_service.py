"""The service of the agent RPC: it starts whole, tells who had the node leave, and leaves nothing behind."""

import pytest
from twisted.internet.error import CannotListenError
from twisted.logger import globalLogPublisher

from onevalue.rpc.outgoing import BEHIND_TIME_MAX_S
from onevalue.rpc.service import LEAVE_TIME_MAX_S, LEFT_PAUSE_S, STOP_GRACE_S
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.rpc_codec import encode_request
from tests.unit.rpc_bench import Client, RpcTestCase

LEAVE = encode_request("leave", 5)


class ServiceTests(RpcTestCase):
    """Start and stop."""

    def rpc_calls(self) -> int:
        """Delayed calls of the RPC: those beside the engine's one."""
        return len(self.reactor.getDelayedCalls()) - 1

    def test_a_port_that_is_taken_keeps_it_from_starting(self) -> None:
        """It does not listen to the log either."""
        self.rpc.stopService()
        self.reactor.tcp_taken = True
        with pytest.raises(CannotListenError):
            self.rpc.startService()
        assert not self.rpc.running
        assert self.rpc._monitor not in globalLogPublisher._observers

    def test_a_stop_with_nobody_is_over_at_once(self) -> None:
        """Nothing is left; twice does no harm."""
        self.successResultOf(self.rpc.stopService())
        self.successResultOf(self.rpc.stopService())
        assert self.rpc._monitor not in globalLogPublisher._observers
        assert self.rpc_calls() == 0

    def test_clients_that_do_not_go_are_cut_off(self) -> None:
        """In time; and nobody new is admitted."""
        client = self.client()
        client.ask("monitor", 1, rpc.Monitor("info"))
        stopped = self.rpc.stopService()
        assert self.rpc.buildProtocol(None) is None
        assert (client.is_closed, client.is_cut_off) == (True, False)
        self.wait(STOP_GRACE_S + 0.2)
        assert client.is_cut_off
        client.lose()
        self.successResultOf(stopped)
        assert self.rpc_calls() == 0

    def test_a_client_that_is_to_go_and_does_not_read_is_cut_off(self) -> None:
        """Also one that was refused: its connection does not stay."""
        client = Client(self)
        client.send(LEAVE)
        assert (client.is_closed, client.is_cut_off) == (True, False)
        self.wait(BEHIND_TIME_MAX_S + 0.2)
        assert client.is_cut_off
        client.lose()
        assert self.rpc_calls() == 0

    def test_a_leave_that_does_not_come_is_told_as_an_error(self) -> None:
        """In bounded time, and the client may ask again."""
        client = self.client()
        client.send(LEAVE)
        self.wait(LEAVE_TIME_MAX_S + 0.2)
        [header] = client.more()
        assert "has not left within 30 s" in header["Error"]
        assert client.send(LEAVE) == []
        assert self.leaves == 2

    def test_all_who_have_it_leave_are_told(self) -> None:
        """Once each; whoever has gone meanwhile does no harm."""
        clients = [self.client() for _ in range(3)]
        for client in clients:
            client.send(LEAVE)
        clients[0].lose()
        stopped = self.rpc.stopService()
        assert [client.more() for client in clients[1:]] == [[{"Error": "", "Seq": 5}]] * 2
        for client in clients[1:]:
            client.lose()
        self.wait(LEFT_PAUSE_S + 0.1)
        self.successResultOf(stopped)

    def test_it_may_start_again(self) -> None:
        """And serves then."""
        self.successResultOf(self.rpc.stopService())
        self.rpc.startService()
        assert self.client().ask("get-coordinate", 1, rpc.GetCoordinate("n1"))
        assert self.rpc.port is not None
