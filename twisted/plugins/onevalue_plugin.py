"""The plugin that gives `twistd onevalue`."""

from twisted.application.service import ServiceMaker

onevalue = ServiceMaker(
    "OneValue",
    "onevalue.tap",
    "A node of a distributed one-value database.",
    "onevalue",
)
