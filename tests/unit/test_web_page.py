"""The files of the live page: what is served, and with which headers; nothing else of the disk."""

import re

from twisted.trial.unittest import SynchronousTestCase

from onevalue.tokenfile import parse_tokens
from onevalue.web.page import FOLDER, HEADERS, MEDIA_TYPES, SECURITY_POLICY, PageRoutes, load
from tests.web_support import WebNode

LINE_LENGTH_MAX = 120
LINES_MAX = 400


class ServedTests(SynchronousTestCase):
    """GET / and /page/NAME."""

    def setUp(self) -> None:
        self.node = WebNode()

    def test_the_page_is_at_the_root(self) -> None:
        """As HTML, under the strict policy."""
        response = self.node.get("/")
        assert (response.status, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert response.body == (FOLDER / "index.html").read_bytes()
        for name, value in HEADERS.items():
            assert response.headers[name.decode().lower()] == value.decode()

    def test_each_file_is_served_with_its_type(self) -> None:
        """Every one that the folder has, and no other kind."""
        for name, file in load().items():
            response = self.node.get(f"/page/{name}")
            assert (response.status, response.body) == (200, (FOLDER / name).read_bytes()), name
            assert response.headers["content-type"] == MEDIA_TYPES["." + name.rsplit(".", 1)[1]].decode()
            assert response.headers["etag"] == f'"{file.tag}"'
            assert response.headers["x-content-type-options"] == "nosniff"
        assert sorted(load()) == sorted(path.name for path in FOLDER.iterdir())

    def test_who_has_it_need_not_get_it_again(self) -> None:
        """304 for its tag, under the policy all the same; HEAD has no body."""
        tag = self.node.get("/").headers["etag"]
        response = self.node.get("/", If_None_Match=tag)
        assert (response.status, response.body) == (304, b"")
        assert response.headers["content-security-policy"] == SECURITY_POLICY.decode()
        assert self.node.request("HEAD", "/page/main.js").status == 200

    def test_what_is_not_in_the_table_is_not_there(self) -> None:
        """However a path is spelled."""
        for name in (
            "x.js",
            "../page.py",
            "..%2fpage.py",
            "%2e%2e/page.py",
            "..%2F..%2Fsetup.py",
            "%2fetc%2fpasswd",
            "main.js/",
            "main.js%00",
            ".",
            "..",
            "",
            "__init__.py",
            "a/main.js",
            "..%5cpage.py",
        ):
            assert self.node.get(f"/page/{name}").status == 404, name
        assert self.node.get("/page").status == 404

    def test_it_needs_no_token(self) -> None:
        """It holds nothing of the node; what it reads needs one."""
        self.node.context.access.tokens = parse_tokens("write some-token-of-tests-1\nread some-token-of-tests-2")
        assert [self.node.get(path).status for path in ("/", "/page/main.js", "/v1/live")] == [200, 200, 401]

    def test_nothing_is_held_before_somebody_looks(self) -> None:
        """The table is made by the first request."""
        routes = PageRoutes()
        assert routes._files is None


class FileTests(SynchronousTestCase):
    """What the files may be."""

    def own(self) -> dict[str, str]:
        """The text of each that we wrote."""
        names = [path for path in FOLDER.iterdir() if not path.name.startswith("uplot")]
        return {path.name: path.read_text(encoding="utf-8") for path in names}

    def test_scripts_and_styles_say_what_they_are(self) -> None:
        """By their first lines; they are short, and so are their lines."""
        for name, text in self.own().items():
            if name.endswith((".js", ".css")):
                assert text.startswith(("// ", "/* ")), name
            assert text.count("\n") < LINES_MAX, name
            assert [line for line in text.splitlines() if len(line) > LINE_LENGTH_MAX and name != "icon.svg"] == [], (
                name
            )

    def test_nothing_comes_from_elsewhere(self) -> None:
        """No address of another host, but the names of XML."""
        for name, text in self.own().items():
            assert re.findall(r"https?://(?!www\.w3\.org/)[^\s\"']+", text) == [], name

    def test_text_never_becomes_markup(self) -> None:
        """Nor code, nor a style: names and values come from strangers, and the policy forbids it."""
        for name, text in self.own().items():
            found = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
            found += (
                re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", text) if name.endswith("html") else []
            )
            assert found == [], name

    def test_each_file_is_used(self) -> None:
        """By the page, or by another; and what is used is there."""
        texts = self.own()
        named = re.findall(r'"/page/([^"]+)"', texts["index.html"])
        for text in texts.values():
            named += re.findall(r'from "\./([^"]+)"', text)
        assert sorted(dict.fromkeys([*named, "index.html", "uplot.license.txt"])) == sorted(load())
