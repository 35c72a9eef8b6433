"""The tokens of a node: the file that `--token-file` names, and which right a token has.

Of a token only its digest is kept, so that no text, log or dump of this process can show one; and whether a token is
one of them is found out in a time that tells nothing about it. It must not know what the rights open, nor HTTP.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from pathlib import Path

from onevalue.secretfile import SecretFile

TOKENS_MAX = 64
"""Tokens in a file; each request is compared with all of them."""

TOKEN_LENGTH_MIN = 16
"""Characters of the shortest token: 16 of base64 are 96 bits, if they are drawn by chance."""

TOKEN_LENGTH_MAX = 256
"""Characters of the longest token."""

TOKEN_FILE_SIZE_MAX = 65536
"""Bytes of a file of tokens: TOKENS_MAX of the longest, and comments."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # b64token of RFC 6750, 2.1


class Right(Enum):
    """What a token is for; who may write may read too."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that count. `rights` has the right of each by its SHA-256."""

    rights: Mapping[bytes, Right] = field(repr=False)

    def right_of(self, token: bytes) -> Right | None:
        """The right that this token has; None if it is none of ours.

        Each is compared, in constant time, whichever it is: the time tells neither how much of a token was right nor
        which one it was.
        """
        digest, found = sha256(token).digest(), None
        for known, right in self.rights.items():
            if hmac.compare_digest(digest, known):
                found = right
        return found

    def count(self, right: Right) -> int:
        """How many tokens have just this right."""
        return sum(each is right for each in self.rights.values())

    def __str__(self) -> str:
        return " and ".join(f"{self.count(right)} to {right.value}" for right in (Right.WRITE, Right.READ))


def parse_tokens(text: str) -> Tokens:
    """The tokens in the text of a file: `write TOKEN` or `read TOKEN` a line, and whatever follows is a comment.

    Blank lines and those that begin with # are skipped.

    Raises:
        ValueError: there is no token, or too many, or a line is none of the above, or has a token of another line. The
            text goes on after the file's name, tells the number of the line, and shows nothing of it.
    """
    rights: dict[bytes, Right] = {}
    seen: dict[bytes, int] = {}
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if not line or line.startswith("#"):
            continue
        try:
            right, token = _parse_line(line)
        except ValueError as error:
            raise ValueError(f"is wrong in line {number}: {error}") from None
        digest = sha256(token.encode()).digest()
        if digest in seen:
            raise ValueError(f"is wrong in line {number}: it has the token of line {seen[digest]}. Make a new one")
        rights[digest], seen[digest] = right, number
        if len(rights) > TOKENS_MAX:
            raise ValueError(f"holds more than {TOKENS_MAX} tokens. Take out those that are no longer used")
    if not rights:
        raise ValueError("holds no token. Put a line into it: write TOKEN, where `openssl rand -hex 32` prints one")
    return Tokens(rights)


def _parse_line(line: str) -> tuple[Right, str]:
    first, token, *_ = [*line.split(maxsplit=2), ""]
    if first not in {right.value for right in Right}:
        raise ValueError("it must begin with write or read, and a token after it")
    if not TOKEN_LENGTH_MIN <= len(token) <= TOKEN_LENGTH_MAX:
        raise ValueError(f"a token has {TOKEN_LENGTH_MIN} to {TOKEN_LENGTH_MAX} characters, not {len(token)}")
    if not _TOKEN.fullmatch(token):
        raise ValueError("a token has only letters and digits of ASCII, - . _ ~ + / and = at its end (RFC 6750)")
    return Right(first), token


TokenFile = SecretFile[Tokens]


def token_file(path: Path, credentials: Path | None = None) -> TokenFile:
    """The file that `--token-file` names. It holds 1 .. TOKENS_MAX tokens (see `parse_tokens`)."""
    return SecretFile("token-file", "tokens", TOKEN_FILE_SIZE_MAX, parse_tokens, path.absolute(), credentials)
