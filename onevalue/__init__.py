"""OneValue: one replicated value on every host of a fleet."""

__version__ = "0.1.0"
