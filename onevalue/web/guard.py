"""The one door that every request passes before any route runs: checks in their order, then the routes.

A check that raises ProblemError ends the request: the client is told, it is counted, and the log tells it at a bounded
rate. It must not know what is checked, nor any route.
"""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource

from onevalue.loglines import LimitedLog
from onevalue.web.problems import ProblemError, answer_problem
from onevalue.web.traffic import Traffic

Check = Callable[[IRequest], None]
"""Raises ProblemError if the request may not go on."""


class Guard(Resource):
    """Answers as the resource behind it, if all checks let the request pass.

    Attributes:
        resource: the one behind it.
    """

    isLeaf = True
    _log = Logger(namespace="onevalue.web")

    def __init__(self, resource: IResource, checks: Sequence[Check], clock: IReactorTime, traffic: Traffic) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.resource = resource
        self._checks = tuple(checks)
        self._traffic = traffic
        self._refusals = LimitedLog(self._log, clock.seconds)

    def render(self, request: IRequest) -> bytes | int:
        """See IResource."""
        try:
            for check in self._checks:
                check(request)
        except ProblemError as problem:
            self._traffic.requests_denied += 1
            self._refusals.info(
                "{method} {path} of {peer} was refused: {detail}",
                method=request.method.decode("ascii", "replace"),
                path=request.path.decode("ascii", "replace"),
                peer=getattr(request.getClientAddress(), "host", "a local socket"),
                detail=problem.detail,
            )
            return answer_problem(request, problem)
        return self.resource.render(request)  # type: ignore[no-any-return]  # Twisted has no types here
