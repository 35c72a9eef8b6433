"""/metrics: what Prometheus reads of a node; and the dashboard and alerts in dist/, which name what is there."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml
from prometheus_client import ProcessCollector
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN
from onevalue.engine_status import figures_of
from onevalue.histogram import Histogram
from onevalue.measured import RpcFigures
from onevalue.membership import EngineFigures, Status
from onevalue.serf.healing import COUNTER_NAMES as HEALING_COUNTERS
from onevalue.serf.intake import COUNTER_NAMES as SERF_COUNTERS
from onevalue.spread.core import COUNTERS as SPREAD_COUNTERS
from onevalue.store import Source, State
from onevalue.swim.counters import COUNTER_NAMES as SWIM_COUNTERS
from onevalue.types import Generation
from onevalue.web.exposition import OwnProcess
from tests.fakes import make_member
from tests.unit.serf_net import hear_alive, make_serf
from tests.web_support import WALL_TIME_S, KeepingJournal, WebNode

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
OPERATING = ROOT / "docs" / "operating.md"
PROTOCOL = ROOT / "docs" / "protocol.md"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class SqliteLike(KeepingJournal):
    """Says that it keeps what it keeps."""

    def status(self) -> dict[str, object]:
        """See IJournal."""
        return {**super().status(), "kind": "sqlite", "behind": False, "waiting": 3, "failures": 2}


def scrape(node: WebNode, **headers: str) -> Samples:
    """All samples, by name and labels."""
    response = node.get("/metrics", **headers)
    assert response.status == 200
    families = text_string_to_metric_families(response.body.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def of(samples: Samples, sample: str, /, **labels: str) -> float | None:
    """One sample; None if it is not there."""
    return samples.get((sample, tuple(sorted(labels.items()))))


def full_node() -> WebNode:
    """A node with a journal, a value file, members, and an engine that has measured all that there is."""
    serf = make_serf(1, swim_settings=replace(LAN, probe_interval_s=1.0))
    serf.start(0.0)
    hear_alive(serf, "n2", 2)
    node = WebNode(SqliteLike(), rpc=rpc_figures, value_file=lambda: {"healthy": True})
    node.membership.engine_figures = figures_of(serf)
    node.membership.set_members(make_member("n1"), make_member("n2", suspect=True))
    node.membership.contact_s = 0.25
    node.store.merge(State(Generation(1), 43, "n2", WALL_TIME_S), Source.EVENT)
    node.get("/get")
    return node


def rpc_figures() -> RpcFigures:
    """Of an agent RPC that has a client, who was refused something."""
    return RpcFigures("127.0.0.1:7373", 1, 32, {"members": 2, "join": 1}, {"refused": 1})


class MetricsTests(SynchronousTestCase):
    """What stands there."""

    def test_the_value_is_there_by_its_generation_and_as_a_number(self) -> None:
        """True counts as 1; what is no number is left out."""
        node = WebNode()
        node.store.merge(State(Generation(3), True, "n2", WALL_TIME_S), Source.EVENT)
        samples = scrape(node)
        assert of(samples, "onevalue_value_generation") == 3
        assert of(samples, "onevalue_value_number") == 1
        assert of(samples, "onevalue_value_written_timestamp_seconds") == WALL_TIME_S
        assert of(samples, "onevalue_info", name="n1", version="1.2.3") == 1
        node.store.merge(State(Generation(4), "blue"), Source.EVENT)
        assert of(scrape(node), "onevalue_value_number") is None

    def test_when_the_value_was_written_is_left_out_where_nobody_knows(self) -> None:
        """Else it would be decades old."""
        assert of(scrape(WebNode()), "onevalue_value_written_timestamp_seconds") is None

    def test_writes_count_by_how_they_ended(self) -> None:
        """Acknowledged, or refused for a condition."""
        node = WebNode()
        assert node.put(b"1").status == 200
        assert node.put(b"2", If_Match='"7-0000000000000000"').status == 412
        samples = scrape(node)
        assert of(samples, "onevalue_writes_total", result="acknowledged") == 1
        assert of(samples, "onevalue_writes_total", result="conflict") == 1
        assert of(samples, "onevalue_writes_total", result="not_durable") == 0

    def test_states_of_others_count_by_their_way_and_take_their_time(self) -> None:
        """Half a second from the write, here."""
        node = WebNode()
        node.store.merge(State(Generation(1), 1, "n2", WALL_TIME_S - 0.5), Source.EVENT)
        samples = scrape(node)
        assert of(samples, "onevalue_merges_total", source="event") == 1
        assert of(samples, "onevalue_spread_seconds_bucket", le="0.25") == 0
        assert of(samples, "onevalue_spread_seconds_bucket", le="0.5") == 1
        assert of(samples, "onevalue_spread_seconds_count") == 1

    def test_members_count_by_status(self) -> None:
        """Suspects are among those alive; nobody to hear is no contact."""
        node = WebNode()
        assert of(scrape(node), "onevalue_last_contact_seconds") is None
        node.membership.set_members(
            make_member("n1"), make_member("n2", suspect=True), make_member("n3", status=Status.FAILED)
        )
        node.membership.contact_s = 0.25
        samples = scrape(node)
        assert of(samples, "onevalue_members", status="alive") == 2
        assert of(samples, "onevalue_members", status="failed") == 1
        assert of(samples, "onevalue_members_suspect") == 1
        assert of(samples, "onevalue_last_contact_seconds") == 0.25

    def test_a_node_that_is_cut_off_says_so(self) -> None:
        """Also one that has heard nobody since it was started; not one that nobody told of others."""
        assert of(scrape(WebNode()), "onevalue_isolated") == 0
        assert of(scrape(WebNode(expects_others=True)), "onevalue_isolated") == 1

    def test_the_engine_shows_what_it_has_measured(self) -> None:
        """Packets by kind, queues, health, round trips; each counter in one family only."""
        rtts = Histogram()
        rtts.observe(0.002)
        node = WebNode()
        node.membership.engine_figures = EngineFigures(
            health_score=2,
            counters={"refutations": 4, "malformed": 5, "push_pulls": 6},
            queues={"intents": 1},
            packets=[("in", "ping", 7, 700)],
            round_trips=rtts,
        )
        samples = scrape(node)
        assert of(samples, "onevalue_health_score") == 2
        assert of(samples, "onevalue_refutations_total") == 4
        assert of(samples, "onevalue_malformed_total", kind="malformed") == 5
        assert of(samples, "onevalue_gossip_events_total", event="push_pulls") == 6
        assert of(samples, "onevalue_packets_total", direction="in", kind="ping") == 7
        assert of(samples, "onevalue_packet_bytes_total", direction="in", kind="ping") == 700
        assert of(samples, "onevalue_queue_length", queue="intents") == 1
        assert of(samples, "onevalue_probe_rtt_seconds_bucket", le="0.0025") == 1
        events = {dict(labels)["event"] for name, labels in samples if name == "onevalue_gossip_events_total"}
        assert events == {"push_pulls"}

    def test_an_engine_that_knows_little_is_no_error(self) -> None:
        """What it leaves out is left out."""
        samples = scrape(WebNode())
        assert of(samples, "onevalue_health_score") is None
        assert of(samples, "onevalue_probe_rtt_seconds_count") is None

    def test_an_external_agent_is_there_or_away(self) -> None:
        """And with the embedded engine there is nothing of the kind."""
        node = WebNode()
        assert of(scrape(node), "onevalue_agent_connected") is None
        for connected in (True, False):
            node.membership.engine_figures = EngineFigures(agent_connected=connected)
            assert of(scrape(node), "onevalue_agent_connected") == connected

    def test_the_journal_is_there_if_there_is_one(self) -> None:
        """With its trouble, and how long its transactions took."""
        assert of(scrape(WebNode()), "onevalue_journal_healthy") is None
        journal = SqliteLike()
        journal.trouble = "the disk is full"
        samples = scrape(WebNode(journal))
        assert of(samples, "onevalue_journal_healthy") == 0
        assert of(samples, "onevalue_journal_failures_total") == 2
        assert of(samples, "onevalue_journal_commit_seconds_count") is not None

    def test_the_agent_rpc_is_there_if_there_is_one(self) -> None:
        """Its clients, requests by command, and what else it has counted."""
        assert of(scrape(WebNode()), "onevalue_rpc_clients") is None
        samples = scrape(WebNode(rpc=rpc_figures))
        assert (of(samples, "onevalue_rpc_clients"), of(samples, "onevalue_rpc_clients_max")) == (1, 32)
        assert of(samples, "onevalue_rpc_requests_total", command="members") == 2
        assert of(samples, "onevalue_rpc_events_total", event="refused") == 1

    def test_the_value_file_is_there_if_there_is_one(self) -> None:
        """Whether it could be written: who reads it sees an old value otherwise."""
        assert of(scrape(WebNode()), "onevalue_value_file_healthy") is None
        for healthy in (True, False):
            node = WebNode(value_file=partial(dict, healthy=healthy))
            assert of(scrape(node), "onevalue_value_file_healthy") == healthy

    def test_answers_count_by_route_and_status(self) -> None:
        """By the rule of the route, so that no path of a stranger makes a series of its own; nor does a method."""
        node = WebNode()
        node.get("/set/7")
        node.get("/set/8")
        node.get("/set/x")
        node.get("/nowhere/at/all")
        node.request("BREW", "/nowhere")
        samples = scrape(node)
        rule = "/set/<new_value>"
        assert of(samples, "onevalue_http_requests_total", method="GET", route=rule, code="200") == 2
        assert of(samples, "onevalue_http_requests_total", method="GET", route=rule, code="400") == 1
        assert of(samples, "onevalue_http_requests_total", method="GET", route="none", code="404") == 1
        assert of(samples, "onevalue_http_requests_total", method="other", route="none", code="404") == 1

    def test_both_text_formats_are_spoken(self) -> None:
        """As the scraper asks."""
        node = WebNode()
        assert node.get("/metrics").headers["content-type"].startswith("text/plain")
        asked = node.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert asked.headers["content-type"].startswith("application/openmetrics-text")
        assert asked.body.endswith(b"# EOF\n")

    def test_who_asks_for_nonsense_gets_the_plain_text(self) -> None:
        """It is no fault of ours that somebody would have to report."""
        node = WebNode()
        for accept in ("application/openmetrics-text; version=new", "text/plain; version=1.x", "\xff", ";=,"):
            answer = node.get("/metrics", Accept=accept)
            assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain"), accept

    def test_the_process_is_there_though_it_sees_no_other(self) -> None:
        """Under dist/onevalue.service there is no /proc/stat; the start is known as well as from there, to a second."""
        folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "self").symlink_to("/proc/self")
        families = {family.name: family for family in OwnProcess(proc=str(folder), registry=None).collect()}
        assert {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"} <= set(families)
        [known] = [
            each for each in ProcessCollector(registry=None).collect() if each.name == "process_start_time_seconds"
        ]
        assert abs(families[known.name].samples[0].value - known.samples[0].value) < 2.0

    def test_a_node_that_is_not_scraped_does_not_load_what_makes_the_text(self) -> None:
        """It is a tenth of a second, and some MiB."""
        program = "import sys, onevalue.tap; sys.exit('prometheus_client' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class DistTests(SynchronousTestCase):
    """The documentation, the dashboard and the alerts."""

    def setUp(self) -> None:
        """What a node shows, by name."""
        self.names = {"up", "onevalue_agent_connected", *(name for name, _ in scrape(full_node()))}

    def test_the_documentation_names_all_that_there_is(self) -> None:
        """And nothing else."""
        chapter = PROTOCOL.read_text().partition("### 6.11 Metrics")[2].partition("\n## ")[0]
        shown = {re.sub("_(bucket|sum|count)$", "", name) for name in self.names if name.startswith("onevalue_")}
        assert set(re.findall(r"`(onevalue_\w+)`", chapter)) == shown

    def test_the_documentation_says_what_each_counter_counts(self) -> None:
        """And lists none that is not there."""
        chapter = PROTOCOL.read_text().partition("### 6.11 Metrics")[2].partition("\n### ")[0]
        listed = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|[^|]*\|$", chapter, re.MULTILINE)))
        counted = {*SWIM_COUNTERS, *SERF_COUNTERS, *HEALING_COUNTERS, *SPREAD_COUNTERS, "agent_connections"}
        assert sorted(listed) == sorted(counted)

    def test_the_dashboard_asks_only_for_what_there_is(self) -> None:
        """In each of its queries."""
        text = (DIST / "grafana-dashboard.json").read_text()
        queries = list(_expressions(json.loads(text)))
        assert len(queries) > 15
        _check_names(queries, self.names)

    def test_the_alerts_ask_only_for_what_there_is_and_say_what_to_do(self) -> None:
        """Each has a sentence for whoever is woken, and a chapter in the documentation."""
        groups = yaml.safe_load((DIST / "prometheus-alerts.yml").read_text())["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) >= 8
        _check_names([rule["expr"] for rule in rules], self.names)
        for rule in rules:
            assert rule["labels"]["severity"] in {"page", "ticket"}, rule
            assert set(rule["annotations"]) == {"summary", "description"}, rule
        chapters = re.findall(r"^### (\w+)$", OPERATING.read_text(), re.MULTILINE)
        assert [rule["alert"] for rule in rules] == chapters


def _check_names(queries: list[str], names: set[str]) -> None:
    for query in queries:
        asked = re.findall(r"\b(?:onevalue|process)_\w+|\bup\b", query)
        assert asked, query
        assert [name for name in asked if name not in names] == [], query


def _expressions(part: object) -> Iterator[str]:
    """All queries of a dashboard."""
    if isinstance(part, dict):
        for name, each in part.items():
            if name == "expr":
                yield each
            else:
                yield from _expressions(each)
    elif isinstance(part, list):
        for each in part:
            yield from _expressions(each)
