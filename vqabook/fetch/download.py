"""One file over HTTP, resumed where it stopped, and checked before it is used.

Beside the target lies `NAME.part` with what has come so far, and `NAME.part.json` with what it is a part of.
"""

import gzip
import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

from vqabook.fetch.manifest import Download
from vqabook.files import damage_of, move, tell_if_full
from vqabook.progress import Bar

BLOCK = 1 << 16
CONTINUE = "fetch again, it continues where it stopped"
TRIES = 5
PAUSE = 1.0  # seconds before the second try, doubled with each
TIMEOUT = 60.0  # seconds without a byte until a connection counts as stalled
SLOW = 1000  # bytes a second: one that brings less for TIMEOUT seconds counts as stalled, too
PROGRESS = 1 << 20  # a connection that brought this much was not in vain: the count of tries starts anew
PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|<!--.*?-->)*<(\?xml|!doctype\s+html|(?:html|head|body|title|script|style|h1|p)\b)",
    re.IGNORECASE | re.DOTALL,
)


class _Again(Exception):
    """The connection broke; what came is kept and the rest can be asked for."""


def download(wanted: Download, folder: Path, limit_bytes: int | None = None) -> Path:
    """The file in `folder`, whole and with the published hash. An interrupted call is continued by the next.

    `limit_bytes`: the most that may come where the manifest does not know the file's size. Raises OSError saying what
    went wrong; a file of the wrong content is thrown away.
    """
    target, url = folder / wanted.file, wanted.url
    if target.exists() and wanted.sha256 in (None, sha256(target)):
        return target
    part, failed = Part(wanted, folder, wanted.bytes if wanted.bytes is not None else limit_bytes), 0
    with tell_if_full(folder, CONTINUE):
        while True:
            before = part.size
            try:
                part.ask()
                break
            except _Again as error:
                failed = 0 if part.size - before >= PROGRESS else failed + 1
                if failed >= TRIES:
                    raise OSError(
                        f"{url}: {error}, {failed} times in a row; the {part.size:,} bytes that came are kept: "
                        "fetch again to continue"
                    ) from None
                time.sleep(PAUSE * 2**failed / 2)
        part.refuse_page()
        if wanted.sha256 and (digest := sha256(part.path)) != wanted.sha256:
            part.forget()
            raise OSError(f"{url}: wrong content, its sha256 is not the published one ({digest})")
        move(part.path, target)
    part.forget()
    return target


def sha256(path: Path, *, unpacked: bool = False) -> str:
    """Hexadecimal digest of the file, or of what is in a .gz, with a progress bar if it is large."""
    digest = hashlib.sha256()
    size = None if unpacked else path.stat().st_size
    bar = Bar(desc=f"check {path.name}", total=size, unit="B", unit_scale=True, leave=False, delay=2)
    with (gzip.open if unpacked else open)(path, "rb") as file, bar:
        while block := file.read(1 << 20):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


