"""Files of tokens: which are read, which are refused; and that nothing which is made of a token shows it."""

import hmac
import pickle
import shutil
import tempfile
import traceback
from hashlib import sha256
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue import tokenfile
from onevalue.errors import ConfigError
from onevalue.tokenfile import (
    TOKEN_FILE_SIZE_MAX,
    TOKEN_LENGTH_MAX,
    TOKEN_LENGTH_MIN,
    TOKENS_MAX,
    Right,
    Tokens,
    parse_tokens,
    token_file,
)

WRITE, READ, OTHER = "w" * TOKEN_LENGTH_MIN, "ABCxyz019-._~+/==", "o" * TOKEN_LENGTH_MAX


class ParseTests(SynchronousTestCase):
    """What is in a file of tokens."""

    def test_a_right_and_a_token_a_line(self) -> None:
        """Whatever follows is a comment; blank lines and those with # do not count, nor does space around."""
        tokens = parse_tokens(f"# ours\n\nwrite {WRITE}\n \tread\t {READ}  of Grafana, for May\r\n  # \u00e4 {OTHER}\n")
        assert tokens.right_of(WRITE.encode()) is Right.WRITE
        assert tokens.right_of(READ.encode()) is Right.READ
        assert tokens.right_of(OTHER.encode()) is None
        assert (tokens.count(Right.WRITE), tokens.count(Right.READ)) == (1, 1)

    def test_only_the_whole_token_is_one(self) -> None:
        """No part of it, nothing longer, no other case, and not nothing."""
        tokens = parse_tokens(f"write {WRITE}\nread {READ}")
        for wrong in (b"", WRITE[:-1], WRITE + "w", READ.lower(), f"write {WRITE}", READ + " ", "\u00e4" * 20):
            assert tokens.right_of(wrong if isinstance(wrong, bytes) else wrong.encode()) is None

    def test_each_wrong_line_is_named(self) -> None:
        """By its number, and what is wrong with it; never by what is in it, which may be most of a token."""
        for line, words in [
            (OTHER, "begin with write or read"),
            (f"Write {OTHER}", "begin with write or read"),
            (f"write,{OTHER}", "begin with write or read"),
            (f"admin {OTHER}", "begin with write or read"),
            ("write", f"{TOKEN_LENGTH_MIN} to {TOKEN_LENGTH_MAX} characters, not 0"),
            (f"read {OTHER[: TOKEN_LENGTH_MIN - 1]}", "characters, not 15"),
            (f"read {OTHER}o", "characters, not 257"),
            (f"read {OTHER[:20]}\u00e4", "RFC 6750"),
            (f"read ={OTHER[:20]}", "RFC 6750"),
            (f'read "{OTHER[:20]}"', "RFC 6750"),
            (f"read {OTHER[:20]}=o", "RFC 6750"),
            (f"read {WRITE}", "the token of line 2"),
            (f"write {WRITE}", "the token of line 2"),
        ]:
            with pytest.raises(ValueError, match="in line 4") as caught:
                parse_tokens(f"# ours\nwrite {WRITE}\n\n{line}\nread {READ}")
            assert words in str(caught.value)
            shown = "".join(traceback.format_exception(caught.value))
            assert "oooo" not in shown
            assert WRITE not in shown

    def test_there_is_at_least_one_and_at_most_a_bounded_number(self) -> None:
        """TOKENS_MAX fit, one more does not; a file without any would look as if all were open."""
        lines = [f"write {number:064}" for number in range(TOKENS_MAX + 1)]
        assert parse_tokens("\n".join(lines[:-1])).count(Right.WRITE) == TOKENS_MAX
        with pytest.raises(ValueError, match=f"more than {TOKENS_MAX} tokens"):
            parse_tokens("\n".join(lines))
        for text in ("", "\n", f"# write {WRITE}"):
            with pytest.raises(ValueError, match=r"no token.*write TOKEN"):
                parse_tokens(text)


class SecrecyTests(SynchronousTestCase):
    """Nobody learns a token from this process."""

    def test_no_text_shows_a_token_or_its_digest(self) -> None:
        """Neither repr nor str, of the tokens nor of their file; the token itself is kept nowhere."""
        tokens = parse_tokens(f"write {WRITE}\nread {READ}\nread {OTHER}")
        assert str(tokens) == "1 to write and 2 to read"
        for text in (repr(tokens), str(tokens), repr(token_file(Path("/t")))):
            assert WRITE not in text
            assert sha256(WRITE.encode()).hexdigest()[:8] not in text
            assert repr(sha256(WRITE.encode()).digest())[2:10] not in text
        assert WRITE.encode() not in pickle.dumps(dict(tokens.rights))

    def test_every_token_is_compared_whichever_is_right(self) -> None:
        """With compare_digest, upon digests of one length, and never fewer: the time tells nothing."""
        compared: list[tuple[bytes, bytes]] = []
        real = hmac.compare_digest

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return real(one, other)

        class Noted:
            compare_digest = staticmethod(compare)

        self.patch(tokenfile, "hmac", Noted)  # type: ignore[no-untyped-call]  # trial's has no types
        tokens = parse_tokens(f"write {WRITE}\nread {READ}\nread {OTHER}")
        for sent, right in [(WRITE, Right.WRITE), (READ, Right.READ), (OTHER, Right.READ), ("none", None), ("", None)]:
            compared.clear()
            assert tokens.right_of(sent.encode()) is right
            assert [known for _, known in compared] == list(tokens.rights)
            assert {one for one, _ in compared} == {sha256(sent.encode()).digest()}


class FileTests(SynchronousTestCase):
    """The file."""

    def setUp(self) -> None:
        """A good one."""
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "tokens"
        self.path.write_text(f"write {WRITE}\n")
        self.path.chmod(0o600)

    def assert_refused(self, *words: str) -> None:
        """The message names option and file, has these words, and shows no token."""
        with pytest.raises(ConfigError) as caught:
            token_file(self.path).read()
        message = str(caught.value)
        assert message.startswith(f"--token-file: {self.path} ")
        assert [word for word in words if word not in message] == []
        assert WRITE not in "".join(traceback.format_exception(caught.value))

    def test_it_is_read_anew_each_time(self) -> None:
        """What it holds now is what counts."""
        file = token_file(self.path)
        assert file.read().right_of(WRITE.encode()) is Right.WRITE
        self.path.write_text(f"read {WRITE}\n")
        assert file.read() == Tokens({sha256(WRITE.encode()).digest(): Right.READ})

    def test_what_others_may_read_is_refused(self) -> None:
        """As a file of keys is; a credential of systemd may show a right of the group."""
        for mode in (0o640, 0o604, 0o620):
            self.path.chmod(mode)
            self.assert_refused("open to others", f"chmod 600 {self.path}")
        self.path.chmod(0o440)
        assert token_file(self.path, self.folder).read().count(Right.WRITE) == 1

    def test_what_cannot_be_read_is_refused(self) -> None:
        """It is too large, wrong, a folder, or not there."""
        self.path.write_text("#" * (TOKEN_FILE_SIZE_MAX + 1))
        self.assert_refused(f"more than {TOKEN_FILE_SIZE_MAX} bytes", "only the tokens")
        self.path.write_text(f"write {WRITE}\nnonsense {WRITE}")
        self.assert_refused("is wrong in line 2")
        self.path.unlink()
        self.assert_refused("cannot be read: No such file")
        self.path.mkdir()
        self.assert_refused("not a regular file")
