"""The routes as Klein keeps them, with one thing more: a request knows by which of them it is answered, for metrics.

It must not know any route.
"""

from typing import Any

from klein import Klein

from onevalue.web.channel import LimitedRequest


class Routes(Klein):
    """Klein's, whose handlers are told apart by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.url_map.merge_slashes = False  # no redirects: what is no path of ours is 404
        self._rules: dict[str, str] = {}

    def execute_endpoint(self, endpoint: str, request: LimitedRequest, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # our requests
        """Klein calls it with each request for the handler that it has found."""
        rule = self._rules.get(endpoint)
        if rule is None:
            self._rules = {each.endpoint: each.rule for each in self.url_map.iter_rules()}
            rule = self._rules[endpoint]
        request.route = rule
        return super().execute_endpoint(endpoint, request, *args, **kwargs)
