"""What hypothesis draws from, shared by the tests: values, states, and the settings of a law.

`database=None`: a law that fails prints its example, and leaves no file behind.
"""

from hypothesis import settings
from hypothesis import strategies as st

from onevalue.store import GENERATION_MAX, State
from onevalue.types import Generation
from onevalue.values import VALUE_MAX, VALUE_MIN, Value

LAW = settings(database=None, deadline=None, max_examples=200)
"""For a law of one call."""

LONG_LAW = settings(database=None, deadline=None, max_examples=150, stateful_step_count=40)
"""For a law over many steps."""

integers = st.integers(VALUE_MIN, VALUE_MAX)
"""The values that an original program can hold."""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
"""Text that UTF-8 can express."""

values: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
"""Any JSON value."""

generations = st.integers(0, GENERATION_MAX).map(Generation) | st.integers(0, 3).map(Generation)
"""All generations, and often small ones, so that some are equal."""

states = st.builds(State, generations, integers | st.integers(0, 3) | values, texts, st.floats(0, 2.0**52))
"""States of all kinds, often with equal generations and small integers."""

any_states = st.builds(State, generations, values)
"""States of all kinds of JSON values."""
