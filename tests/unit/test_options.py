"""The options: from the command line, from the environment, in this order; what is wrong is named."""

import os
import shutil
import sys
import tempfile
from dataclasses import replace
from io import StringIO
from pathlib import Path
from socket import gethostname

import pytest
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from onevalue import __version__
from onevalue.config import LAN, WAN, SerfSettings
from onevalue.httpoptions import HttpAccess
from onevalue.journal_file import HISTORY_MAX_DEFAULT
from onevalue.options import NodeConfig, Options
from onevalue.serf.dialler import TARGETS_MAX
from onevalue.tokenfile import token_file
from tests.certificates import Authority, Pair


def parse(*arguments: str, **environ: str) -> NodeConfig:
    """The configuration of a node."""
    options = Options({"HOME": "/home/x", **environ})
    options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]  # Twisted's has no types
    config: NodeConfig = options["config"]
    return config


CHANGED = replace(LAN, probe_interval_s=3.0, compression=False)

OPTIONS: list[tuple[str, str, str, object, object]] = [
    # option, value, another value, field, what the first value becomes
    ("http", "tcp:81:interface=127.0.0.1", "tcp:82", "http", "tcp:81:interface=127.0.0.1"),
    ("join", "10.0.0.1,10.0.0.2:7", "10.0.0.3", "join", ("10.0.0.1", "10.0.0.2:7")),
    ("name", "a b", "c", "name", "a b"),
    ("tag", "role=db", "role=web", "tags", {"role": "db"}),
    ("initial", "-5", "6", "initial", -5),
    ("data-dir", "/d", "/e", "data_dir", Path("/d")),
    ("history-max", "0", "5", "history_max", 0),
    ("broadcast-interval", "0.5", "3", "broadcast_interval_s", 0.5),
    ("debug-interval", "0", "3", "debug_interval_s", 0.0),
    ("label", "blue", "red", "label", b"blue"),
    ("verify-incoming", "no", "yes", "verify_incoming", False),
    ("verify-outgoing", "no", "yes", "verify_outgoing", False),
    ("profile", "wan", "local", "swim", WAN),
    ("setting", "probe_interval_s=3,compression=no", "probe_interval_s=4", "swim", CHANGED),
    ("setting", "reconnect_interval_s=3", "reap_interval_s=4", "serf", SerfSettings(reconnect_interval_s=3.0)),
]
ADVERTISED = ("--advertise", "127.0.0.1")


def variable(option: str) -> str:
    """Its name in the environment."""
    return "ONEVALUE_" + option.replace("-", "_").upper()


