"""The plugin that gives `twistd onevalue`."""

from twisted.application.service import ServiceMaker

onevalue = ServiceMaker(  # type: ignore[no-untyped-call]  # Twisted's is not annotated
    "OneValue",
    "onevalue.tap",
    "A node of a distributed one-value database.",
    "onevalue",
)