class Part:
    """What has come of a file so far."""

    def __init__(self, wanted: Download, folder: Path, most: int | None = None):
        self.wanted, self.most = wanted, most
        self.path, self.note = (folder / f"{wanted.file}.part{suffix}" for suffix in ("", ".json"))

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def forget(self) -> None:
        """Throw it away."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def ask(self) -> None:
        """Ask for the rest. Raises _Again if it may be asked for once more, OSError if not."""
        import requests
        from urllib3.exceptions import HTTPError

        url, note = self.wanted.url, self._read_note()
        validator = note.get("validator")
        if note.get("url") != url or not (validator or self.wanted.sha256):
            self.forget()  # nothing says that it is of this very file
        start, reached = self.size, False
        # identity: a length and a range count bytes of the file, not of a compressed form of it.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        headers |= {"If-Range": validator} if start and validator else {}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=(min(TIMEOUT, 20), TIMEOUT)) as reply:
                reached = True
                if start and self._is_another(reply, note):
                    self.forget()
                    return self.ask()
                if reply.status_code == 416 and start:
                    if reply.headers.get("Content-Range") == f"bytes */{start}":
                        return  # nothing was left to send
                    self.forget()  # it is longer than the file: of another one
                    return self.ask()
                total = self._accept(reply, start)
                self._receive(reply, start if reply.status_code == 206 else 0, total)
        except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
            if reached or self.size:
                raise _Again(_explain(error)) from None
            raise OSError(f"{url}: {_explain(error)}") from None
        except requests.RequestException as error:
            raise OSError(f"{url}: {_explain(error)}") from None
        total = self.wanted.bytes if total is None else total
        if total is not None and self.size != total:
            raise _Again(f"the connection ended after {self.size:,} of {total:,} bytes")

    def _is_another(self, reply: Any, note: dict) -> bool:
        """Whether the server goes on with another version than the part's; some ignore that If-Range forbids it."""
        if reply.status_code not in (206, 416):
            return False
        told = re.search(r"/(\d+)$", reply.headers.get("Content-Range", ""))
        if told and note.get("total") not in (None, int(told[1])):
            return True
        validator = note.get("validator")
        if not validator:
            return False  # the published hash will tell
        kind = "ETag" if validator.startswith('"') else "Last-Modified"
        if kind not in reply.headers:
            tagged = kind == "ETag" or "ETag" in reply.headers
            return tagged and not self.wanted.sha256  # a 206 may leave out the date, not the tag
        return reply.headers[kind] != validator

    def _accept(self, reply: Any, start: int) -> int | None:
        """Is this what was asked for? The file's length, if the server says it."""
        url, status = self.wanted.url, reply.status_code
        if status in (408, 429) or status >= 500:
            raise _Again(f"the server answers {status} {reply.reason}")
        if status not in (200, 206):
            raise OSError(f"{url}: the server answers {status} {reply.reason}")
        if "text/html" in reply.headers.get("Content-Type", "") and not url.endswith((".html", ".htm")):
            raise OSError(
                f"{url}: got an HTML page, probably a login or error page, where {self.wanted.file} was meant"
            )
        total = int(reply.headers["Content-Length"]) if reply.headers.get("Content-Length", "").isdigit() else None
        if status == 206:
            told = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", reply.headers.get("Content-Range", ""))
            if not told or int(told[1]) != start:
                self.forget()
                raise OSError(f"{url}: the server sent another range than was asked for; fetch again to start anew")
            total = int(told[2])
        if total is not None and self.wanted.bytes is not None and total != self.wanted.bytes:
            self.forget()
            raise OSError(f"{url}: the server offers {total:,} bytes, the file has {self.wanted.bytes:,}: another file")
        etag = reply.headers.get("ETag", "")
        validator = etag if etag and not etag.startswith("W/") else reply.headers.get("Last-Modified", "")
        self.note.write_text(json.dumps({"url": url, "validator": validator, "total": total}), "utf-8")
        return total

    def _receive(self, reply: Any, start: int, total: int | None) -> None:
        bar = Bar(desc=self.wanted.file, initial=start, total=total, unit="B", unit_scale=True)
        with open(self.path, "r+b" if start else "wb") as out, bar:
            out.seek(start)
            since, came = time.monotonic(), 0
            while block := reply.raw.read1(BLOCK, decode_content=False):  # what is there, be it a byte
                out.write(block)
                bar.update(len(block))
                if self.most is not None and out.tell() > self.most:
                    self.forget()
                    raise OSError(
                        f"{self.wanted.url}: more comes than the {self.most:,} bytes that it may have: another "
                        "file, or a server that sends without end"
                    )
                came, seconds = came + len(block), time.monotonic() - since
                if seconds > TIMEOUT:
                    if came < SLOW * seconds:
                        raise _Again(f"only {came:,} bytes came in {seconds:.0f} s")
                    since, came = time.monotonic(), 0

    def refuse_page(self) -> None:
        """Raise OSError, and forget it, if what came is a web page or a server's answer under the name of a file."""
        with open(self.path, "rb") as file:
            page = PAGE.match(file.read(4096))
        if page and not self.wanted.file.endswith((".html", ".htm", ".xml", ".svg")):
            self.forget()
            what = "an XML answer" if page[1].startswith(b"?") else "an HTML page"
            raise OSError(f"{self.wanted.url}: got {what}, probably a login or error page")

    def _read_note(self) -> dict:
        try:
            note = json.loads(self.note.read_bytes())
        except Exception as error:  # whatever damaged bytes lead to
            damage_of(self.note, error)  # without what it says, two versions of a file could be mixed
            return {}
        return note if isinstance(note, dict) else {}


def _explain(error: Exception) -> str:
    """What a person needs of a nested network error."""
    text = str(error)
    for sign, meaning in {
        "Name or service not known|NameResolutionError|Failed to resolve": "the host's name cannot be resolved "
        "(no network?)",
        "Connection refused": "the connection was refused (no network?)",
        "Network is unreachable": "the network is unreachable",
        "IncompleteRead": "the connection ended too early",
        "RemoteDisconnected": "the server closed the connection",
        "Tunnel connection failed": "the proxy refuses this host",
        "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted",
        "timed out": "nothing came for too long",
        "redirects": "it redirects without end",
    }.items():
        if re.search(sign, text):
            return meaning
    return text[:200]
