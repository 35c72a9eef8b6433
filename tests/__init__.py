"""Tests of OneValue."""

from hypothesis import settings

# How long one example takes says how busy the machine is: no test may fail of that.
settings.register_profile("onevalue", deadline=None)
settings.load_profile("onevalue")
