"""LZW as Go's compress/lzw writes it: least significant bit first, codes of 9 to 12 bits (wire README 2.4).

`compress` gives the very bytes of the reference encoder. Both directions run on every packet, so they keep their state
in local variables: bits wait in an integer, and leave or enter it eight bytes at a time.
"""

from onevalue.errors import RemoteProtocolError

_CLEAR = 256
_EOF = 257
_WIDTH_MIN = 9
_WIDTH_MAX = 12
_CODE_LAST = 4095
_WORD = 8
_WORD_MASK = (1 << 64) - 1
_LITERALS = [bytes([value]) for value in range(256)] + [b"", b""]  # two places for clear and eof
_EMPTY = b"\x00\x03\x02"


def compress(data: bytes) -> bytes:
    """The LZW stream of `data`: clear, codes, eof, the last byte padded with zeros."""
    if not data:
        return _EMPTY
    out = bytearray()
    pending, pending_bits = _CLEAR, _WIDTH_MIN
    width, high, limit = _WIDTH_MIN, _EOF, 1 << _WIDTH_MIN
    table: dict[int, int] = {}
    current = data[0]
    rest = memoryview(data)[1:]
    for byte in rest:
        key = current << 8 | byte
        if key in table:
            current = table[key]
            continue
        pending |= current << pending_bits
        pending_bits += width
        if pending_bits >= 64:
            out += (pending & _WORD_MASK).to_bytes(_WORD, "little")
            pending >>= 64
            pending_bits -= 64
        high += 1
        if high == limit:
            width += 1
            limit <<= 1
        if high == _CODE_LAST:
            pending |= _CLEAR << pending_bits
            pending_bits += width
            width, high, limit = _WIDTH_MIN, _EOF, 1 << _WIDTH_MIN
            table.clear()
        else:
            table[key] = high
        current = byte
    pending |= current << pending_bits
    pending_bits += width
    high += 1
    if high == limit:  # the last code counts too, although nobody reads what it adds
        width += 1
    if high == _CODE_LAST:
        pending |= _CLEAR << pending_bits
        pending_bits += width
        width = _WIDTH_MIN
    pending |= _EOF << pending_bits
    pending_bits += width
    return bytes(out) + pending.to_bytes((pending_bits + 7) // 8, "little")


def decompress(data: bytes, size_max: int) -> bytes:  # noqa: C901, PLR0912 - one hot loop; calls would double its time
    """What the LZW stream means; bytes after its end are ignored.

    Raises:
        RemoteProtocolError: a code that cannot be, no end, or more than `size_max` bytes of output.
    """
    out = bytearray()
    pending = pending_bits = pos = 0
    width, high, limit = _WIDTH_MIN, _EOF, 1 << _WIDTH_MIN
    table = _LITERALS.copy()
    last = b""  # what the code before stood for; nothing after a clear, or when the table is full
    while True:
        if pending_bits < width:
            word = data[pos : pos + _WORD]
            pending |= int.from_bytes(word, "little") << pending_bits
            pending_bits += 8 * len(word)
            pos += _WORD
            if pending_bits < width:
                raise RemoteProtocolError("LZW data ends early")
        code = pending & (1 << width) - 1
        pending >>= width
        pending_bits -= width
        if code == _CLEAR:
            width, high, limit = _WIDTH_MIN, _EOF, 1 << _WIDTH_MIN
            del table[len(_LITERALS) :]
            last = b""
            continue
        if code == _EOF:
            return bytes(out)
        if code < len(table):
            expansion = table[code]
        elif last and code == high:  # the entry that this very code completes
            expansion = last + last[:1]
        else:
            raise RemoteProtocolError(f"LZW code {code} above {high}")
        if last:
            table.append(last + expansion[:1])
        out += expansion
        if len(out) > size_max:
            raise RemoteProtocolError(f"LZW data of more than {size_max} bytes")
        last = expansion
        high += 1
        if high == limit:
            if width == _WIDTH_MAX:  # the table is full and stays as it is until a clear
                last = b""
                high -= 1
            else:
                width += 1
                limit <<= 1
