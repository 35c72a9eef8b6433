"""Health for whatever starts nodes or spreads load over them: /healthz, the process answers; /readyz, it takes writes.

With a journal in trouble a node stays ready: it goes on learning and serving, which is what most callers are after.
"""

from klein import Klein
from twisted.web.iweb import IRequest

from onevalue.web.answers import answer_text
from onevalue.web.context import Context


class HealthRoutes:
    """The handlers; `add_to` an app."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/healthz", methods=["GET"])(self.healthz)
        app.route("/readyz", methods=["GET"])(self.readyz)

    def healthz(self, request: IRequest) -> bytes:
        """200, always."""
        return answer_text(request, b"ok\n")

    def readyz(self, request: IRequest) -> bytes:
        """200, or 503 and the reason while the node is learning or stopping."""
        not_ready = self._context.writer.not_ready
        if not_ready is not None:
            request.setResponseCode(503)
            return answer_text(request, f"{not_ready}\n".encode())
        trouble = self._context.journal.trouble
        if trouble is not None:
            return answer_text(request, f"ready, but own writes are refused: {trouble}\n".encode())
        return answer_text(request, b"ready\n")
