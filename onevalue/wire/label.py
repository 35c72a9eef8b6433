"""The label in front of a packet or stream, which keeps clusters apart (wire README 2.1)."""

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.wire.dialect import TruncatedError
from onevalue.wire.message_ids import MessageId

LABEL_SIZE_MAX = 255


def join_label(label: bytes, data: bytes) -> bytes:
    """The data with its label in front; an empty label adds nothing.

    Raises:
        LocalProtocolError: the label has more than LABEL_SIZE_MAX bytes.
    """
    if len(label) > LABEL_SIZE_MAX:
        raise LocalProtocolError(f"a label has at most {LABEL_SIZE_MAX} bytes, not {len(label)}")
    return bytes([MessageId.LABEL, len(label)]) + label + data if label else data


def split_label(data: bytes) -> tuple[bytes, bytes]:
    """The label, empty if there is none, and what follows it.

    Raises:
        RemoteProtocolError: a label of no bytes; TruncatedError, one of these, if the data ends within the label.
    """
    if data[:1] != bytes([MessageId.LABEL]):
        return b"", data
    if len(data) < 2:
        raise TruncatedError
    end = 2 + data[1]
    if end == 2:
        raise RemoteProtocolError("a label has at least one byte")
    if len(data) < end:
        raise TruncatedError
    return data[2:end], data[end:]
