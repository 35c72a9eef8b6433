"""The keys of a node on disk: the file that `--key-file` names, and the keyring that the node keeps for itself.

It owns the two forms of such a file (a base64 key a line, as `serf keygen` prints it, or Serf's JSON array) and how a
ring is replaced without ever being half there; who may read it is `secretfile`'s. It must not know what keys are for,
nor when they change. No text that it makes shows a key or what was meant to be one.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from onevalue.errors import ConfigError, LocalProtocolError
from onevalue.journal_file import FILE_MODE, FOLDER_MODE, unusable
from onevalue.secretfile import SecretFile, named, read_secrets
from onevalue.wire.key_text import decode_key, encode_key, fingerprint
from onevalue.wire.keyring import KEY_SIZES, KEYS_MAX

KEY_FILE_SIZE_MAX = 16384
"""Bytes of a file of keys: KEYS_MAX of the longest, and comments."""


KeyFile = SecretFile[tuple[bytes, ...]]


def key_file(path: Path, credentials: Path | None = None) -> KeyFile:
    """The file that `--key-file` names. It holds 1 .. KEYS_MAX keys, each of which is read once, the primary first.

    Blank lines and those that begin with # are skipped.
    """
    return SecretFile("key-file", "keys", KEY_FILE_SIZE_MAX, _keys, path.absolute(), credentials)


class KeyringFile:
    """The keyring that a node keeps at `path`, in Serf's form, so that a Serf agent can take it over.

    Args:
        path: in a folder that is this process's alone; only one thread at a time saves.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[bytes, ...] | None:
        """The keys that were saved last, the primary first; None if none ever were.

        Raises:
            ConfigError: as `key_file`; the message says that it is the kept keyring. Or its folder cannot be used; then
                it names the folder.
        """
        try:
            self._path.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:  # of the way to it: whether it is there, nobody can tell
            raise ConfigError(unusable(self._path.parent, error)) from None
        alternative = ", or move it away: the node then starts with --key-file"
        with named(f"{self._path}: the kept keyring", alternative), suppress(FileNotFoundError):
            return _keys(read_secrets(self._path, "keys", KEY_FILE_SIZE_MAX))
        return None

    def save(self, keys: Sequence[bytes]) -> None:
        """`load` gives these keys from now on, after a crash too; the file is whole and private at every moment.

        Raises:
            OSError: the system refused. The old file is there as it was, and nothing else; but if it was the last step
                that failed, the fsync of the folder, the new one is there, and a crash may bring back the old.
            LocalProtocolError: there is no key, or too many, or one of the wrong size; the old file is as it was.
        """
        if not 0 < len(keys) <= KEYS_MAX or any(len(key) not in KEY_SIZES for key in keys):
            raise LocalProtocolError(f"a keyring has 1 to {KEYS_MAX} keys, each of 16, 24 or 32 bytes")
        self._path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        new = self._path.with_name(f"{self._path.name}.new")
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            new.unlink(missing_ok=True)  # of a save that a crash cut short
            # O_EXCL: neither through a link that somebody put there, nor into a file with other permissions
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w") as file:
                json.dump([encode_key(key) for key in keys], file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            os.fsync(folder)
        finally:
            with suppress(OSError):  # without effect when it was renamed; else the first error is the one to tell
                new.unlink()
            os.close(folder)


def choose_keys(given: tuple[bytes, ...], kept: tuple[bytes, ...] | None) -> tuple[tuple[bytes, ...], str | None]:
    """The keys that a node starts with, and a warning if those are not what its user may expect.

    A kept keyring wins, because the cluster changes keys while it runs, and the key file does not hear of it.

    `given` is from `key_file`, empty without a key file; `kept` from `KeyringFile.load`.
    """
    if kept is None:
        return given, None
    if not given:
        return kept, (
            "no --key-file is given, but a keyring is kept from before, so the node goes on with its keys (primary:"
            f" {fingerprint(kept[0])}). To go back to plain, take the cluster back in the three steps, and remove it"
        )
    if given[0] in kept:
        return kept, None
    return kept, (
        f"the primary key of --key-file (fingerprint {fingerprint(given[0])}) is not in the kept keyring, which is used"
        f" instead (its primary: {fingerprint(kept[0])}). Put the present key into the key file, or remove the kept"
        " keyring to start anew"
    )


def _keys(text: str) -> tuple[bytes, ...]:
    keys: dict[bytes, None] = {}  # of equal ones the first, in their order
    for where, item in _json_items(text) if text.lstrip().startswith("[") else _lines(text):
        try:
            keys[decode_key(item)] = None
        except ValueError as error:
            raise ValueError(f"is wrong in {where}: {error}. Write it as `serf keygen` prints it") from None
    if not keys:
        raise ValueError("holds no key. Put one into it, as `serf keygen` prints it")
    if len(keys) > KEYS_MAX:
        raise ValueError(f"holds more than {KEYS_MAX} keys. Take out those that are no longer used")
    return tuple(keys)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if line and not line.startswith("#"):
            yield f"line {number}", line


def _json_items(text: str) -> Iterator[tuple[str, str]]:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f'is no JSON array{where}. Write ["KEY", "KEY"], or one base64 key a line') from None
    for number, item in enumerate(items, 1):
        yield f"key {number} of the array", item if isinstance(item, str) else "-"  # a number, say, is no base64