class SourceTests(SynchronousTestCase):
    """Where an option comes from."""

    def test_defaults(self) -> None:
        """Told nothing, a node is closed, alone and durable."""
        config = parse()
        assert config.placement.bind_host == "127.0.0.1"
        assert config.http == "tcp:8080:interface=127.0.0.1"
        assert (config.name, config.join, config.tags) == (gethostname(), (), {})
        assert (config.initial, config.broadcast_interval_s, config.debug_interval_s) == (42, 2.0, 5.0)
        assert (config.spread.members_to_notify, config.spread.join_timeout_s) == (2, 5.0)
        assert config.data_dir is not None
        assert config.history_max == HISTORY_MAX_DEFAULT

    def test_each_option_has_a_variable_and_wins_over_it(self) -> None:
        """ONEVALUE_ and its name; an empty variable counts as none."""
        for option, value, other, field, expected in OPTIONS:
            assert getattr(parse(*ADVERTISED, f"--{option}={value}"), str(field)) == expected
            assert getattr(parse(*ADVERTISED, **{variable(option): value}), str(field)) == expected
            both = parse(*ADVERTISED, f"--{option}={value}", **{variable(option): other})
            assert getattr(both, str(field)) == expected
            assert parse(*ADVERTISED, **{variable(option): ""}) == parse(*ADVERTISED)

    def test_where_it_is(self) -> None:
        """--bind and --advertise, and the settings of spreading."""
        for config in (
            parse("--bind=127.0.0.2:99", "--advertise=127.0.0.3", "--members-to-notify=3", "--join-timeout=1.5"),
            parse(
                ONEVALUE_BIND="127.0.0.2:99",
                ONEVALUE_ADVERTISE="127.0.0.3",
                ONEVALUE_MEMBERS_TO_NOTIFY="3",
                ONEVALUE_JOIN_TIMEOUT="1.5",
            ),
        ):
            placement = config.placement
            assert (placement.bind_host, placement.bind_port, placement.advertise_host) == (
                "127.0.0.2",
                99,
                "127.0.0.3",
            )
            assert (config.spread.members_to_notify, config.spread.join_timeout_s) == (3, 1.5)

    def test_the_variables_of_the_original_are_understood(self) -> None:
        """Ours win over them."""
        config = parse(ADVERTISE_ADDR="127.0.0.4", CLUSTER_ADDR="127.0.0.5, 127.0.0.6")
        assert (config.placement.advertise_host, config.join) == ("127.0.0.4", ("127.0.0.5", "127.0.0.6"))
        config = parse(
            ADVERTISE_ADDR="127.0.0.4", ONEVALUE_ADVERTISE="127.0.0.7", ONEVALUE_JOIN="n1", CLUSTER_ADDR="n2"
        )
        assert (config.placement.advertise_host, config.join) == ("127.0.0.7", ("n1",))

    def test_lists_may_be_repeated(self) -> None:
        """Join addresses and tags, each of which may be a comma list."""
        config = parse(*ADVERTISED, "--join", "n1, n2,", "--join", "n3", "--tag", "a=1", "--tag", "b=x=y")
        assert config.join == ("n1", "n2", "n3")
        assert config.tags == {"a": "1", "b": "x=y"}

    def test_the_name_carries_the_port_if_it_is_not_the_usual_one(self) -> None:
        """So that several nodes of a host differ."""
        assert parse("--advertise=127.0.0.1:7000").name == f"{gethostname()}-7000"
        assert parse("--bind=127.0.0.1:7000", "--name=n").name == "n"


class HttpAccessTests(SynchronousTestCase):
    """Tokens, authorities and names."""

    def setUp(self) -> None:
        """A folder with a file of tokens and an authority."""
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.tokens = self.folder / "tokens"
        self.tokens.write_text("write token-of-sixteen\n")
        self.tokens.chmod(0o600)
        self.authority = Authority.new(self.folder)

    def test_told_nothing_all_is_open_and_the_platform_is_trusted(self) -> None:
        """As ever."""
        assert parse().access == HttpAccess()

    def test_each_has_a_variable(self) -> None:
        """The files are read at once; what is kept of the token file is where it is, whatever the folder is later."""
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.folder)
        for access in (
            parse("--token-file=tokens", "--ca-file=authority.pem", "--host-names=a, B.c").access,
            parse(ONEVALUE_TOKEN_FILE="tokens", ONEVALUE_CA_FILE="authority.pem", ONEVALUE_HOST_NAMES="a, B.c").access,
        ):
            assert access.token_file == token_file(self.tokens)
            assert str(access.tokens) == "1 to write and 0 to read"
            assert len(access.authorities or ()) == 1
            assert access.host_names == ("a", "B.c")

    def test_a_token_file_may_be_a_credential_of_systemd(self) -> None:
        """As the key file."""
        self.tokens.chmod(0o440)
        access = parse(f"--token-file={self.tokens}", CREDENTIALS_DIRECTORY=str(self.folder)).access
        assert access.token_file == token_file(self.tokens, self.folder)
        with pytest.raises(usage.UsageError, match="open to others"):
            parse(f"--token-file={self.tokens}")

    def test_no_text_of_the_configuration_shows_a_token(self) -> None:
        """It may be printed."""
        assert "token-of-sixteen" not in repr(parse(f"--token-file={self.tokens}"))

    def test_a_certificate_that_cannot_be_used_is_said_in_one_line(self) -> None:
        """Which file is missing, or that one is none, or that the two do not belong together."""
        one, other = self.authority.pair("a"), self.authority.pair("b")
        for certificate, key, words in [
            (one.certificate, self.folder / "none", f"{self.folder}/none: No such file"),
            (self.folder / "none", one.key, f"{self.folder}/none: No such file"),
            (one.certificate, self.folder, f"{self.folder}: Is a directory"),
            (one.key, one.key, "no certificate (certKey=) or no key (privateKey=) that can be used"),
            (one.certificate, one.certificate, "no certificate (certKey=) or no key (privateKey=) that can be used"),
            (one.certificate, other.key, "keys do not match"),
        ]:
            with pytest.raises(usage.UsageError) as caught:
                parse(f"--http={Pair(certificate, key).endpoint('127.0.0.1', 8443)}")
            assert words in str(caught.value)
            assert "\n" not in str(caught.value)
        http = one.endpoint("127.0.0.1", 8443)
        assert parse(f"--http={http}").http == http


