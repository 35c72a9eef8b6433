"""The options of `twistd onevalue`: text and environment in, one frozen NodeConfig out, or a usage error.

Each option can also stand in the environment as ONEVALUE_..., and the original program's ADVERTISE_ADDR and
CLUSTER_ADDR are understood; the command line wins. It must not know how a node is built.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import nan
from pathlib import Path
from socket import gethostname
from typing import TypeVar

from twisted.python import usage

import twisted
from onevalue import __version__
from onevalue.addresses import Placement, place, split_host_port
from onevalue.config import (
    GOSSIP_PORT_DEFAULT,
    HTTP_PORT_DEFAULT,
    LAN,
    LOCAL,
    WAN,
    SerfSettings,
    SpreadSettings,
    SwimSettings,
)
from onevalue.engineoptions import AgentPlace, read_engine
from onevalue.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from onevalue.httpoptions import HttpAccess, check_endpoint, read_http_access
from onevalue.journal_file import HISTORY_MAX_DEFAULT, HISTORY_MAX_LIMIT
from onevalue.keyfile import KeyFile, key_file
from onevalue.optiontable import FLAGS, PARAMETERS, REPEATED, variable_of, without_meaning
from onevalue.rpcoptions import RpcAccess, read_rpc_access
from onevalue.serf.dialler import TARGETS_MAX
from onevalue.spread.contacts import HTTP_TAG
from onevalue.valuefile import check_path
from onevalue.values import VALUE_SIZE_DEFAULT, VALUE_SIZE_MAX, Value, parse_value
from onevalue.wire.label import LABEL_SIZE_MAX
from onevalue.wire.serf_codec import encode_tags

NAME_LENGTH_MAX = 128
CLUSTER_SIZE_MAX = 100_000
LONGEST_HTTP_TAG = "https:65535"
_T = TypeVar("_T")

DEFAULTS = {
    "initial": "42",
    "members-to-notify": "2",
    "broadcast-interval": "2",
    "debug-interval": "5",
    "join-timeout": "5",
    "value-size-max": str(VALUE_SIZE_DEFAULT),
    "history-max": str(HISTORY_MAX_DEFAULT),
}
PROFILES = {"lan": LAN, "wan": WAN, "local": LOCAL}
_SWIM = {each.name: each.default for each in fields(SwimSettings)}
_SERF = {each.name: each.default for each in fields(SerfSettings)}
ORIGINAL_VARIABLES = {"advertise": "ADVERTISE_ADDR", "join": "CLUSTER_ADDR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """What a node is told at start, checked.

    Attributes:
        name: unique in the cluster.
        placement: where gossip is bound and what is advertised.
        http: a strports description.
        http_at: what it amounts to: itself, or, of a socket that systemd has opened, that of the address it has.
        join: `HOST[:PORT]` texts.
        tags: Serf tags of this node, without `http`.
        initial: the value at generation 0.
        value_size_max: bytes of JSON of a value that is written here.
        cluster_size: of how many nodes a majority is one; None: that is not known.
        data_dir: where the journal lives; None: no journal.
        history_max: accepted states that the journal keeps.
        value_file: where the value is kept for other programs; None: nowhere.
        key_file: where the keys come from; None: from nowhere.
        keys: of the cluster, the primary first; none: nothing is encrypted, unless a keyring was kept.
        label: of the cluster.
        verify_incoming, verify_outgoing: see `wire.envelope`.
        swim, serf: settings of gossip.
        spread: bounds and rates of spreading.
        broadcast_interval_s: between two rounds of anti-entropy.
        debug_interval_s: between two debug lines; 0 for none.
        agent: the Serf agent that is the member; None: this node is.
        access: who may call this node over HTTP, and whom it believes.
        rpc: where Serf's tools may reach it; None: nowhere.
        ignored: variables of the environment that look like options and are none.
    """

    name: str
    placement: Placement
    http: str
    http_at: str
    join: tuple[str, ...]
    tags: Mapping[str, str]
    initial: Value
    value_size_max: int
    cluster_size: int | None
    data_dir: Path | None
    keys: tuple[bytes, ...] = field(repr=False)
    label: bytes
    verify_incoming: bool
    verify_outgoing: bool
    swim: SwimSettings
    serf: SerfSettings
    spread: SpreadSettings
    broadcast_interval_s: float
    debug_interval_s: float
    access: HttpAccess = field(default_factory=HttpAccess)
    history_max: int = HISTORY_MAX_DEFAULT
    value_file: Path | None = None
    key_file: KeyFile | None = None
    agent: AgentPlace | None = None
    rpc: RpcAccess | None = None
    ignored: tuple[str, ...] = ()


class Options(usage.Options):
    """One node of a distributed one-value database."""

    synopsis = "[options]"
    longdesc = (
        "Every node holds the same value; read and write it over HTTP on any of them. Each option can also be given "
        "in the environment as ONEVALUE_ and its name in capitals, e.g. ONEVALUE_DATA_DIR."
    )
    optParameters = PARAMETERS
    optFlags = FLAGS

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._environ = os.environ if environ is None else environ
        self._variables: dict[str, str] = {}  # where those options come from that stand in the environment
        for name in REPEATED:
            self[name] = []
        self._refused = False

    def opt_join(self, addresses: str) -> None:
        """HOST[:PORT] of a member to join, a comma list, or repeated; dialled for ever. Also CLUSTER_ADDR."""
        self["join"].append(addresses)

    def opt_tag(self, tag: str) -> None:
        """KEY=VALUE shown to all members; may be repeated."""
        self["tag"].append(tag)

    def opt_setting(self, setting: str) -> None:
        """NAME=VALUE of gossip, as docs/protocol.md lists them; may be repeated; over those of the profile."""
        self["setting"].append(setting)

    def opt_version(self) -> None:
        """Display the versions of OneValue and Twisted and exit."""
        sys.stdout.write(f"OneValue {__version__}, Twisted {twisted.__version__}\n")
        sys.exit(0)

    def parseArgs(self, *arguments: str) -> None:
        """There are none but options.

        Raises:
            UsageError: there are; the first is named.
        """
        if arguments:
            raise usage.UsageError(f"{arguments[0]!r} belongs to no option")

    def postOptions(self) -> None:
        """`self["config"]` is the checked NodeConfig.

        Raises:
            UsageError: naming the option, the variable if it came from the environment, and what was wrong with it.
        """
        try:
            self["config"] = self._config()
        except ConfigError as error:
            option, colon, what = str(error).partition(":")
            variable = self._variables.get(option.removeprefix("--"))
            self._refused = True
            raise usage.UsageError(f"{option}{f' (from {variable})' if variable else ''}{colon}{what}") from None

    def getUsage(self, width: int | None = None) -> str:
        """The help; but short when a value is refused, or its 70 lines would hide why, at each start that is tried."""
        if self._refused:
            return "`twistd onevalue --help` tells all options.\n"
        return super().getUsage(width)

    def _config(self) -> NodeConfig:
        key_file = self._key_file()
        agent = read_engine(lambda name: self._text(name) or ",".join(self._list(name)) or None, self._credentials)
        join = tuple(self._checked("join", _address, each) for each in self._list("join"))
        if len(join) > TARGETS_MAX:
            raise ConfigError(f"--join: at most {TARGETS_MAX} addresses, not {len(join)}")
        placement = place(bind=self._text("bind"), advertise=self._text("advertise"), join=join)
        name = self._text("name") or _default_name(placement.advertise_port)
        self._checked("name", _name, name)
        data_dir = None if self._flag("no-journal") else self._data_dir(name)
        spread = self._spread()
        swim, serf = self._settings()
        http = self._text("http") or placement.http_description(HTTP_PORT_DEFAULT)
        return NodeConfig(
            name=name,
            placement=placement,
            http=http,
            http_at=self._checked("http", check_endpoint, http),
            join=join,
            tags=self._tags(),
            initial=self._initial(),
            value_size_max=self._integer("value-size-max", 1, VALUE_SIZE_MAX),
            cluster_size=self._integer("cluster-size", 1, CLUSTER_SIZE_MAX) if self._text("cluster-size") else None,
            data_dir=data_dir,
            value_file=self._value_file(data_dir),
            history_max=self._integer("history-max", 0, HISTORY_MAX_LIMIT),
            key_file=key_file,
            keys=() if key_file is None else key_file.read(),
            label=self._label(),
            verify_incoming=self._yes("verify-incoming"),
            verify_outgoing=self._yes("verify-outgoing"),
            swim=swim,
            serf=serf,
            spread=spread,
            broadcast_interval_s=self._number("broadcast-interval", float, 0.01, 3600.0),
            debug_interval_s=self._number("debug-interval", float, 0.0, 86400.0),
            access=read_http_access(self._text, self._credentials),
            agent=agent,
            rpc=read_rpc_access(self._text, self._credentials),
            ignored=without_meaning(self._environ),
        )

    @property
    def _credentials(self) -> Path | None:
        """Systemd's folder for this service, if there is one."""
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        return Path(folder) if folder else None

    def _initial(self) -> Value:
        text = (self._text("initial") or "").encode("utf-8", "surrogateescape")
        try:
            return parse_value(text, VALUE_SIZE_MAX)
        except RemoteProtocolError as error:
            raise ConfigError(f"--initial: {error}; a text needs quotes, as in '\"v1.2\"'") from None

    def _tags(self) -> dict[str, str]:
        tags = dict(self._checked("tag", _tag, each) for each in self._list("tag"))
        try:
            encode_tags({**tags, HTTP_TAG: LONGEST_HTTP_TAG})
        except (ConfigError, LocalProtocolError) as error:
            raise ConfigError(f"--tag: too much for all members to carry: {error}") from None
        return tags

    def _spread(self) -> SpreadSettings:
        return SpreadSettings(
            members_to_notify=self._integer("members-to-notify", 0, 64),
            join_timeout_s=self._number("join-timeout", float, 0.01, 3600.0),
        )

    def _value_file(self, data_dir: Path | None) -> Path | None:
        text = self._text("value-file")
        path = self._checked("value-file", check_path, text) if text else None
        if path is not None and data_dir is not None and path.parent.resolve() == data_dir.resolve():
            raise ConfigError(f"--value-file: {text!r} is in the data folder, which is the node's alone. Name another")
        return path

    def _key_file(self) -> KeyFile | None:
        path = self._text("key-file")
        return key_file(Path(path), self._credentials) if path else None

    def _label(self) -> bytes:
        label = (self._text("label") or "").encode("utf-8", "surrogateescape")
        if len(label) > LABEL_SIZE_MAX:
            raise ConfigError(f"--label: at most {LABEL_SIZE_MAX} bytes, not {len(label)}")
        return label

    def _yes(self, name: str) -> bool:
        text = (self._text(name) or "yes").lower()
        if text not in {"yes", "no", "true", "false", "1", "0"}:
            raise ConfigError(f"--{name}: say yes or no, not {text!r}")
        return text in {"yes", "true", "1"}

    def _settings(self) -> tuple[SwimSettings, SerfSettings]:
        profile = self._text("profile") or "lan"
        if profile not in PROFILES:
            raise ConfigError(f"--profile: {profile!r} is none of {', '.join(PROFILES)}")
        changes: dict[str, float | int | bool] = {}
        for each in self._list("setting"):
            name, value = self._checked("setting", _setting, each)
            changes[name] = value
        try:
            swim = replace(PROFILES[profile], **{k: v for k, v in changes.items() if k in _SWIM})  # type: ignore[arg-type]  # `_setting` has seen to the types
            serf = SerfSettings(**{k: v for k, v in changes.items() if k in _SERF})  # type: ignore[arg-type]  # likewise
        except ConfigError as error:
            raise ConfigError(f"--setting: {error}") from None
        return swim, serf

    def _text(self, name: str) -> str | None:
        given: str | None = self[name]
        return given if given is not None else self._from_environment(name) or DEFAULTS.get(name)

    def _from_environment(self, name: str) -> str | None:
        variables = [variable_of(name)]
        if name in ORIGINAL_VARIABLES:
            variables.append(ORIGINAL_VARIABLES[name])
        for variable in variables:
            if self._environ.get(variable):
                self._variables[name] = variable
                return self._environ[variable]
        return None

    def _list(self, name: str) -> list[str]:
        texts = self[name] or [self._from_environment(name) or ""]
        return [part.strip() for text in texts for part in text.split(",") if part.strip()]

    def _flag(self, name: str) -> bool:
        if self[name]:
            return True
        text = (self._from_environment(name) or "").lower()
        if text not in {"", "0", "1", "no", "yes", "false", "true"}:
            raise ConfigError(f"--{name}: say 1 or 0 in the environment, not {text!r}")
        return text in {"1", "yes", "true"}

    def _number(self, name: str, kind: Callable[[str], float], low: float, high: float) -> float:
        text = self._text(name) or ""
        try:
            number = kind(text)
        except ValueError:
            number = nan
        if "_" in text or not low <= number <= high:
            what = "an integer" if kind is int else "a number"
            raise ConfigError(f"--{name}: {text!r} is not {what} from {low} to {high}")
        return number

    def _integer(self, name: str, low: int, high: int) -> int:
        return int(self._number(name, int, low, high))

    def _checked(self, name: str, check: Callable[[str], _T], text: str) -> _T:
        try:
            return check(text)
        except ValueError as error:
            raise ConfigError(f"--{name}: {text!r} {error}") from None

    def _data_dir(self, name: str) -> Path:
        given = self._text("data-dir")
        if given:
            return Path(given)
        if self._environ.get("STATE_DIRECTORY"):
            return Path(self._environ["STATE_DIRECTORY"].split(":")[0])
        home = Path(self._environ.get("XDG_STATE_HOME", ""))
        if not home.is_absolute():  # then it counts as not set, says XDG
            try:
                home = Path.home() / ".local" / "state"
            except RuntimeError as error:
                raise ConfigError(f"--data-dir: {error}; give a folder, or --no-journal") from None
        return home / "onevalue" / name


