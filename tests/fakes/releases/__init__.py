"""A server of releases for the tests: this project's document and GitHub's shape, over files with faults on request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from minisign import KeyPair

from tests.fakes.file_server import FileServer

CREATED = "2026-02-18T04:00:00Z"


@dataclass
class ReleaseServer:
    """Releases at `document_url` and, the same ones, at `github_url`.

    Attributes:
        http: where the files and the faults are.
        key: signs every file that is published once it is set.
    """

    http: FileServer = field(default_factory=lambda: FileServer({}))
    key: KeyPair | None = None
    document: list[dict[str, Any]] = field(default_factory=list)
    github: list[dict[str, Any]] = field(default_factory=list)

    @property
    def document_url(self) -> str:
        return f"{self.http.url}/data/"

    @property
    def github_url(self) -> str:
        return f"{self.http.url}/repos/owner/data/releases"

    @property
    def public_key(self) -> str:
        assert self.key is not None
        return self.key.public_key.to_base64().decode()

    def publish(self, version: str, files: Mapping[str, bytes], *, notes: str = "", checksums: bool = True) -> None:
        """Adds a release as the newest one."""
        signed = {}
        if self.key is not None:
            signed = {f"{n}.minisig": bytes(self.key.secret_key.sign(content)) for n, content in files.items()}
        for name, content in {**files, **signed}.items():
            self.http.files[f"/data/{version}/{name}"] = content
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        entries = []
        for name, content in files.items():
            entry: dict[str, Any] = {"name": name, "url": f"{version}/{name}", "size": len(content)}
            if checksums:
                entry["sha256"] = digests[name]
            if signed:
                entry["signature"] = f"{version}/{name}.minisig"
            entries.append(entry)
        release = {"version": version, "created": CREATED, "notes": notes, "files": entries}
        self.document.insert(0, release)
        body = notes + "".join(f"\n{digests[name]}  {name}" for name in files if checksums)
        assets = [
            {
                "name": name,
                "size": len(content),
                "browser_download_url": f"{self.http.url}/data/{version}/{name}",
                "content_type": "application/octet-stream",
            }
            for name, content in {**files, **signed}.items()
        ]
        self.github.insert(
            0,
            {
                "tag_name": f"v{version}",
                "name": version,
                "draft": False,
                "prerelease": False,
                "published_at": CREATED,
                "body": body,
                "assets": assets,
            },
        )
        self._write()

    def withdraw(self, version: str) -> None:
        """Removes a release."""
        self.document = [r for r in self.document if r["version"] != version]
        self.github = [r for r in self.github if r["name"] != version]
        self._write()

    def _write(self) -> None:
        self.http.files["/data/releases.json"] = json.dumps({"releases": self.document}).encode()
        self.http.files["/repos/owner/data/releases"] = json.dumps(self.github).encode()
        self.http.files["/repos/owner/data/releases/latest"] = json.dumps(
            self.github[0] if self.github else {}
        ).encode()


@contextmanager
def release_server(*, signed: bool = False) -> Iterator[ReleaseServer]:
    """A server without releases while the block runs."""
    served = ReleaseServer(key=KeyPair.generate() if signed else None)
    with served.http.running():
        yield served
