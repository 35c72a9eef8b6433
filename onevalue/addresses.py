"""Where a node is bound and what it advertises: the rules that keep a node closed until it is told otherwise.

Without an advertise address: loopback only; with a join address off loopback the source address towards it is
advertised. With one: all interfaces, as the original, but a loopback address binds that address only.
Asks the operating system's resolver and routes, at start, before the reactor runs.
"""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from onevalue.config import GOSSIP_PORT_DEFAULT
from onevalue.errors import ConfigError
from onevalue.spread.contacts import UNREACHABLE
from onevalue.types import port_number

LOOPBACK = "127.0.0.1"

V6ONLY = ":v6only=1"
"""In the description of a socket that systemd has opened: though it is on ::, it takes no IPv4."""

ADDRESSES_JUDGED_MAX = 256
"""Hosts of which is remembered whether they are loopback: each request asks."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Numeric hosts and ports: where gossip listens, and what other members are told."""

    bind_host: str
    bind_port: int
    advertise_host: str
    advertise_port: int

    @property
    def open_to_others(self) -> bool:
        """True if somebody on another host can reach what is bound here."""
        return not ip_address(self.bind_host).is_loopback

    def http_description(self, port: int) -> str:
        """The strports description of an HTTP service on the same addresses."""
        host = ip_address(self.bind_host)
        kind = "tcp6" if host.version == 6 else "tcp"
        return f"{kind}:{port}:interface={self.bind_host.replace(':', chr(92) + ':')}"


def split_host_port(text: str, default_port: int) -> tuple[str, int]:
    """`HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address, apart.

    Raises:
        ValueError: no host, or no port from 1 to 65535; the message goes on from the text.
    """
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("is not [HOST]:PORT")
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        if not port:
            raise ValueError("has no port after the colon")
    if not host or any(c.isspace() or c in "/[]" for c in host):
        raise ValueError("has no host")
    if ":" in host:
        try:
            ip_address(host)
        except ValueError:
            raise ValueError("is neither HOST:PORT nor an IPv6 address") from None
    if not port:
        return host, default_port
    number = port_number(port)
    if not number:
        raise ValueError("has no port from 1 to 65535")
    return host, number


def place(*, bind: str | None, advertise: str | None, join: Sequence[str]) -> Placement:
    """Where to listen and what to advertise.

    Raises:
        ConfigError: naming the option that is wrong or missing.
    """
    advertised = _resolved("--advertise", advertise) if advertise else None
    bound = _resolved("--bind", bind) if bind else None
    if advertised is None and bound is not None and not ip_address(bound[0]).is_unspecified:
        advertised = bound
    if advertised is None:
        host = _source_towards(join)
        if bound is not None and host is None:
            raise ConfigError(
                "--bind: all interfaces need --advertise HOST, so that others know how to reach this node"
            )
        advertised = (host or LOOPBACK, None)
    advertise_host, advertise_port = advertised
    if ip_address(advertise_host).is_unspecified:
        raise ConfigError(f"--advertise: {advertise_host} is no address at which others could reach this node")
    if bound is None:
        bound = (_default_bind(ip_address(advertise_host)), None)
    bind_port = bound[1] or advertise_port or GOSSIP_PORT_DEFAULT
    return Placement(bound[0], bind_port, advertise_host, advertise_port or bind_port)


def _default_bind(advertised: IPv4Address | IPv6Address) -> str:
    if advertised.is_loopback:
        return str(advertised)
    return "::" if advertised.version == 6 else "0.0.0.0"  # noqa: S104  # told to by an advertise address, as the original


def _resolved(option: str, text: str) -> tuple[str, int | None]:
    try:
        host, port = split_host_port(text, 0)
    except ValueError as error:
        raise ConfigError(f"{option}: {text!r} {error}") from None
    return _resolve(option, host), port or None


def _resolve(option: str, host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{option}: cannot find the address of {host!r}: {error}") from None


def _source_towards(join: Sequence[str]) -> str | None:
    """The address from which this host would speak to the first join address off loopback; None if there is none."""
    for text in join:
        host, port = split_host_port(text, GOSSIP_PORT_DEFAULT)
        try:
            target = ip_address(_resolve("--join", host))
        except ConfigError as error:
            raise ConfigError(f"{error}; give --advertise HOST, for the own address cannot be told either") from None
        if target.is_loopback:
            continue
        family = socket.AF_INET6 if target.version == 6 else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((str(target), port))  # sends nothing: asks the routing table
                return str(probe.getsockname()[0])
        except OSError as error:
            raise ConfigError(f"--join: no way to {text}: {error}; give --advertise HOST") from None
    return None


def host_port(host: str, port: int) -> str:
    """The two as one text, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def http_tag(description: str, advertise_host: str) -> str:
    """What the `http` tag says of a strports description: scheme and port, or `-` if members cannot reach it.

    Reachable is a TCP or TLS port of a fixed number, on all interfaces of the advertised address's family or on that.
    """
    kind, port, interface = _parts(description)
    scheme = {"tcp": "http", "tcp6": "http", "ssl": "https"}.get(kind)
    if scheme is None or not port_number(port):
        return UNREACHABLE
    advertised = ip_address(advertise_host)
    listening = _numeric(interface or ("::" if kind == "tcp6" else "0.0.0.0"))  # noqa: S104  # Twisted's defaults
    # A socket on :: takes IPv4 too, as Linux does it by default.
    takes_both = advertised.version == 6 or V6ONLY not in description
    everywhere = listening and listening.is_unspecified and listening.version >= advertised.version and takes_both
    return f"{scheme}:{port}" if everywhere or listening == advertised else UNREACHABLE


@lru_cache(ADDRESSES_JUDGED_MAX)
def is_loopback(host: str) -> bool:
    """Whether a numeric host is this host's own loopback, also as IPv4 mapped into IPv6."""
    address = _numeric(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback if address else False


def check_http_port(description: str) -> None:
    """Raises ValueError if a strports description has a TCP port that cannot be; the message goes on from the text."""
    kind, port, _ = _parts(description)
    if kind in {"tcp", "tcp6", "ssl"} and not 0 <= int(port) < 65536:  # serverFromString knows that it is a number
        raise ValueError("has no port from 0 to 65535")


def http_open_to_others(description: str) -> bool:
    """True unless a strports description is known to serve this host only."""
    kind, _, interface = _parts(description)
    address = _numeric(interface)
    return kind != "unix" and not (address.is_loopback if address else interface == "localhost")


def http_encrypted(description: str) -> bool:
    """Whether a strports description is one of TLS."""
    return _parts(description)[0] == "ssl"


def _parts(description: str) -> tuple[str, str, str]:
    """Kind, port and interface of a strports description; "" for what it does not say."""
    kind, *rest = re.split(r"(?<!\\):", description)
    named = dict(part.partition("=")[::2] for part in rest if "=" in part)
    port = named.get("port") or next((part for part in rest if "=" not in part), "")
    return kind, port, named.get("interface", "").replace("\\:", ":")


def _numeric(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
