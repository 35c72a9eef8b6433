"""Files of keys: which are read, which are refused, and that a kept ring is never half there."""

import json
import os
import shutil
import stat
import tempfile
import traceback
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from onevalue.errors import ConfigError, LocalProtocolError
from onevalue.keyfile import KEY_FILE_SIZE_MAX, KeyringFile, choose_keys, key_file
from onevalue.wire.key_text import encode_key, fingerprint
from onevalue.wire.keyring import KEYS_MAX
from tests.unit.test_journal_file import as_nobody

OLD, NEW, OTHER = bytes(range(16)), bytes(range(100, 124)), bytes(range(200, 232))
SOMEBODY = 12345


def text_of(*keys: bytes) -> str:
    """A key a line."""
    return "".join(f"{encode_key(key)}\n" for key in keys)


def many(count: int) -> tuple[bytes, ...]:
    """So many keys of the largest size."""
    return tuple(number.to_bytes(32) for number in range(count))


def open_files() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Folder(SynchronousTestCase):
    """A folder for each test."""

    def setUp(self) -> None:
        """An empty folder."""
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "keys"
        self.ring = KeyringFile(self.path)

    def put(self, content: str | bytes, mode: int = 0o600) -> None:
        """The file is there, with this content and mode."""
        self.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.path.chmod(mode)

    def replace(self, name: str, function: Callable[..., object]) -> None:
        """A function of `os` is another one for the rest of the test."""
        self.patch(os, name, function)  # type: ignore[no-untyped-call]  # trial's has no types

    def assert_refused(self, *words: str) -> None:
        """As key file and as kept keyring: the message names the file, has these words, and shows no key."""
        for load, name in (
            (lambda: key_file(self.path).read(), f"--key-file: {self.path} "),
            (self.ring.load, f"{self.path}: the kept keyring "),
        ):
            with pytest.raises(ConfigError) as caught:
                load()
            message = str(caught.value)
            assert message.startswith(name)
            assert [word for word in words if word not in message] == []
            assert ("move it away" in message) == ("kept" in name)
            shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
            for key in (OLD, NEW, OTHER):
                assert encode_key(key)[:8] not in shown
                assert repr(key)[2:12] not in shown
                assert key.hex()[:8] not in shown


class FormTests(Folder):
    """What is in a file of keys."""

    def test_a_key_a_line(self) -> None:
        """As `serf keygen` prints it; blank lines, comments and space around a key do not count."""
        for text in (text_of(NEW, OLD), f"# new\n\n  {encode_key(NEW)}\t\r\n   # \u00e4\n{encode_key(OLD)}"):
            self.put(text)
            assert key_file(self.path).read() == (NEW, OLD)
        self.put(text_of(OTHER).encode() + b"# \xff\xfe")
        assert key_file(self.path).read() == (OTHER,)

    def test_the_keyring_file_of_serf(self) -> None:
        """A JSON array of base64, the primary first, however it is laid out."""
        for indent in (None, 2):
            self.put(" \n" + json.dumps([encode_key(NEW), encode_key(OLD)], indent=indent) + "\n")
            assert key_file(self.path).read() == (NEW, OLD)

    def test_each_key_counts_once(self) -> None:
        """At the place where it stands first."""
        self.put(text_of(NEW, OLD, NEW, OTHER, OLD))
        assert key_file(self.path).read() == (NEW, OLD, OTHER)

    def test_a_bounded_number_of_keys_is_read(self) -> None:
        """KEYS_MAX different ones fit, one more does not."""
        self.put(text_of(*many(KEYS_MAX), *many(KEYS_MAX)))
        assert key_file(self.path).read() == many(KEYS_MAX)
        self.put(text_of(*many(KEYS_MAX + 1)))
        self.assert_refused(f"more than {KEYS_MAX} keys")

    def test_a_bounded_number_of_bytes_is_read(self) -> None:
        """KEY_FILE_SIZE_MAX of them fit, one more does not."""
        text = text_of(OLD)
        self.put(text + "#" * (KEY_FILE_SIZE_MAX - len(text)))
        assert key_file(self.path).read() == (OLD,)
        self.put(text + "#" * (KEY_FILE_SIZE_MAX - len(text) + 1))
        self.assert_refused(f"more than {KEY_FILE_SIZE_MAX} bytes")

    def test_a_file_without_a_key_is_refused(self) -> None:
        """The message says how to make one."""
        for text in ("", "\n \n", f"# {encode_key(OLD)}\n", "[]", " [ ]\n"):
            self.put(text)
            self.assert_refused("holds no key", "serf keygen")

    def test_a_line_that_is_no_key_is_named(self) -> None:
        """By its number, never by what is in it, which may be most of a key."""
        for wrong, why in [
            (encode_key(OTHER)[:-1], "not base64"),
            (encode_key(OTHER) + " # new", "not base64"),
            (encode_key(OTHER) + encode_key(OTHER), "not base64"),
            (encode_key(OTHER)[:-1] + "\u00e4", "not base64"),
            (f'"{encode_key(OTHER)}"', "not base64"),
            (encode_key(OTHER[:-1]), "not of 31"),
            (encode_key(OTHER + b"!"), "not of 33"),
        ]:
            self.put(f"# keys\n{text_of(OLD)}\n{wrong}\n{text_of(NEW)}")
            self.assert_refused("line 4:", why)
        self.put(OTHER)
        self.assert_refused("line 1:", "not base64")

    def test_an_item_that_is_no_key_is_named(self) -> None:
        """By its number in the array."""
        text = encode_key(OTHER)
        items: list[object] = [text[:-1], f"{text}\n", encode_key(OTHER[:-1]), "", 5, None, True, [text], {text: text}]
        for wrong in items:
            self.put(json.dumps([encode_key(OLD), wrong]))
            self.assert_refused("key 2 of the array")

    def test_json_that_is_none_is_refused(self) -> None:
        """The place is named where there is one; nothing makes the reader fail in another way."""
        for text, where in [
            (f'["{encode_key(OTHER)}"', "(line 1, column 48)"),
            (f'[\n"{encode_key(OTHER)}", x]', "(line 2, column 49)"),
            (f'["{encode_key(OTHER)}"] "{encode_key(OLD)}"', "(line 1"),
            (f'["{encode_key(OTHER)}', "(line 1"),
            (f"[{encode_key(OTHER)}]", "(line 1"),
            ("[" * KEY_FILE_SIZE_MAX, ""),
            (f"[{'9' * 5000}]", ""),
        ]:
            self.put(text)
            self.assert_refused("is no JSON array", where, '["KEY", "KEY"]')


