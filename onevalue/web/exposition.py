"""What a node shows to Prometheus: families of samples, read anew at each scrape from what the parts have counted.

Loaded at the first scrape: prometheus_client is of no use to a node that nobody scrapes. It must not count anything
itself, nor know who asks.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from onevalue.histogram import Histogram
from onevalue.measured import LagFigures, Measured, RpcFigures
from onevalue.member import count_by_status
from onevalue.membership import EngineFigures
from onevalue.store import Source
from onevalue.web.context import Context
from onevalue.web.traffic import Served, Traffic

MALFORMED = ("malformed", "serf_malformed", "mislabelled", "undecipherable", "events_malformed")
"""The counters of what came and meant nothing; each is a kind of `onevalue_malformed_total`."""

PROBING = {
    "suspicions": "Members that became suspect here.",
    "refutations": "Accusations of this node that it refuted.",
    "probes": "Probes of other members.",
    "probes_failed": "Probes that nobody answered.",
}
"""Counters that have a family each."""

OF_THEIR_OWN = (*MALFORMED, *PROBING)
"""Counters that stand in some family; the others are the events of `onevalue_gossip_events_total`."""

Family = GaugeMetricFamily | CounterMetricFamily


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the samples come from."""

    context: Context
    traffic: Traffic
    served: Served
    measured: Measured


