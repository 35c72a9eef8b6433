"""The first byte of every message: memberlist's numbers and, inside user messages, Serf's (wire README 1.2)."""

from enum import IntEnum


class MessageId(IntEnum):
    """memberlist's messages and wrappers."""

    PING = 0
    INDIRECT_PING = 1
    ACK = 2
    SUSPECT = 3
    ALIVE = 4
    DEAD = 5
    PUSH_PULL = 6
    COMPOUND = 7
    USER = 8
    COMPRESS = 9
    ENCRYPT = 10
    NACK = 11
    CRC = 12
    ERR = 13
    LABEL = 244


class SerfMessageId(IntEnum):
    """Serf's messages; 6 to 8 are payloads of internal queries and their answers."""

    LEAVE = 0
    JOIN = 1
    PUSH_PULL = 2
    USER_EVENT = 3
    QUERY = 4
    QUERY_RESPONSE = 5
    CONFLICT_RESPONSE = 6
    KEY_REQUEST = 7
    KEY_RESPONSE = 8
    RELAY = 9


def message_name(message_id: int) -> str:
    """How an error names one of memberlist's messages."""
    try:
        return f"message {message_id} ({MessageId(message_id).name.lower()})"
    except ValueError:
        return f"message {message_id}"


def serf_message_name(message_id: int) -> str:
    """How an error names one of Serf's messages."""
    try:
        return f"Serf message {message_id} ({SerfMessageId(message_id).name.lower()})"
    except ValueError:
        return f"Serf message {message_id}"
