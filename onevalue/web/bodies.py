"""What bodies of requests must say that they are."""

from twisted.web.iweb import IRequest

from onevalue.web.problems import ProblemError

CONTENT_TYPES = (b"application/json", b"application/x-www-form-urlencoded")
"""Of a body that is a JSON value. The second is what curl says of any `-d` unless told otherwise."""


def demand_json(request: IRequest) -> None:
    """Nothing, if the body may be JSON, by its type or for want of one. Raises ProblemError: 415."""
    content_type = request.getHeader(b"Content-Type")
    if content_type is not None and content_type.partition(b";")[0].strip().lower() not in CONTENT_TYPES:
        raise ProblemError(415, "the body must be application/json", {"Accept": "application/json"})