class NodeCollector(Collector):
    """All families of a node but those of its process."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        context = self._sources.context
        figures = context.membership.figures()
        yield from _value(self._sources)
        yield from _writes(self._sources)
        yield from _members(context, figures)
        yield from _packets(figures)
        yield from _events(context, figures)
        yield from _journal(context)
        yield from _value_file(context)
        yield from _reactor(context.lag())
        yield from _http(self._sources.traffic, self._sources.served)
        if context.rpc is not None:
            yield from _rpc(context.rpc())


class OwnProcess(ProcessCollector):
    """prometheus_client's, which shows nothing where it cannot read the time of the boot, as with ProcSubset=pid."""

    def _boot_time(self) -> float:
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class Exposition:
    """The text of a scrape."""

    def __init__(self, sources: Sources) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(NodeCollector(sources))
        OwnProcess(registry=self._registry)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Body and content type, in the form that the Accept header `accept` asks for."""
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # of a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type


def _value(sources: Sources) -> Iterator[Metric]:
    context = sources.context
    state = context.store.current
    who = {"name": context.name, "version": context.version}
    yield _rows(GaugeMetricFamily("onevalue_info", "Who this node is.", labels=list(who)), [([*who.values()], 1)])
    yield _gauge("onevalue_value_generation", "The generation of the value that this node holds.", state.generation)
    if state.time:  # nobody knows of the value at the beginning, nor of one that came in the original's way
        yield _gauge(
            "onevalue_value_written_timestamp_seconds", "When it was written, by its origin's clock.", state.time
        )
    yield _gauge("onevalue_value_size_bytes", "The value as canonical JSON.", len(state.text))
    if isinstance(state.value, int | float):
        yield _gauge("onevalue_value_number", "The value, where it is a number; true is 1.", state.value)
    yield _gauge("onevalue_ready", "1: this node takes writes.", context.writer.not_ready is None)
    yield _gauge("onevalue_learning", "1: this node still asks what its cluster holds.", context.spread.learning)


def _writes(sources: Sources) -> Iterator[Metric]:
    writes = CounterMetricFamily("onevalue_writes", "Own writes, by how they ended.", labels=["result"])
    yield _rows(writes, (([result], count) for result, count in sources.context.writer.results.items()))
    merges = CounterMetricFamily("onevalue_merges", "States of others that were taken, by way.", labels=["source"])
    others = [source for source in Source if source is not Source.SET]
    yield _rows(merges, (([source.value], sources.measured.merges[source]) for source in others))
    yield _histogram(
        "onevalue_spread_seconds",
        "From the write of a state elsewhere until it was here, by the wall clocks of the two hosts.",
        sources.measured.spread,
    )


def _members(context: Context, figures: EngineFigures) -> Iterator[Metric]:
    membership = context.membership
    members = membership.members()
    statuses = GaugeMetricFamily("onevalue_members", "Members that are remembered, with this node.", labels=["status"])
    yield _rows(statuses, (([status.value], count) for status, count in count_by_status(members).items()))
    suspects = sum(m.suspect for m in members)
    yield _gauge("onevalue_members_suspect", "Members, of those alive, that are under suspicion.", suspects)
    yield _gauge("onevalue_members_lost", "Who failed long ago, and is still dialled.", len(membership.lost()))
    isolated = context.isolated() is not None
    yield _gauge("onevalue_isolated", "1: this node hears no other, though there should be some.", isolated)
    contact_s = membership.last_contact_s()
    if contact_s is not None:
        yield _gauge("onevalue_last_contact_seconds", "How long ago any other member was heard.", contact_s)
    if figures.agent_connected is not None:
        connected = figures.agent_connected
        yield _gauge("onevalue_agent_connected", "1: the Serf agent of this node is there.", connected)
    if figures.health_score is not None:
        yield _gauge("onevalue_health_score", "How slow this node seems to itself; 0 is best.", figures.health_score)
    for name, meaning in PROBING.items():
        if name in figures.counters:
            yield CounterMetricFamily(f"onevalue_{name}", meaning, figures.counters[name])
    if figures.round_trips is not None:
        yield _histogram("onevalue_probe_rtt_seconds", "From a direct ping to its ack.", figures.round_trips)


def _packets(figures: EngineFigures) -> Iterator[Metric]:
    labels = ["direction", "kind"]
    packets = CounterMetricFamily("onevalue_packets", "UDP packets, by the kind of their first message.", labels=labels)
    yield _rows(packets, (([direction, kind], count) for direction, kind, count, _ in figures.packets))
    octets = CounterMetricFamily("onevalue_packet_bytes", "Bytes of UDP payload, likewise.", labels=labels)
    yield _rows(octets, (([direction, kind], size) for direction, kind, _, size in figures.packets))
    queues = GaugeMetricFamily("onevalue_queue_length", "Messages that wait to be gossiped.", labels=["queue"])
    yield _rows(queues, (([queue], length) for queue, length in figures.queues.items()))


def _events(context: Context, figures: EngineFigures) -> Iterator[Metric]:
    spread = context.spread.counters
    counters = {**figures.counters, **spread}
    malformed = CounterMetricFamily("onevalue_malformed", "What came and meant nothing, by its kind.", labels=["kind"])
    yield _rows(malformed, (([kind], counters[kind]) for kind in MALFORMED if kind in counters))
    for name, meaning, events in (
        ("onevalue_gossip_events", "What else gossip has counted.", figures.counters),
        ("onevalue_exchange_events", "What else was counted of spreading the value.", spread),
    ):
        family = CounterMetricFamily(name, meaning, labels=["event"])
        yield _rows(family, (([event], count) for event, count in events.items() if event not in OF_THEIR_OWN))


def _journal(context: Context) -> Iterator[Metric]:
    status = context.journal.status()
    if status["kind"] == "none":
        return
    yield _gauge("onevalue_journal_healthy", "1: the last transaction went well.", context.journal.trouble is None)
    yield _gauge("onevalue_journal_behind", "1: what was learnt is not all on the disk yet.", bool(status["behind"]))
    yield _gauge("onevalue_journal_waiting", "Own writes that wait for a transaction.", _number(status["waiting"]))
    yield CounterMetricFamily("onevalue_journal_failures", "Transactions that failed.", _number(status["failures"]))
    times = context.journal.commit_times
    yield _histogram("onevalue_journal_commit_seconds", "How long transactions took that went well.", times)


def _value_file(context: Context) -> Iterator[Metric]:
    if context.value_file is not None:
        healthy = context.value_file()["healthy"] is True
        yield _gauge("onevalue_value_file_healthy", "1: the file of --value-file could be written.", healthy)


def _reactor(lag: LagFigures) -> Iterator[Metric]:
    yield _histogram("onevalue_reactor_lag_seconds", "How late the reactor did what was due, twice a second.", lag.lags)
    yield _gauge("onevalue_reactor_lag_max_seconds", "The largest of the last minute.", lag.lag_max_s)
    yield CounterMetricFamily("onevalue_reactor_stalls", "Times that this node stood still.", lag.stalls)


def _http(traffic: Traffic, served: Served) -> Iterator[Metric]:
    labels = ["method", "route", "code"]
    answers = CounterMetricFamily("onevalue_http_requests", "Answers, but for those from memory.", labels=labels)
    yield _rows(answers, (([method, route, str(code)], count) for method, route, code, count in served.rows()))
    for name, count, meaning in (
        ("requests_remembered", traffic.requests_remembered, "Reads that were answered from memory."),
        ("requests_refused", traffic.requests_refused, "Requests that were refused for form, size or slowness."),
        ("requests_expired", traffic.requests_expired, "Of these, the ones that were not complete in time."),
        ("requests_denied", traffic.requests_denied, "Answers 401, 403 and 421, before any route."),
        ("errors", traffic.errors, "Unexpected errors; the log has them."),
        ("connections_refused", traffic.connections_refused, "Connections that were closed at once."),
        ("watchers_refused", traffic.watchers_refused, "Streams, and reads that wait, that were refused."),
    ):
        yield CounterMetricFamily(f"onevalue_http_{name}", meaning, count)
    yield _gauge("onevalue_http_connections", "Open connections.", traffic.connections)
    yield _gauge("onevalue_http_connections_max", "As many there may be.", traffic.connections_max)
    yield _gauge("onevalue_http_watchers", "Streams, and reads that wait.", traffic.watchers)
    yield _gauge("onevalue_http_watchers_max", "As many there may be.", traffic.watchers_max)


def _rpc(figures: RpcFigures) -> Iterator[Metric]:
    yield _gauge("onevalue_rpc_clients", "Clients of the agent RPC.", figures.clients)
    yield _gauge("onevalue_rpc_clients_max", "As many there may be.", figures.clients_max)
    requests = CounterMetricFamily("onevalue_rpc_requests", "Requests that were begun.", labels=["command"])
    yield _rows(requests, (([command], count) for command, count in figures.requests.items()))
    events = CounterMetricFamily("onevalue_rpc_events", "What else the agent RPC has counted.", labels=["event"])
    yield _rows(events, (([event], count) for event, count in figures.events.items()))


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, float(value))


def _rows(family: Family, rows: Iterable[tuple[Sequence[str], float]]) -> Metric:
    """The family with these values of its labels, and how many of each."""
    for labels, count in rows:
        family.add_metric(labels, count)
    return family


def _histogram(name: str, meaning: str, histogram: Histogram) -> Metric:
    bounds = [*map(repr, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, map(float, histogram.cumulative), strict=True))
    return HistogramMetricFamily(name, meaning, buckets=buckets, sum_value=histogram.sum)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