def _setting(text: str) -> tuple[str, float | int | bool]:
    name, separator, value = text.partition("=")
    default: object = {**_SWIM, **_SERF}.get(name)
    if not separator or not isinstance(default, float | int):
        raise ValueError("is not NAME=VALUE with the name of a setting of gossip")
    if isinstance(default, bool):
        if value not in {"yes", "no"}:
            raise ValueError("must be yes or no")
        return name, value == "yes"
    try:
        return name, int(value) if isinstance(default, int) else float(value)
    except ValueError:
        raise ValueError(f"must be {'an integer' if isinstance(default, int) else 'a number'}") from None


def _default_name(port: int) -> str:
    return gethostname() if port == GOSSIP_PORT_DEFAULT else f"{gethostname()}-{port}"


def _address(text: str) -> str:
    split_host_port(text, GOSSIP_PORT_DEFAULT)
    return text


def _name(text: str) -> str:
    if not 0 < len(text.encode()) <= NAME_LENGTH_MAX or not text.isprintable() or "/" in text or text in {".", ".."}:
        raise ValueError(f"is no name: 1 to {NAME_LENGTH_MAX} bytes, printable, no slash, and not only dots")
    return text


def _tag(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ValueError("is not KEY=VALUE")
    if not text.isprintable():  # lone surrogates too: what the command line could not decode
        raise ValueError("is not printable")
    if key == HTTP_TAG:
        raise ValueError("is set by the node itself")
    return key, value
