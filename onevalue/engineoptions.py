"""The options of which engine a node has; texts in, checked.

It must not know the other options, nor what an engine does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from onevalue.addresses import host_port, split_host_port
from onevalue.errors import ConfigError
from onevalue.secretfile import loose_mode, named, read_secrets

ENGINES = ("gossip", "agent")

AGENT_PORT_DEFAULT = 7373
"""Of a Serf agent's RPC."""

AUTH_FILE_SIZE_MAX = 4096
"""Bytes of a file with the key of an RPC."""

EMBEDDED_ONLY = (
    *("bind", "advertise", "join", "tag", "label", "profile", "setting", "verify-incoming", "verify-outgoing"),
)
"""Options of the embedded engine: beside an agent they would have no effect, and the user may think that they have."""


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """Where the RPC of the Serf agent is, and its key, if it has one."""

    host: str
    port: int
    auth_key: str | None = field(repr=False, default=None)

    def __str__(self) -> str:
        return host_port(self.host, self.port)


def read_engine(text_of: Callable[[str], str | None], credentials: str | None) -> AgentPlace | None:
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
        host, port = split_host_port(text, AGENT_PORT_DEFAULT)
    except ValueError as error:
        raise ConfigError(f"--agent: {text!r} {error}") from None
    path = text_of("agent-auth-file")
    return AgentPlace(host, port, read_auth_key("agent-auth-file", path, credentials) if path else None)


def read_auth_key(option: str, path: str, credentials: str | None) -> str:
    """The key of an agent's RPC: the first line of the file, without white space around it.

    Raises:
        ConfigError: the option and why the file is not fit, see `secretfile.read_secrets`; or it is empty.
    """
    file = Path(path)
    with named(f"--{option}: {path}"):
        text = read_secrets(
            file, "key", AUTH_FILE_SIZE_MAX, loose_mode(file, Path(credentials) if credentials else None)
        )
        lines = text.strip().splitlines()
        if len(lines) != 1:
            raise ValueError(f"has {len(lines)} lines. Put the RPC key into it, on one line")
        return lines[0].strip()
