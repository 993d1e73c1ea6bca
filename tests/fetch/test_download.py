"""Whatever a server on loopback does, the file arrives whole or it is said why not; a part is kept and continued."""

from __future__ import annotations

import errno
import hashlib
import http.server
import threading
import time

import pytest

from vqabook.fetch import download as module
from vqabook.fetch.download import download
from vqabook.fetch.manifest import Download
from vqabook.files import DiskFull

CONTENT = bytes(range(256)) * 8192  # 2 MiB
CHANGED = b"y" * len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at any path, as well as `server.plan` allows: one behaviour a request, the last one for ever."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        plan = self.server.plan
        self.server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        getattr(self, plan.pop(0) if len(plan) > 1 else plan[0])()

    def good(self, *, content=CONTENT, cut=None, stall=False, ranges=True, kind="application/zip", etag='"v1"'):
        asked = self.headers.get("Range")
        start = int(asked[6:-1]) if asked and ranges and self.headers.get("If-Range") in (etag, None) else 0
        if start >= len(content):
            return self.reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        extra = {"ETag": etag} if etag else {}
        if start:
            extra["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        self.reply(206 if start else 200, body, {"Content-Type": kind, **extra}, cut=cut, stall=stall)

    def reply(self, status, body, headers, *, cut=None, stall=False):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        self.wfile.flush()
        if stall:
            self.server.stop.wait(5)
        self.close_connection = cut is not None or stall

    def truncates(self):
        self.good(cut=700_000)

    def stalls(self):
        self.good(cut=700_000, stall=True)

    def ignores_ranges(self):
        self.good(ranges=False)

    def without_a_validator(self):
        self.good(etag="", cut=700_000)

    def changed(self):
        self.good(content=b"x" * len(CONTENT), etag='"v2"')

    def wrong(self):
        self.good(content=b"x" * len(CONTENT))

    def shorter(self):
        self.good(content=CONTENT[:1000])

    def html(self):
        self.good(content=b"<html>please log in</html>", kind="text/html; charset=utf-8")

    def disguised_html(self):
        self.good(content=b"\n<!DOCTYPE html><p>404", kind="application/zip")

    def html_after_a_comment(self):
        self.good(content=b"\xef\xbb\xbf<!-- <generated> -->\n<HTML lang=en>404", kind="text/plain")

    def html_without_a_head(self):
        self.good(content=b"<h1>Quota exceeded</h1>", kind="application/octet-stream")

    def xml(self):
        self.good(content=b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', kind="application/xml")

    def missing(self):
        self.reply(404, b"no", {})

    def overloaded(self):
        self.reply(503, b"later", {})

    def redirects(self):
        self.reply(302, b"", {"Location": "/elsewhere/file.zip"})

    def redirects_for_ever(self):
        self.reply(302, b"", {"Location": self.path})

    def without_a_length(self):
        self.reply_in_chunks(CONTENT)

    def for_ever(self):
        self.reply_in_chunks(None)

    def cut_without_a_length(self):
        self.reply_in_chunks(CONTENT[:700_000])

    def reply_in_chunks(self, content):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        blocks = (CONTENT[:65536] for _ in range(10**4)) if content is None else [content]
        for block in blocks:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
        self.wfile.write(b"0\r\n\r\n")

    def drips(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("ETag", '"v1"')
        self.end_headers()
        for i in range(100):
            self.wfile.write(CONTENT[i : i + 1])
            if self.server.stop.wait(0.02):
                break
        self.close_connection = True

    def another_whatever_was_asked(self):
        self.another({"ETag": '"v2"'})

    def another_of_a_later_date(self):
        self.another({"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"})

    def another_without_a_tag(self):
        self.another({})

    def another_of_another_length(self):
        self.another({"ETag": '"v1"'}, b"y" * (len(CONTENT) + 1))

    def another(self, headers, content=CHANGED):
        """Ignores If-Range."""
        if asked := self.headers.get("Range"):
            start = int(asked[6:-1])
            told = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            return self.reply(206, content[start:], told | headers)
        self.reply(200, content, headers)

    def ignores_if_range(self):
        if self.headers.get("Range"):
            return self.reply(416, b"", {"Content-Range": f"bytes */{len(CONTENT)}", "ETag": '"v1"'})
        self.good()

    def dated(self):
        date = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        self.reply(200, CONTENT, date, cut=700_000)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.handle_error = lambda *_: None  # a client that hangs up is part of the plan
        running.plan, running.asked, running.stop = ["good"], [], threading.Event()
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.url = f"http://127.0.0.1:{running.server_port}/file.zip"
        yield running
        running.stop.set()
        running.shutdown()


@pytest.fixture
def get(server, tmp_path, monkeypatch):
    """Download with the given behaviours of the server, one a request."""

    def call(*plan: str, sha256: str | None = SHA256, tries: int = 3, **more) -> bytes:
        server.plan = list(plan) or ["good"]
        for name, value in (("TRIES", tries), ("PAUSE", 0.0), ("TIMEOUT", 0.3)):
            monkeypatch.setattr(module, name, value)
        return download(Download(server.url, sha256, **more), tmp_path).read_bytes()

    return call


def left(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_and_nothing_else_is_left(get, server, tmp_path):
    assert get() == CONTENT and left(tmp_path) == ["file.zip"]
    assert get("missing") == CONTENT and len(server.asked) == 1  # it is here: nothing is asked for
    (tmp_path / "file.zip").write_bytes(b"altered")
    assert get("good") == CONTENT


@pytest.mark.parametrize("break_", ["truncates", "stalls"])
def test_a_broken_connection_is_continued_where_it_stopped(get, server, break_):
    assert get(break_, break_, "good") == CONTENT
    (_, *first), (_, second, guard), (_, third, _) = server.asked
    assert first == [None, None] and guard == '"v1"'
    starts = [int(asked[6:-1]) for asked in (second, third)]
    assert 700_000 - module.BLOCK <= starts[0] <= 700_000 < starts[1] <= 1_400_000  # at most a block comes twice


def test_a_connection_that_always_breaks_is_told_and_its_part_is_kept(get, tmp_path):
    with pytest.raises(OSError, match=r"ended .*, 1 times in a row; the 700,000 bytes that came are kept"):
        get("truncates", tries=1)
    assert left(tmp_path) == ["file.zip.part", "file.zip.part.json"]
    assert get("good") == CONTENT and left(tmp_path) == ["file.zip"]


def test_progress_starts_the_count_of_tries_anew(get, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS", 600_000)
    assert get("truncates", tries=1) == CONTENT  # three requests of 700,000 bytes


def test_a_server_that_knows_no_ranges_sends_it_all_again(get):
    assert get("truncates", "ignores_ranges") == CONTENT


def test_a_file_that_changed_meanwhile_is_not_glued_to_the_old_part(get, tmp_path):
    assert get("truncates", "changed", sha256=None) == b"x" * len(CONTENT)
    assert left(tmp_path) == ["file.zip"]


def test_without_validator_or_hash_a_part_is_not_trusted(get, server):
    assert get("without_a_validator", "good", sha256=None) == CONTENT
    assert [asked[1] for asked in server.asked] == [None, None]
    server.asked.clear()
    assert get("good") == CONTENT


def test_with_a_published_hash_it_is(get, server):
    assert get("without_a_validator", "good") == CONTENT
    assert [asked[1:] for asked in server.asked] == [(None, None), ("bytes=700000-", None)]


def test_a_part_that_is_whole_already(get, server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    (tmp_path / "file.zip.part.json").write_text(f'{{"url": "{server.url}", "validator": "\\"v1\\""}}')
    assert get() == CONTENT and len(server.asked) == 1


def test_a_part_longer_than_the_file_is_thrown_away(get, server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "file.zip.part.json").write_text(f'{{"url": "{server.url}", "validator": "\\"v1\\""}}')
    assert get() == CONTENT and len(server.asked) == 2


@pytest.mark.parametrize("note", ["", "[]", "{", '{"url": "http://other/file.zip", "validator": "v"}'])
def test_a_part_of_something_else_is_thrown_away(get, server, tmp_path, note):
    (tmp_path / "file.zip.part").write_bytes(b"of something else")
    (tmp_path / "file.zip.part.json").write_text(note)
    assert get() == CONTENT and server.asked == [("/file.zip", None, None)]


def test_wrong_bytes_are_thrown_away(get, tmp_path):
    with pytest.raises(OSError, match="wrong content, its sha256 is not the published one"):
        get("wrong")
    assert left(tmp_path) == []
    with pytest.raises(OSError, match="offers 1,000 bytes, the file has 2,097,152"):
        get("shorter", bytes=len(CONTENT))
    assert left(tmp_path) == []


@pytest.mark.parametrize("page", ["html", "disguised_html", "html_after_a_comment", "html_without_a_head"])
def test_html_where_a_zip_was_meant(get, tmp_path, page):
    with pytest.raises(OSError, match="got an HTML page, probably a login or error page"):
        get(page, sha256=None)
    assert "file.zip" not in left(tmp_path) and "file.zip.part" not in left(tmp_path)


def test_a_missing_file_is_told_at_once(get, server):
    with pytest.raises(OSError, match="file.zip: the server answers 404 Not Found"):
        get("missing")
    assert len(server.asked) == 1


def test_an_overloaded_server_is_asked_again(get):
    assert get("overloaded", "good") == CONTENT
    with pytest.raises(OSError, match="answers 503"):
        get("overloaded", sha256="1" * 64)


def test_redirects_are_followed_but_not_for_ever(get, server):
    assert get("redirects", "good") == CONTENT
    assert [path for path, *_ in server.asked] == ["/file.zip", "/elsewhere/file.zip"]
    with pytest.raises(OSError, match="redirects without end"):
        get("redirects_for_ever", sha256="1" * 64)


def test_no_network_is_told_at_once(tmp_path, server):
    url = server.url
    server.shutdown()
    server.server_close()
    clock = time.monotonic()
    with pytest.raises(OSError, match="connection was refused"):
        download(Download(url, SHA256), tmp_path)
    assert time.monotonic() - clock < 2


def test_ctrl_c_leaves_the_part(get, server, tmp_path, monkeypatch):
    real = module.Part._receive

    def interrupted(self, reply, start, total):
        self.path.write_bytes(CONTENT[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(module.Part, "_receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get()
    assert left(tmp_path) == ["file.zip.part", "file.zip.part.json"]
    monkeypatch.setattr(module.Part, "_receive", real)
    assert get() == CONTENT and server.asked[-1][1] == "bytes=1000-"


def test_ctrl_c_while_the_hash_is_checked_loses_nothing(get, server, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "sha256", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get()
    assert get() == CONTENT
    assert [asked[1] for asked in server.asked] == [None, f"bytes={len(CONTENT)}-"]  # nothing comes twice


def test_a_full_disk_is_one_sentence(get, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.Part, "_receive", full)
    with pytest.raises(DiskFull, match="is full; free space and fetch again, it continues where it stopped"):
        get()


def test_an_xml_answer_is_no_file(get, tmp_path):
    with pytest.raises(OSError, match="got an XML answer, probably a login or error page"):
        get("xml", sha256=None)
    assert left(tmp_path) == []


def test_a_body_without_a_length_is_cut_off_where_the_size_is_known(get, server, tmp_path):
    assert get("without_a_length", sha256=None, bytes=len(CONTENT)) == CONTENT
    (tmp_path / "file.zip").unlink()
    with pytest.raises(
        OSError, match="more comes than the 2,097,152 bytes that it may have: another file, or a server"
    ):
        get("for_ever", sha256=None, bytes=len(CONTENT))
    assert left(tmp_path) == []
    with pytest.raises(OSError, match="ended after 700,000 of 2,097,152 bytes, 2 times in a row"):
        get("cut_without_a_length", sha256=None, bytes=len(CONTENT), tries=2)


def test_a_body_of_unknown_size_has_a_limit(server, tmp_path):
    server.plan = ["for_ever"]
    with pytest.raises(OSError, match="more comes than the 100,000 bytes"):
        download(Download(server.url), tmp_path, 100_000)
    assert left(tmp_path) == []


def test_a_drip_counts_as_stalled_and_what_came_is_kept(get, server, tmp_path):
    clock = time.monotonic()
    with pytest.raises(
        OSError, match=r"only \d+ bytes came in 0 s, 2 times in a row; the \d+ bytes that came are kept"
    ):
        get("drips", tries=2)
    assert time.monotonic() - clock < 3 and "file.zip.part" in left(tmp_path)
    assert get("drips", "good") == CONTENT


@pytest.mark.parametrize("begin", ["truncates", "dated"])
@pytest.mark.parametrize(
    "other",
    ["another_whatever_was_asked", "another_of_a_later_date", "another_without_a_tag", "another_of_another_length"],
)
def test_two_versions_are_not_mixed_where_a_server_ignores_if_range(get, begin, other):
    if begin == "dated" and other == "another_without_a_tag":
        return  # a 206 may leave out the date
    content = get(begin, other, sha256=None)
    assert set(content) == {ord("y")}


def test_a_whole_part_of_an_older_version_is_thrown_away(get, server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(b"x" * len(CONTENT))
    (tmp_path / "file.zip.part.json").write_text(f'{{"url": "{server.url}", "validator": "\\"v0\\""}}')
    assert get("ignores_if_range", sha256=None) == CONTENT
