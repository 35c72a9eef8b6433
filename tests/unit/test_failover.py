"""Which node is asked next, and what is said when none did it: a write is never made twice."""

import json
from collections.abc import Sequence

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import OutcomeOpenError, UnreachableError
from onevalue.failover import Lost, NotSent, Outcome, Plan, proposed_state, read, write
from onevalue.replies import Answer
from onevalue.store import State
from onevalue.types import Generation
from onevalue.values import Value

URLS = ["http://a", "http://b", "http://c"]
GOOD = Answer(200, '"1-x"', b"{}")
REFUSED, GONE = NotSent("refused"), Lost("reset")
TAG = State(Generation(4), 1).tag


def carry_out(plan: Plan, outcomes: Sequence[Outcome]) -> tuple[list[str], Answer]:
    """Which nodes were asked, and the answer that counts, when this is what comes of it."""
    asked = [next(plan)]
    try:
        for outcome in outcomes:
            asked.append(plan.send(outcome))  # noqa: PERF401  # extend would swallow the end of the plan
    except StopIteration as end:
        return asked, end.value
    raise AssertionError(f"the plan goes on after {asked}")


def problem(status: int, **fields: object) -> Answer:
    """A node's problem document."""
    return Answer(status, None, json.dumps({"status": status, "detail": f"is {status}", **fields}).encode())


def conflict(generation: int, value: Value) -> Answer:
    """412 of a node that holds this."""
    state = State(Generation(generation), value)
    return problem(412, current={**state.to_json(), "tag": state.tag})


class ReadTests(SynchronousTestCase):
    """Reads go on."""

    def test_a_read_goes_on_after_every_failure(self) -> None:
        """No connection, no answer, 5xx; the first answer below that counts, also a 4xx."""
        failures: list[Outcome] = [REFUSED, GONE, problem(500), problem(503), problem(504)]
        for failure in failures:
            assert carry_out(read(URLS), [failure, GOOD]) == (URLS[:2], GOOD)
        assert carry_out(read(URLS), [problem(404)]) == (URLS[:1], problem(404))

    def test_the_error_names_each_node_and_its_reason(self) -> None:
        """When none answered."""
        with pytest.raises(UnreachableError) as raised:
            carry_out(read(URLS), [REFUSED, GONE, problem(503)])
        assert str(raised.value) == "http://a: refused; http://b: reset; http://c: 503 is 503"


class WriteTests(SynchronousTestCase):
    """Writes go on when nothing was written."""

    def test_a_write_goes_on_when_nothing_was_written(self) -> None:
        """Without a connection, and after 503."""
        assert carry_out(write(URLS), [REFUSED, problem(503), GOOD]) == (URLS, GOOD)
        with pytest.raises(UnreachableError):
            carry_out(write(URLS), [REFUSED, problem(503), REFUSED])

    def test_a_write_whose_outcome_is_open_is_not_repeated(self) -> None:
        """Neither after a lost connection, nor after an error that says nothing of the write."""
        outcomes: list[Outcome] = [GONE, problem(500), problem(502), problem(504)]
        for outcome in outcomes:
            with pytest.raises(OutcomeOpenError) as raised:
                carry_out(write(URLS), [REFUSED, outcome])
            assert str(raised.value).startswith("whether it was written is not known: ")
            assert "http://b" in str(raised.value)
        with pytest.raises(OutcomeOpenError, match="whether the event was sent is not known: http://a: reset"):
            carry_out(write(URLS, deed="the event was sent"), [GONE])

    def test_a_decision_is_an_answer(self) -> None:
        """Whether it is yes or no; 504 only when it says what was written, or how many have answered."""
        for answer in [problem(412), problem(409), problem(400), problem(504, written={}), problem(504, answers=1)]:
            assert carry_out(write(URLS), [answer]) == (URLS[:1], answer)


class ConditionalWriteTests(SynchronousTestCase):
    """Upon one state, one value makes one state: such a write may be said again."""

    def test_only_one_tag_makes_a_state_known(self) -> None:
        """Not any state, nor none, nor what is no tag."""
        assert proposed_state(TAG, 7) == State(Generation(5), 7)
        assert [proposed_state(tag, 7) for tag in [None, "", "*", "4", "4-xyz", f'"{TAG}"']] == [None] * 6

    def test_it_is_repeated_elsewhere(self) -> None:
        """The state that it makes there is the same."""
        assert carry_out(write(URLS, proposed_state(TAG, 7)), [GONE, GOOD]) == (URLS[:2], GOOD)

    def test_its_own_state_in_the_way_is_success(self) -> None:
        """The first node had written it, and it has spread."""
        asked, answer = carry_out(write(URLS, proposed_state(TAG, 7)), [GONE, conflict(5, 7)])
        assert (asked, answer.status, json.loads(answer.body)["value"]) == (URLS[:2], 200, 7)
        assert answer.etag == f'"{State(Generation(5), 7).tag}"'

    def test_its_own_state_in_the_way_is_not_confirmed(self) -> None:
        """It was written, but that enough nodes hold it nobody has said; a node that says so does."""
        plan = write(URLS, proposed_state(TAG, 7), confirmed=True)
        with pytest.raises(OutcomeOpenError, match=r"it was written, but .*: reset; .*: 412") as raised:
            carry_out(plan, [GONE, conflict(5, 7)])
        assert raised.value.document["written"]["value"] == 7
        answers = [GOOD, problem(504, written={}), problem(409, written={}, winner={})]
        for answer in answers:
            plan = write(URLS, proposed_state(TAG, 7), confirmed=True)
            assert carry_out(plan, [GONE, answer]) == (URLS[:2], answer)

    def test_another_state_in_the_way_leaves_it_open(self) -> None:
        """The write may stand below it, or come yet; a node that is behind says nothing either."""
        for other in [conflict(5, 8), conflict(6, 7), conflict(3, 1), problem(412), problem(403)]:
            with pytest.raises(OutcomeOpenError):
                carry_out(write(URLS[:2], proposed_state(TAG, 7)), [GONE, other])

    def test_the_first_answer_needs_no_interpretation(self) -> None:
        """While nothing was sent, 412 is 412."""
        answer = conflict(5, 7)
        assert carry_out(write(URLS, proposed_state(TAG, 7)), [REFUSED, answer]) == (URLS[:2], answer)
