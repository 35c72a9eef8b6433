"""How a value spreads: admission, learning before writing, rumours, anti-entropy picks, original peers. Pure.

`core.Spread` is the one entry; the other files carry one idea each.
"""

from onevalue.spread.core import Spread
from onevalue.spread.exchanges import PushOutcome
from onevalue.spread.outgoing import Rumour

__all__ = ["PushOutcome", "Rumour", "Spread"]
