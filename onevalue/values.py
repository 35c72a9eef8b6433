"""What a value is: any JSON value within bounds, its one canonical text, and the strict reading of JSON.

Strict: what two readers could take for two different things is refused (RFC 8259, 4 and 6; RFC 7493, I-JSON): members
of one name, NaN and infinities, numbers beyond 64 bits, halves of surrogate pairs. It must not know states.
"""

import json
import re
from collections.abc import Mapping
from itertools import accumulate
from math import isfinite
from typing import NoReturn, TypeAlias

from onevalue.errors import RemoteProtocolError, TooLargeError

Value: TypeAlias = "None | bool | int | float | str | list[Value] | dict[str, Value]"

VALUE_MIN = -(2**63)
VALUE_MAX = 2**63 - 1
"""Integers beyond are refused: most programs would read another number. Write them as a text."""

VALUE_SIZE_MAX = 128 * 1024
"""Bytes of a value's canonical text that are taken from other nodes, and so the largest `--value-size-max`."""

VALUE_SIZE_DEFAULT = 64 * 1024
"""Bytes of a value that is written at this node, unless `--value-size-max` says otherwise."""

VALUE_DEPTH_MAX = 64
"""How deep arrays and objects may stand in each other."""

NAME_SHOWN_MAX = 40
"""Characters of a member's name that an error quotes."""

_INTEGER_LENGTH_MAX = 20  # digits and sign of 64 bits
_TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(each for each in range(256) if each not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def canonical(value: Value) -> bytes:
    """The one JSON text of a value: sorted keys, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def object_text(members: Mapping[str, bytes]) -> bytes:
    """The canonical text of an object, by the canonical texts of its members: none of them is made anew."""
    return b"{" + b",".join(canonical(name) + b":" + members[name] for name in sorted(members)) + b"}"


def is_deeper(text: bytes, depth_max: int) -> bool:
    """More than so many arrays and objects stand in each other in a JSON text. Quick, and never recursive.

    Of a text that is no JSON, as many as `depth_max` may be too many.
    """
    if text.count(b"[") + text.count(b"{") <= depth_max:
        return False
    brackets = _TEXTS.sub(b"", text).translate(_ONE_KIND, _NO_BRACKETS)
    between = brackets.split(b"[]")  # an innermost pair stands one deeper than what goes up and down before it
    return max(accumulate(2 * each.count(b"[") - len(each) for each in between)) >= depth_max


def is_integer(value: object) -> bool:
    """True for a JSON integer; `True` and 1.0 are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def parse_json(text: bytes, depth_max: int = VALUE_DEPTH_MAX) -> Value:
    """The value that a JSON text means.

    Raises:
        RemoteProtocolError: it is not strict JSON, or more than `depth_max` deep; the message says what is wrong.
    """
    if is_deeper(text, depth_max):
        raise RemoteProtocolError(f"JSON more than {depth_max} deep")
    try:
        value: Value = _DECODER.decode(text.decode())
        if b"\\u" in text:
            canonical(value)  # raises for half a surrogate pair, which only escapes can spell
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"not JSON: no UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise RemoteProtocolError("not JSON: half a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise RemoteProtocolError(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:  # in a text that is no JSON, brackets may hide
        raise RemoteProtocolError(f"JSON more than {depth_max} deep") from None
    return value


def parse_value(text: bytes, size_max: int) -> Value:
    """The value that somebody writes as this JSON text.

    Raises:
        TooLargeError: the text, or the canonical one, has more than `size_max` bytes.
        RemoteProtocolError: as `parse_json`.
    """
    if len(text) > size_max:
        raise TooLargeError(f"a value has at most {size_max} bytes of JSON, not {len(text)}")
    value = parse_json(text)
    size = len(canonical(value))
    if size > size_max:
        raise TooLargeError(f"a value has at most {size_max} bytes of canonical JSON, not {size}")
    return value


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: dict[str, None] = {}
        for name, _ in pairs:
            if name in seen:
                raise RemoteProtocolError(f"not strict JSON: an object has {json.dumps(name[:NAME_SHOWN_MAX])} twice")
            seen[name] = None
    return found


def _integer(text: str) -> int:
    number = int(text) if len(text) <= _INTEGER_LENGTH_MAX else VALUE_MAX + 1
    if not VALUE_MIN <= number <= VALUE_MAX:
        raise RemoteProtocolError(f"an integer must be from {VALUE_MIN} to {VALUE_MAX}; write it as a text")
    return number


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise RemoteProtocolError("a number is too large for 64 bits of floating point; write it as a text")
    return number


def _constant(text: str) -> NoReturn:
    raise RemoteProtocolError(f"not strict JSON: {text}")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
