"""A small server that behaves like the Hugging Face hub, for reading and for uploads."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Hub:
    """What the server has and does; tests change it between requests."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """owner/name -> path -> content."""
    gated: set[str] = field(default_factory=set)
    forbidden: bool = False
    """Whether uploads are refused."""
    cut: bool = False
    """Whether files break off in the middle."""
    down: bool = False
    paths: list[str] = field(default_factory=list)
    """Method and path of every request."""
    created: list[dict[str, Any]] = field(default_factory=list)


@contextlib.contextmanager
def serve_hub(hub: Hub) -> Iterator[str]:
    """The address of a server with this content."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, status: int, body: bytes | object, **headers: str) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.close_connection = True
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if hub.cut and len(content) > 1000 else content)

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            hub.paths.append(f"{self.command} {path}")
            if hub.down:
                self._answer(503, {"error": "down"})
                return
            api = path.startswith("/api/models/")
            parts = path.removeprefix("/api/models").split("/")[1:]
            name, rest = "/".join(parts[:2]), parts[2:]
            files = hub.repositories.get(name)
            if files is None:
                self._answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            elif name in hub.gated and self.headers.get("Authorization") != "Bearer good":
                self._answer(401, {"error": "gated"}, X_Error_Code="GatedRepo", X_Error_Message="accept")
            elif len(rest) > 1 and rest[1] not in ("main", "v1", COMMIT):
                self._answer(404, {"error": "no revision"}, X_Error_Code="RevisionNotFound")
            elif api and rest[:1] == ["tree"]:
                self._answer(200, [_entry(path, content) for path, content in files.items()])
            elif api:
                self._answer(200, {"id": name, "sha": COMMIT, "siblings": [{"rfilename": path} for path in files]})
            else:
                self._send_file(files, "/".join(rest[2:]))

        do_HEAD = do_GET

        def _send_file(self, files: dict[str, bytes], path: str) -> None:
            content = files.get(path)
            if content is None:
                self._answer(404, {"error": "no such file"}, X_Error_Code="EntryNotFound")
                return
            digest = hashlib.sha256(content).hexdigest()
            headers = {"ETag": f'"{digest}"', "X_Repo_Commit": COMMIT, "Accept_Ranges": "bytes"}
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
            if start:
                headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._answer(206 if start else 200, content[start:], **headers)

        def do_POST(self) -> None:
            path = urlsplit(self.path).path
            hub.paths.append(f"POST {path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if hub.forbidden or self.headers.get("Authorization") != "Bearer good":
                self._answer(403 if hub.forbidden else 401, {"error": "no right"})
            elif path == "/api/repos/create":
                wanted = json.loads(body)
                hub.created.append(wanted)
                name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
                exists = name in hub.repositories
                hub.repositories.setdefault(name, {})
                self._answer(409 if exists else 200, {"url": f"https://huggingface.co/{name}", "id": name})
            elif path == "/api/validate-yaml":
                self._answer(200, {"errors": [], "warnings": []})
            elif "/preupload/" in path:
                files = json.loads(body)["files"]
                self._answer(
                    200, {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
                )
            elif "/commit/" in path:
                name = "/".join(path.split("/")[3:5])
                for line in body.splitlines():
                    record = json.loads(line)
                    if record["key"] == "file":
                        value = record["value"]
                        hub.repositories[name][value["path"]] = base64.b64decode(value["content"])
                answer = {
                    "commitUrl": f"https://huggingface.co/{name}/commit/{COMMIT}",
                    "commitOid": COMMIT,
                    "success": True,
                }
                self._answer(200, answer)
            else:
                self._answer(404, {"error": path})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _entry(path: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha256(content).hexdigest()[:40]}
