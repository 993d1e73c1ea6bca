"""One file over HTTP, resumed where it stopped: a downloader for pooch, which checks the hash before a file is used.

Beside the target lies `NAME.part` with what has come so far, and `NAME.part.json` with what it is a part of.
"""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqabook.fetch.manifest import Download
from vqabook.files import told_if_full

BLOCK = 1 << 16
CONTINUE = "fetch again, it continues where it stopped"
PROGRESS = 1 << 20  # a connection that brought this much was not in vain: the count of tries starts anew


class _Again(Exception):
    """The connection broke; what came is kept and the rest can be asked for. `reached`: the server had answered."""

    def __init__(self, reason: str, *, reached: bool = True):
        super().__init__(reason)
        self.reached = reached


def download(wanted: Download, folder: Path, *, tries: int = 5, timeout: float = 60.0, pause: float = 1.0) -> Path:
    """The file in `folder`, whole and with the published hash. An interrupted call is continued by the next.

    `timeout`: seconds without a byte until a connection counts as stalled. `pause`: seconds before the second try,
    doubled with each. Raises OSError saying what went wrong; a file of the wrong content is thrown away.
    """
    import pooch

    pooch.get_logger().setLevel("ERROR")  # its messages are ours to give
    target = folder / wanted.file
    part = target.with_name(f"{target.name}.part")
    known = f"sha256:{wanted.sha256}" if wanted.sha256 else None
    resume = Resume(part, wanted, tries=tries, timeout=timeout, pause=pause)
    with told_if_full(folder, CONTINUE):
        try:
            pooch.retrieve(wanted.url, known, fname=target.name, path=folder, downloader=resume)
        except ValueError as error:  # pooch's word for another hash than the known one
            forget(part)
            raise OSError(f"{wanted.url}: wrong content, its sha256 is not the published one ({error})") from None
    forget(part)
    return target


class Resume:
    """pooch calls it as `downloader(url, output_file, pooch)`."""

    def __init__(self, part: Path, wanted: Download, *, tries: int, timeout: float, pause: float):
        self.part, self.wanted = part, wanted
        self.tries, self.timeout, self.pause = tries, timeout, pause
        self.note = part.with_name(f"{part.name}.json")

    def __call__(self, url: str, output_file: str | os.PathLike, pooch: Any) -> None:
        failed = 0
        while True:
            before = _size(self.part)
            try:
                self._once(url)
                break
            except _Again as error:
                if not (error.reached or _size(self.part)):
                    raise OSError(f"{url}: {error}") from None
                failed = 0 if _size(self.part) - before >= PROGRESS else failed + 1
                if failed >= self.tries:
                    raise OSError(
                        f"{url}: {error}, {failed} times in a row; the {_size(self.part):,} bytes that came are kept: "
                        "fetch again to continue"
                    ) from None
                time.sleep(self.pause * 2**failed / 2)
        # The part stays until the hash is known, so that Ctrl-C during a long check loses nothing.
        Path(output_file).unlink(missing_ok=True)
        try:
            os.link(self.part, output_file)
        except OSError:
            self.part.replace(output_file)

    def _once(self, url: str) -> None:
        import requests
        from urllib3.exceptions import HTTPError

        note = self._read_note()
        validator = note.get("validator")
        if note.get("url") != url or not (validator or self.wanted.sha256):
            forget(self.part)  # nothing says that it is of this very file
        start, reached = _size(self.part), False
        # identity: a length and a range count bytes of the file, not of a compressed form of it.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        headers |= {"If-Range": validator} if start and validator else {}
        try:
            with requests.get(
                url, headers=headers, stream=True, timeout=(min(self.timeout, 20), self.timeout)
            ) as reply:
                reached = True
                if reply.status_code == 416 and start:
                    if reply.headers.get("Content-Range") == f"bytes */{start}":
                        return  # nothing was left to send
                    forget(self.part)  # it is longer than the file: of another one
                    return self._once(url)
                total = self._accept(url, reply, start)
                start = start if reply.status_code == 206 else 0
                self._receive(url, reply, start, total)
        except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
            raise _Again(_reason(error), reached=reached) from None
        except requests.RequestException as error:
            raise OSError(f"{url}: {_reason(error)}") from None
        if total is not None and _size(self.part) != total:
            raise _Again(f"the connection ended after {_size(self.part):,} of {total:,} bytes")

    def _accept(self, url: str, reply: Any, start: int) -> int | None:
        """Is this what was asked for? The file's length, if the server says it."""
        status = reply.status_code
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
                forget(self.part)
                raise OSError(f"{url}: the server sent another range than was asked for; fetch again to start anew")
            total = int(told[2])
        if total is not None and self.wanted.bytes is not None and total != self.wanted.bytes:
            forget(self.part)
            raise OSError(f"{url}: the server offers {total:,} bytes, the file has {self.wanted.bytes:,}: another file")
        etag = reply.headers.get("ETag", "")
        validator = etag if etag and not etag.startswith("W/") else reply.headers.get("Last-Modified", "")
        self.note.write_text(json.dumps({"url": url, "validator": validator, "total": total}))
        return total

    def _receive(self, url: str, reply: Any, start: int, total: int | None) -> None:
        bar = tqdm(desc=self.wanted.file, initial=start, total=total, unit="B", unit_scale=True, disable=None)
        with open(self.part, "r+b" if start else "wb") as out, bar:
            out.seek(start)
            for block in reply.raw.stream(BLOCK, decode_content=False):
                if start == 0 and out.tell() == 0 and re.match(rb"\s*<(!doctype\s+html|html)", block[:200], re.I):
                    forget(self.part)
                    raise OSError(f"{url}: got an HTML page, probably a login or error page")
                out.write(block)
                bar.update(len(block))

    def _read_note(self) -> dict:
        try:
            note = json.loads(self.note.read_text())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}


def forget(part: Path) -> None:
    """Throw away what has come so far."""
    part.unlink(missing_ok=True)
    part.with_name(f"{part.name}.json").unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    """What a person needs of a nested network error."""
    text = str(error)
    for sign, meaning in {
        "Name or service not known": "the host's name cannot be resolved (no network?)",
        "NameResolutionError": "the host's name cannot be resolved (no network?)",
        "Failed to resolve": "the host's name cannot be resolved (no network?)",
        "Connection refused": "the connection was refused (no network?)",
        "Network is unreachable": "the network is unreachable",
        "IncompleteRead": "the connection ended too early",
        "RemoteDisconnected": "the server closed the connection",
        "Tunnel connection failed": "the proxy refuses this host",
        "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted",
        "timed out": "nothing came for too long",
        "redirects": "it redirects without end",
    }.items():
        if sign in text:
            return meaning
    return text[:200]
