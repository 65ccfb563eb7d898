"""A Hugging Face Hub of one process on the loopback interface: the few routes its real client calls, in memory.

Repositories are lists of commits (revision, {path: bytes}), other branches of them ``user/name@branch``. ``cuts``
breaks the next transfers of weights off after so many bytes; ``hold_at`` stops the next one there, sets ``held`` and
waits for ``release``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_loopback"
Files = dict[str, bytes]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Hub(ThreadingHTTPServer):
    """``with Hub() as hub:`` serves at ``hub.url``; ``hub.requests`` records method, path and Range of every call."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, list[tuple[str, Files]]] = {}
        self.private: set[str] = set()
        self.uploads: Files = {}
        self.requests: list[tuple[str, str, str]] = []
        self.cuts: list[int] = []
        self.hold_at: int | None = None
        self.held, self.release = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self.shutdown()
        self.server_close()

    def put(self, repo: str, files: Files) -> str:
        """A new commit; returns its revision."""
        commits = self.repos.setdefault(repo, [])
        revision = hashlib.sha1(f"{repo} {len(commits)}".encode()).hexdigest()
        commits.append((revision, {**(commits[-1][1] if commits else {}), **files}))
        return revision

    def downloads(self, name: str) -> list[str]:
        """Range headers of the GET requests for a file."""
        return [r for method, path, r in self.requests if method == "GET" and path.endswith(name)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def answer(self, status: int, content: object = b"", **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.send_data(data)

    def handle_any(self) -> None:
        hub, path = self.server, self.path.split("?")[0]
        hub.requests.append((self.command, path, self.headers.get("Range") or ""))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.resolve(*found.groups())
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if re.fullmatch(r"/api/models/[^/]+/[^/]+/preupload/.+", path):
            modes = {f["path"]: "lfs" if "safetensors" in f["path"] else "regular" for f in json.loads(body)["files"]}
            files = [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]
            return self.answer(200, {"files": files})
        if path.endswith(".git/info/lfs/objects/batch"):
            links = [(o, f"{hub.url}/upload/{o['oid']}") for o in json.loads(body)["objects"]]
            objects = [o | {"actions": {"upload": {"href": link}}} for o, link in links]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        if self.command == "PUT" and path.startswith("/upload/"):
            hub.uploads[path.rpartition("/")[2]] = body
            return self.answer(200)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/branch/([^/]+)", path):
            return self.branch(*found.groups())
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            return self.commit(*found.groups(), body)
        return self.answer(404, {"error": f"no route {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def create(self, wanted: dict[str, str]) -> None:
        repo = f"{wanted.get('organization') or 'user'}/{wanted['name']}"
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid username or password."})
        status = 409 if repo in self.server.repos else 200
        self.server.repos.setdefault(repo, [])
        if wanted.get("visibility") == "private":
            self.server.private.add(repo)
        return self.answer(status, {"url": f"{self.server.url}/{repo}"})

    def branch(self, repo: str, name: str) -> None:
        there = name == "main" or f"{repo}@{name}" in self.server.repos
        if not there:
            self.server.repos[f"{repo}@{name}"] = list(self.server.repos[repo])
        self.answer(409 if there else 201, {"error": "Reference already exists"} if there else {})

    def commit(self, repo: str, branch: str, body: bytes) -> None:
        repo = repo if branch == "main" else f"{repo}@{branch}"
        if repo not in self.server.repos:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        lines = [json.loads(line) for line in body.splitlines()]
        files = {v["value"]["path"]: base64.b64decode(v["value"]["content"]) for v in lines if v["key"] == "file"}
        large = {v["value"]["path"]: self.server.uploads[v["value"]["oid"]] for v in lines if v["key"] == "lfsFile"}
        revision = self.server.put(repo, files | large)
        url = f"{self.server.url}/{repo}/commit/{revision}"
        return self.answer(200, {"commitUrl": url, "commitOid": revision, "hookOutput": ""})

    def resolve(self, repo: str, revision: str, file: str) -> None:
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repo not in self.server.repos or (repo in self.server.private and not known):
            return self.answer(401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        commits = self.server.repos.get(f"{repo}@{revision}")
        found = commits or [c for c in self.server.repos[repo] if revision in ("main", c[0])]
        if not found:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        commit, files = found[-1]
        if file not in files:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        data, wanted = files[file], re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted else 0
        part = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if wanted else {}
        return self.answer(206 if wanted else 200, data[start:], X_Repo_Commit=commit, ETag=f'"{sha(data)}"', **part)

    def send_data(self, data: bytes) -> None:
        hub, weights = self.server, self.path.endswith(".safetensors")
        stop = hub.cuts.pop(0) if weights and hub.cuts else hub.hold_at if weights else None
        self.wfile.write(data[:stop])
        self.wfile.flush()
        self.close_connection = stop is not None
        if weights and hub.hold_at is not None:
            hub.hold_at = None
            hub.held.set()
            hub.release.wait(60)