class AccessTests(Folder):
    """Who may have access to a file of keys."""

    def setUp(self) -> None:
        """A good file."""
        super().setUp()
        self.put(text_of(OLD))

    def seen_as_owned_by(self, user: int) -> None:
        """An open file seems to belong to this user."""
        real = os.fstat

        def fstat(descriptor: int) -> os.stat_result:
            fields = list(real(descriptor))
            fields[stat.ST_UID] = user
            return os.stat_result(fields)

        self.replace("fstat", fstat)

    def test_each_loose_permission_is_refused(self) -> None:
        """Whichever bit of the group or of others is set, the message says how to take it away."""
        for bit in range(6):
            self.path.chmod(0o600 | 1 << bit)
            self.assert_refused("open to others", f"chmod 600 {self.path}")
        for mode in (0o400, 0o600, 0o700):
            self.path.chmod(mode)
            assert key_file(self.path).read() == (OLD,)

    def test_a_credential_of_systemd_may_show_a_right_of_the_group(self) -> None:
        """It stands for an access list; no right of others, nor to write, and nowhere else than in systemd's folder."""
        self.path.chmod(0o440)
        assert key_file(self.path, self.path.parent).read() == (OLD,)
        for mode, folder in ((0o440, self.path.parent.parent), (0o444, self.path.parent), (0o460, self.path.parent)):
            self.path.chmod(mode)
            with pytest.raises(ConfigError, match="open to others"):
                key_file(self.path, folder).read()

    def test_it_belongs_to_root_or_to_who_reads_it(self) -> None:
        """Keys of somebody else may be known to somebody else."""
        self.replace("geteuid", lambda: SOMEBODY)
        for user in (0, SOMEBODY):
            self.seen_as_owned_by(user)
            assert key_file(self.path).read() == (OLD,)
        self.seen_as_owned_by(SOMEBODY + 1)
        self.assert_refused(f"belongs to user {SOMEBODY + 1}", f"chown {SOMEBODY} {self.path}")

    def test_root_does_not_take_the_keys_of_others(self) -> None:
        """A file of another user is refused to root too."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give a file away")
        os.chown(self.path, SOMEBODY, -1)
        self.assert_refused(f"belongs to user {SOMEBODY}", f"chown 0 {self.path}")

    def test_a_link_to_a_good_file_is_good(self) -> None:
        """The target counts, not the link, whose own permissions mean nothing; a loose target is refused."""
        target, link = self.path, self.folder / "link"
        link.symlink_to(target)
        assert key_file(link).read() == (OLD,)
        target.chmod(0o640)
        self.path, self.ring = link, KeyringFile(link)
        self.assert_refused("open to others")

    def test_the_open_file_is_checked(self) -> None:
        """A loose file is refused, though a good one is at its place by the time of the check."""
        opened = os.open

        def open_and_swap(path: Path, flags: int) -> int:
            self.path.chmod(0o644)
            descriptor = opened(path, flags)
            self.path.unlink()
            self.put(text_of(OLD))
            return descriptor

        self.replace("open", open_and_swap)
        self.assert_refused("open to others")

    def test_what_is_no_regular_file_is_refused(self) -> None:
        """Neither a folder nor a pipe, at which nobody waits for a writer."""
        for name, make in (("folder", os.mkdir), ("pipe", os.mkfifo)):
            self.path = self.folder / name
            self.ring = KeyringFile(self.path)
            make(self.path, 0o600)
            self.assert_refused("not a regular file")

    def test_what_cannot_be_opened_is_refused(self) -> None:
        """The reason of the system is told: a link in a circle, a way through a file, no right to read."""
        self.path.unlink()
        self.path.symlink_to(self.path)
        self.assert_refused("cannot be read: Too many levels of symbolic links.")
        self.path.unlink()
        self.put(text_of(OLD), 0)
        self.folder.chmod(0o755)
        with as_nobody():
            self.assert_refused("cannot be read: Permission denied.", "the user who runs onevalue may read")
        with pytest.raises(ConfigError, match=r"cannot be read: Not a directory\."):
            key_file(self.path / "keys").read()

    def test_a_data_folder_that_cannot_be_used_is_named_and_no_keyring_in_it(self) -> None:
        """It is a file, or of another user: nobody can tell whether there is a keyring."""
        self.put("")
        with pytest.raises(ConfigError, match=f"^{self.path}: the data folder cannot be used: Not"):
            KeyringFile(self.path / "keyring.json").load()
        self.folder.chmod(0o700)
        with (
            as_nobody(),
            pytest.raises(ConfigError, match=f"^{self.folder}: the data folder cannot be used: Permission denied"),
        ):
            self.ring.load()

    def test_nothing_stays_open(self) -> None:
        """Neither after saving nor after reading, nor after refusing."""
        before = open_files()
        self.ring.save([OLD])
        key_file(self.path).read()
        for content, mode in (("no key", 0o600), (text_of(OLD), 0o644)):
            self.put(content, mode)
            self.assert_refused()
        self.path.unlink()
        self.path.mkdir()
        self.assert_refused()
        assert open_files() == before

    def test_a_missing_key_file_is_refused_and_a_missing_ring_is_none(self) -> None:
        """Who names a file wants it; who has kept nothing yet has no ring."""
        self.path.unlink()
        with pytest.raises(ConfigError) as caught:
            key_file(self.path).read()
        assert f"--key-file: {self.path} cannot be read: No such file" in str(caught.value)
        assert self.ring.load() is None
        assert KeyringFile(self.folder / "no" / "keys").load() is None


class KeepingTests(Folder):
    """The kept keyring."""

    def test_what_is_saved_is_loaded(self) -> None:
        """In its order; one ring replaces another whole, longer or shorter."""
        for keys in ([OLD], [NEW, OLD, OTHER], many(KEYS_MAX), [OTHER]):
            self.ring.save(keys)
            assert KeyringFile(self.path).load() == tuple(keys)
            assert key_file(self.path).read() == tuple(keys)
            assert list(self.folder.iterdir()) == [self.path]

    def test_serf_can_read_it(self) -> None:
        """It is a JSON array of standard base64, the primary first."""
        self.ring.save([NEW, OLD])
        assert json.loads(self.path.read_text()) == [b64encode(NEW).decode(), b64encode(OLD).decode()]

    def test_it_is_for_its_owner_only(self) -> None:
        """Folder 0700 and file 0600, whatever the umask, and whatever mode the old file or a left-over had."""
        self.addCleanup(os.umask, os.umask(0))
        self.path = self.folder / "deep" / "er" / "keys"
        KeyringFile(self.path).save([OLD])
        assert stat.S_IMODE(self.path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(self.path.stat().st_mode) == 0o600
        for name in ("keys", "keys.new"):
            self.path.with_name(name).touch()
            self.path.with_name(name).chmod(0o666)
        KeyringFile(self.path).save([NEW])
        assert stat.S_IMODE(self.path.stat().st_mode) == 0o600
        assert KeyringFile(self.path).load() == (NEW,)

    def test_a_save_that_fails_leaves_the_old_ring(self) -> None:
        """Where the disk refuses to write or to rename, the error comes out, and nothing else is in the folder."""
        self.ring.save([OLD])
        before = self.path.read_bytes()
        for name in ("replace", "fsync"):
            real: Callable[..., object] = getattr(os, name)
            self.replace(name, refuse)
            with pytest.raises(OSError, match="full") as caught:
                self.ring.save([NEW, OLD])
            self.replace(name, real)
            assert encode_key(NEW) not in "".join(traceback.format_exception(caught.value))
            assert {each.name: each.read_bytes() for each in self.folder.iterdir()} == {self.path.name: before}
        self.ring.save([NEW, OLD])
        assert self.ring.load() == (NEW, OLD)

    def test_a_crash_before_the_rename_leaves_the_old_ring(self) -> None:
        """What it left behind, whole or half, is replaced by the next save."""
        self.ring.save([OLD])
        for text in (text_of(NEW), "[", ""):
            self.path.with_name("keys.new").write_text(text)
            assert self.ring.load() == (OLD,)
            self.ring.save([OLD])
            assert self.ring.load() == (OLD,)
            assert list(self.folder.iterdir()) == [self.path]

    def test_the_ring_is_on_the_disk_before_it_has_its_name(self) -> None:
        """File, rename, folder: in any other order a crash could leave an empty ring, or bring back the old one."""
        done: list[str] = []
        fsync, replace = os.fsync, os.replace

        def noted_fsync(descriptor: int) -> None:
            kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
            size = os.fstat(descriptor).st_size
            fsync(descriptor)
            done.append(kind if size else f"empty {kind}")

        def noted_replace(old: Path, new: Path) -> None:
            replace(old, new)
            done.append("rename")

        self.replace("fsync", noted_fsync)
        self.replace("replace", noted_replace)
        self.ring.save([OLD])
        assert done == ["file", "rename", "folder"]

    def test_what_could_not_be_loaded_is_not_saved(self) -> None:
        """No key, too many, or one of the wrong size: the old ring stays, and the key is not shown."""
        self.ring.save([OLD])
        for keys in ((), many(KEYS_MAX + 1), (NEW, OTHER[:-1])):
            with pytest.raises(LocalProtocolError) as caught:
                self.ring.save(keys)
            assert encode_key(OTHER)[:8] not in str(caught.value)
            assert self.ring.load() == (OLD,)

    def test_nothing_is_written_through_a_link(self) -> None:
        """Though somebody puts one there in the last moment; the save fails instead."""
        opened, victim = os.open, self.folder / "victim"
        victim.write_text("mine")

        def link_and_open(path: Path, *args: int) -> int:
            if path.name == "keys.new":
                path.symlink_to(victim)
            return opened(path, *args)

        self.replace("open", link_and_open)
        with pytest.raises(FileExistsError):
            self.ring.save([OLD])
        assert victim.read_text() == "mine"


class ChoiceTests(SynchronousTestCase):
    """With which keys a node starts."""

    def test_without_a_kept_ring_the_given_keys_count(self) -> None:
        """Even if they are none."""
        assert choose_keys((NEW, OLD), None) == ((NEW, OLD), None)
        assert choose_keys((), None) == ((), None)

    def test_a_kept_ring_wins(self) -> None:
        """In silence where the primary given key is one of its keys: the cluster changed them."""
        for given in ((OLD,), (NEW,), (OLD, OTHER)):
            assert choose_keys(given, (NEW, OLD)) == ((NEW, OLD), None)

    def test_a_kept_ring_wins_where_no_key_is_given_too(self) -> None:
        """Nothing falls back to plain by a line that is missing; the sentence says so, and how to go back."""
        keys, warning = choose_keys((), (NEW, OLD))
        assert keys == (NEW, OLD)
        assert warning is not None
        for words in ("no --key-file", fingerprint(NEW), "back to plain"):
            assert words in warning

    def test_a_kept_ring_without_the_primary_given_key_wins_with_a_warning(self) -> None:
        """The sentence tells the two apart by fingerprint, and says what to do; it shows no key."""
        keys, warning = choose_keys((OTHER, OLD), (NEW, OLD))
        assert keys == (NEW, OLD)
        assert warning is not None
        for words in (fingerprint(OTHER), fingerprint(NEW), "is used instead", "into the key file", "start anew"):
            assert words in warning
        for key in (OLD, NEW, OTHER):
            assert encode_key(key)[:8] not in warning
            assert key.hex()[:8] not in warning


def refuse(*_: object) -> None:
    """The disk is full, always."""
    raise OSError(28, "the disk is full")