class DataDirTests(SynchronousTestCase):
    """Where the journal is."""

    def test_the_order(self) -> None:
        """The option, systemd's folder, the XDG state home with the node's name, the home folder."""
        name = ("--name", "n")
        for environ, expected in [
            ({}, "/home/x/.local/state/onevalue/n"),
            ({"XDG_STATE_HOME": "/s"}, "/s/onevalue/n"),
            ({"XDG_STATE_HOME": "relative"}, "/home/x/.local/state/onevalue/n"),
            ({"XDG_STATE_HOME": "/s", "STATE_DIRECTORY": "/var/lib/onevalue:/other"}, "/var/lib/onevalue"),
            ({"STATE_DIRECTORY": "/var/lib/onevalue", "ONEVALUE_DATA_DIR": "/d"}, "/d"),
        ]:
            self.patch(Path, "home", lambda: Path("/home/x"))  # type: ignore[no-untyped-call]  # trial's has no types
            assert parse(*name, **environ).data_dir == Path(expected)
            assert parse(*name, "--data-dir=/o", **environ).data_dir == Path("/o")

    def test_no_journal_wins(self) -> None:
        """On the command line or in the environment, over a data folder."""
        assert parse("--no-journal", "--data-dir=/o").data_dir is None
        assert parse("--no-journal", ONEVALUE_NO_JOURNAL="0").data_dir is None
        for text, kept in [("1", False), ("yes", False), ("TRUE", False), ("0", True), ("no", True), ("false", True)]:
            assert (parse(ONEVALUE_NO_JOURNAL=text, ONEVALUE_DATA_DIR="/d").data_dir is not None) is kept

    def test_without_a_home_it_says_what_to_give(self) -> None:
        """The error names the option."""

        def nobody() -> Path:
            raise RuntimeError("Could not determine home directory.")

        self.patch(Path, "home", nobody)  # type: ignore[no-untyped-call]  # as above
        with pytest.raises(usage.UsageError, match=r"--data-dir: .*--no-journal"):
            parse()
        assert parse("--no-journal").data_dir is None


WRONG: list[tuple[str, str]] = [
    *[("initial", text) for text in ("forty-two", "", "9223372036854775808", "NaN", "1_000", '{"a":1,"a":1}')],
    *[("value-size-max", text) for text in ("0", "131073", "64k")],
    *[("cluster-size", text) for text in ("0", "-1", "three")],
    *[("history-max", text) for text in ("-1", "10001", "1e3", "all")],
    *[("members-to-notify", text) for text in ("-1", "65", "two")],
    *[("broadcast-interval", text) for text in ("0", "-1", "nan", "inf", "often")],
    *[("debug-interval", text) for text in ("-1", "nan", "86401")],
    *[("join-timeout", text) for text in ("0", "nan", "3601")],
    *[("name", text) for text in ("a/b", "x" * 129, "a\nb", ".", "..", "\udcff")],
    *[("tag", text) for text in ("novalue", "=v", "http=http:80", "a=" + "x" * 600, "a=\udcff")],
    *[("join", text) for text in ("host:port", "host:0", "1.2.3.4:5:6", "[::1", ",".join(["n"] * (TARGETS_MAX + 1)))],
    *[("bind", text) for text in ("127.0.0.1:99999", "not a host", "0.0.0.0")],
    *[("advertise", text) for text in ("not a host", "0.0.0.0", ":7946")],
    *[("label", text) for text in ("x" * 256,)],
    *[("verify-incoming", text) for text in ("maybe",)],
    *[("profile", text) for text in ("moon",)],
    *[("setting", text) for text in ("probe_interval_s", "speed=1", "probe_interval_s=x", "gossip_nodes=1.5")],
    *[("setting", text) for text in ("compression=perhaps", "probe_interval_s=0", "probe_timeout_s=2")],
    *[("key-file", text) for text in ("/nowhere/keys",)],
    *[("token-file", text) for text in ("/nowhere/tokens", "/dev/null", "/")],
    *[("ca-file", text) for text in ("/nowhere/ca.pem", "/dev/null", "/")],
    *[("host-names", text) for text in ("a b", "n1:8080", "n1,[::1]", "x" * 254, ",".join(["n"] * 65))],
    *[("http", text) for text in ("ssl:8443:privateKey=/nowhere/key", "ssl:8443:privateKey=/", "ssl:8443")],
    *[("http", text) for text in ("gopher:70", "tcp", "tcp:80:nonsense=1", "tcp:65536", "tcp6:-1")],
]


