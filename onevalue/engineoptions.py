"""The options of which engine a node has; texts in, checked.

It must not know the other options, nor what an engine does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onevalue.addresses import host_port, split_host_port
from onevalue.authfile import AuthFile, auth_file
from onevalue.errors import ConfigError
from onevalue.rpcoptions import RPC_PORT_DEFAULT

ENGINES = ("gossip", "agent")

EMBEDDED_ONLY = (
    *("bind", "advertise", "join", "tag", "label", "profile", "setting", "verify-incoming", "verify-outgoing"),
    *("rpc", "rpc-auth-file"),
)
"""Options of the embedded engine: beside an agent they would have no effect, and the user may think that they have."""


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """Where the RPC of the Serf agent is, and the file with its key, if it has one."""

    host: str
    port: int
    auth_file: AuthFile | None = None

    def __str__(self) -> str:
        return host_port(self.host, self.port)


def read_engine(text_of: Callable[[str], str | None], credentials: Path | None) -> AgentPlace | None:
    """What --engine, --agent and --agent-auth-file say; `text_of` has the text of an option, None without it.

    None: the embedded engine. `credentials` is systemd's folder for this service ($CREDENTIALS_DIRECTORY).

    Raises:
        ConfigError: naming the option and what was wrong with it, or that it does not go with the engine.
    """
    engine = text_of("engine") or ENGINES[0]
    if engine not in ENGINES:
        raise ConfigError(f"--engine: {engine!r} is none of {', '.join(ENGINES)}")
    if engine != "agent":
        for name in ("agent", "agent-auth-file"):
            if text_of(name):
                raise ConfigError(f"--{name}: only with --engine agent; else this node is a member itself")
        return None
    for name in EMBEDDED_ONLY:
        if text_of(name):
            raise ConfigError(f"--{name}: not with --engine agent; that is the agent's to know: tell `serf agent`")
    text = text_of("agent") or "127.0.0.1"
    try:
        host, port = split_host_port(text, RPC_PORT_DEFAULT)
    except ValueError as error:
        raise ConfigError(f"--agent: {text!r} {error}") from None
    path = text_of("agent-auth-file")
    file = auth_file("agent-auth-file", Path(path), credentials) if path else None
    if file is not None:
        file.read()  # what is wrong with it is better told now
    return AgentPlace(host, port, file)
