"""Errors as answers: RFC 9457 problem documents under /v1, a line of text elsewhere; and the log of unexpected ones.

An error that somebody raised on purpose becomes its status and its message. Any other is logged with an id, at a
limited rate, and the client sees only the id. It must not know which routes there are.
"""

import math
import secrets
from collections.abc import Mapping
from http import HTTPStatus

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import MethodNotAllowed, NotFound

from onevalue.errors import (
    ConflictError,
    ExhaustedError,
    NotDurableError,
    NotReadyError,
    RemoteProtocolError,
    TooLargeError,
)
from onevalue.store import Store
from onevalue.web.answers import TEXT
from onevalue.web.states import object_text
from onevalue.web.traffic import Traffic

PROBLEM_JSON = b"application/problem+json"

ERRORS_LOGGED_MAX = 10
"""Unexpected errors that are logged in a period; more are only counted."""

ERROR_LOG_PERIOD_S = 60.0
"""Length of such a period, seconds."""

_STATUS: dict[type, int] = {RemoteProtocolError: 400, TooLargeError: 413, ExhaustedError: 409, NotDurableError: 503}


class ProblemError(Exception):
    """A request that is answered with an error; nothing has changed.

    Args:
        status: HTTP status, 400 .. 599.
        detail: what was wrong, and what to do.
        headers: of the answer, such as Allow.
        extras: further members of the problem document; those that are a State as `states` has it.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        extras: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = HTTPStatus(status).phrase
        self.detail = detail
        self.headers = headers or {}
        self.extras = extras or {}


def describe(path: bytes, problem: ProblemError) -> tuple[bytes, bytes]:
    """Content type and body that tell a client which asked for `path` of the problem."""
    if path != b"/v1" and not path.startswith(b"/v1/"):
        return TEXT, problem.detail.encode("utf-8", "replace") + b"\n"
    document = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail}
    return PROBLEM_JSON, object_text({**document, **problem.extras})


def answer_problem(request: IRequest, problem: ProblemError) -> bytes:
    """The answer to `request` is this problem; returns its body."""
    content_type, body = describe(request.path, problem)
    request.setResponseCode(problem.status)
    request.setHeader(b"Content-Type", content_type)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.setHeader(b"X-Content-Type-Options", b"nosniff")  # the detail may quote the request
    for name, value in problem.headers.items():
        request.setHeader(name.encode(), value.encode())
    return body


class ErrorLog:
    """Unexpected errors, counted, and logged with an id at a limited rate."""

    _log = Logger(namespace="onevalue.web")

    def __init__(self, clock: IReactorTime, traffic: Traffic) -> None:
        self._clock = clock
        self._traffic = traffic
        self._period_end = -math.inf
        self._logged = 0

    def report(self, failure: Failure) -> ProblemError:
        """The error is counted and, unless there were many, logged; returns what the client is told."""
        self._traffic.errors += 1
        error_id = secrets.token_hex(8)
        now = self._clock.seconds()
        if not self._period_end - ERROR_LOG_PERIOD_S <= now < self._period_end:  # also when the clock stepped back
            self._period_end, self._logged = now + ERROR_LOG_PERIOD_S, 0
        self._logged += 1
        if self._logged <= ERRORS_LOGGED_MAX:
            self._log.failure("error {error_id} while answering a request", failure, error_id=error_id)
        return ProblemError(500, f"an unexpected error; the log names it {error_id}", extras={"error_id": error_id})


def add_problems(app: Klein, store: Store, error_log: ErrorLog) -> None:
    """All that the routes of `app` raise is answered."""

    def answer(request: IRequest, failure: Failure) -> bytes:
        problem = _problem_of(failure.value, request, store) or error_log.report(failure)
        return answer_problem(request, problem)

    app.handle_errors(Exception)(answer)


def _problem_of(error: BaseException | None, request: IRequest, store: Store) -> ProblemError | None:
    """The problem that an error raised on purpose means; None for an unexpected one."""
    match error:
        case ProblemError():
            return error
        case NotReadyError():
            return ProblemError(503, str(error), {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))})
        case ConflictError():
            return ProblemError(412, str(error), extras={"current": store.current})
        case MethodNotAllowed():
            allow = ", ".join(sorted(error.valid_methods or ()))
            return ProblemError(405, f"{request.method.decode()} is not for this path: use {allow}", {"Allow": allow})
        case NotFound():
            return ProblemError(404, "there is nothing at this path")
        case _:
            status = _STATUS.get(type(error))
            return None if status is None else ProblemError(status, str(error))