class WrongTests(SynchronousTestCase):
    """What is wrong is a usage error."""

    def test_each_wrong_value_names_its_option(self) -> None:
        """On the command line."""
        for option, text in WRONG:
            extra = () if option in {"bind", "advertise"} else ADVERTISED
            with pytest.raises(usage.UsageError) as error:
                parse(*extra, f"--{option}={text}")
            assert str(error.value).startswith(f"--{option}: "), (option, text)

    def test_a_variable_that_is_no_option_is_kept_to_be_told(self) -> None:
        """A slip of the pen in a file of settings; not what the command `onevalue` takes, nor what is not ours."""
        config = parse(
            ONEVALUE_JOIM="10.0.0.1", ONEVALUE_NAME="n", ONEVALUE_TAG="a=b", ONEVALUE_URL="http://h", PATH="/"
        )
        assert config.ignored == ("ONEVALUE_JOIM",)

    def test_and_is_not_hidden_by_the_help(self) -> None:
        """What is printed above the error is short; the help as it is asked for is not."""
        options = Options({"HOME": "/home/x"})
        assert "--advertise" in options.getUsage()
        with pytest.raises(usage.UsageError):
            options.parseOptions(["--initial=forty-two"])  # type: ignore[no-untyped-call]  # Twisted's has no types
        assert options.getUsage() == "`twistd onevalue --help` tells all options.\n"

    def test_and_its_variable(self) -> None:
        """If that is where it came from."""
        for option, text in WRONG:
            if text:
                extra = () if option in {"bind", "advertise"} else ADVERTISED
                with pytest.raises(usage.UsageError) as error:
                    parse(*extra, **{variable(option): text})
                assert str(error.value).startswith(f"--{option} (from {variable(option)}): "), (option, text)

    def test_the_variables_of_the_original_too(self) -> None:
        """By their own names."""
        for name, option in [("ADVERTISE_ADDR", "advertise"), ("CLUSTER_ADDR", "join")]:
            with pytest.raises(usage.UsageError, match=rf"--{option} \(from {name}\): "):
                parse(**{name: "a:b:c"})

    def test_a_flag_in_the_environment_is_yes_or_no(self) -> None:
        """Anything else might mean either."""
        with pytest.raises(usage.UsageError, match=r"--no-journal \(from ONEVALUE_NO_JOURNAL\): "):
            parse(ONEVALUE_NO_JOURNAL="maybe")

    def test_what_is_no_option_is_refused(self) -> None:
        """An option that does not exist, a flag with a value, and words that belong to none."""
        for argument in ["--nonsense", "--no-journal=1", "word"]:
            with pytest.raises(usage.UsageError, match=argument.strip("-").split("=")[0]):
                parse(argument)

    def test_a_number_of_the_wrong_kind_is_told_which_kind_is_right(self) -> None:
        """2.5 is a number, but no number of nodes."""
        with pytest.raises(usage.UsageError, match=r"'2\.5' is not an integer"):
            parse("--cluster-size=2.5")


class VersionTests(SynchronousTestCase):
    """--version."""

    def test_it_tells_ours_too(self) -> None:
        """Not only Twisted's, which is what Twisted's own would do."""
        out = StringIO()
        self.patch(sys, "stdout", out)  # type: ignore[no-untyped-call]  # as above
        with pytest.raises(SystemExit):
            parse("--version")
        assert out.getvalue().startswith(f"OneValue {__version__}, Twisted ")
