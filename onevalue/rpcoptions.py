"""The options of the agent RPC: where it listens and what key clients must know; texts in, checked.

It must not know the other options, nor what the RPC does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from onevalue.addresses import host_port, is_loopback, split_host_port
from onevalue.authfile import AuthFile, auth_file
from onevalue.errors import ConfigError

RPC_PORT_DEFAULT: Final = 7373
"""Where Serf's tools look for an agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcAccess:
    """Where the agent RPC listens, and who may use it.

    Attributes:
        host: a name or a numeric address.
        port: likewise.
        auth_file: can be read again; None: no key is needed.
        key: what was in it at start; "" without one.
    """

    host: str
    port: int
    auth_file: AuthFile | None = None
    key: str = field(default="", repr=False)

    @property
    def exposure(self) -> list[str]:
        """A sentence for each thing that it leaves open to other hosts."""
        if is_loopback(self.host) or self.host == "localhost":
            return []
        where = f"the agent RPC on {host_port(self.host, self.port)}"
        if self.auth_file is not None:
            return [f"{where} is not encrypted: whoever listens on the way learns its key, and those of the cluster"]
        powers = "list and change the keys of the cluster, change tags, and have this node leave"
        return [f"{where} is open, until it has a key (--rpc-auth-file): whoever reaches it can {powers}"]


def read_rpc_access(text_of: Callable[[str], str | None], credentials: Path | None) -> RpcAccess | None:
    """What --rpc and --rpc-auth-file say; None: there is no RPC. `text_of` has the text of an option, None without it.

    `credentials` is systemd's folder for this service, if there is one ($CREDENTIALS_DIRECTORY).

    Raises:
        ConfigError: naming the option and what was wrong with it.
    """
    where, path = text_of("rpc"), text_of("rpc-auth-file")
    if not where:
        if path:
            raise ConfigError("--rpc-auth-file: there is no RPC to use it for; give --rpc too")
        return None
    try:
        host, port = split_host_port(where, RPC_PORT_DEFAULT)
    except ValueError as error:
        raise ConfigError(f"--rpc: {where!r} {error}") from None
    file = auth_file("rpc-auth-file", Path(path), credentials) if path else None
    return RpcAccess(host=host, port=port, auth_file=file, key="" if file is None else file.read())
