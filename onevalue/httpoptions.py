"""The options of HTTP beside its port: tokens, authorities of certificates, names of this host; texts in, checked.

It must not know the other options, nor what is done with these.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from OpenSSL import SSL, crypto
from twisted.internet.endpoints import serverFromString
from twisted.internet.ssl import Certificate

from onevalue.addresses import check_http_port
from onevalue.certificates import read_authorities
from onevalue.errors import ConfigError
from onevalue.inherited import check_names, describe_inherited, is_inherited, why_missing
from onevalue.tokenfile import TokenFile, Tokens, token_file

HOST_NAMES_MAX = 64
"""Names that --host-names may have."""

_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAccess:
    """Who may call this node, and whom it believes.

    Attributes:
        token_file: can be read again; None: all is open.
        tokens: what was in it at start.
        authorities: that vouch for the certificates of members; None: those of the platform do.
        host_names: of this host, beside its own.
    """

    token_file: TokenFile | None = None
    tokens: Tokens | None = None
    authorities: Sequence[Certificate] | None = None
    host_names: tuple[str, ...] = ()


def read_http_access(text_of: Callable[[str], str | None], credentials: Path | None) -> HttpAccess:
    """What --token-file, --ca-file and --host-names say; `text_of` has the text of an option, None without it.

    `credentials` is systemd's folder for this service, if there is one ($CREDENTIALS_DIRECTORY).

    Raises:
        ConfigError: naming the option and what was wrong with it.
    """
    token_path, ca_path = text_of("token-file"), text_of("ca-file")
    file = token_file(Path(token_path), credentials) if token_path else None
    return HttpAccess(
        token_file=file,
        tokens=None if file is None else file.read(),
        authorities=read_authorities(Path(ca_path)) if ca_path else None,
        host_names=_host_names(text_of("host-names") or ""),
    )


def check_endpoint(text: str) -> str:
    """What a strports description amounts to, if a service can be made of it; its certificate and key are read.

    That is itself, but for a socket that systemd has opened: then a description of the address that it has.

    Raises:
        ValueError: it cannot; the message goes on from the text.
    """
    check_names(text, os.environ)
    try:
        endpoint = serverFromString(None, text)  # only to see that it can be read: the node makes its own
    except OSError as error:
        raise ValueError(f"cannot be used: {error.filename}: {error.strerror}") from None
    except (SSL.Error, crypto.Error) as error:
        *_, (_, _, why) = error.args[0]
        raise ValueError(
            f"has no certificate (certKey=) or no key (privateKey=) that can be used: {why}. Both must be PEM, the key"
            " without a passphrase"
        ) from None
    except Exception as error:  # noqa: BLE001  # each kind of endpoint has its own; whichever it is, the option is wrong
        if is_inherited(text) and isinstance(error, LookupError):
            raise ValueError(why_missing(text)) from None
        raise ValueError(f"is no strports description that can be used: {error}") from None
    check_http_port(text)
    return describe_inherited(text, endpoint) or text


def _host_names(text: str) -> tuple[str, ...]:
    names = tuple(each.strip() for each in text.split(",") if each.strip())
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise ConfigError(f"--host-names: {name!r} is no host name; give names without ports, and commas between")
    if len(names) > HOST_NAMES_MAX:
        raise ConfigError(f"--host-names: at most {HOST_NAMES_MAX} names, not {len(names)}")
    return names
