"""Writes container images without a registry: one busybox layer, any number of names, one tar file.

The tar carries both an OCI index and the older docker-archive manifest, so containerd and podman read the same file.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

_DIRECTORIES = "bin dev etc home proc root run sbin sys tmp usr usr/bin usr/sbin var var/run var/tmp www"
_OCI = "application/vnd.oci.image"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_image(
    target: str,
    names: Sequence[str],
    busybox: str,
    *,
    command: Sequence[str] = ("/bin/sh",),
    exposed: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> str:
    """Write the image to `target`, a path, and return it.

    `names` are fully qualified (`docker.io/library/box:1`), `busybox` is a static binary, `exposed` holds ports like
    `80/tcp`, and `files` adds or replaces files of the root: path without the leading slash -> text.
    """
    layer = _layer(busybox, {"www/index.html": "box\n", **_ACCOUNTS, **(files or {})})
    layer_digest = _digest(layer)
    config: dict[str, Any] = {
        "architecture": _architecture(),
        "os": "linux",
        "config": {"Env": [_PATH], "Cmd": list(command), "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    }
    if exposed:
        config["config"]["ExposedPorts"] = {port: {} for port in exposed}
    config_text = _json(config)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _descriptor(config_text, "config.v1+json"),
            "layers": [_descriptor(layer, "layer.v1.tar")],
        }
    )
    # One index entry per name: containerd calls the image what the annotation says.
    described = {
        **_descriptor(manifest, "manifest.v1+json"),
        "platform": {"architecture": _architecture(), "os": "linux"},
    }
    index = [
        {
            **described,
            "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
        }
        for name in names
    ]
    archive = {"Config": _blob(config_text), "RepoTags": list(names), "Layers": [_blob(layer)]}
    with tarfile.open(target, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(
            tar,
            "index.json",
            _json({"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": index}),
        )
        _add(tar, "manifest.json", _json([archive]))
        for content in (config_text, layer, manifest):
            _add(tar, _blob(content), content)
    return target


_ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def _layer(busybox: str, files: Mapping[str, str]) -> bytes:
    """Return the root file system as a tar: directories, busybox, a link per applet, then `files`."""
    with open(busybox, "rb") as file:
        program = file.read()
    listed = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in _DIRECTORIES.split():
            _add(tar, name, kind=tarfile.DIRTYPE, mode=0o1777 if name.endswith("tmp") else 0o755)
        _add(tar, "bin/busybox", program, mode=0o755)
        for applet in listed:
            if applet != "busybox" and f"bin/{applet}" not in files:
                _add(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, link="/bin/busybox", mode=0o777)
        for name, text in files.items():
            _add(tar, name, text.encode(), mode=0o755 if "bin/" in name else 0o644)
    return buffer.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    mode: int = 0o644,
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode, entry.size = kind, link, mode, len(content)
    tar.addfile(entry, io.BytesIO(content))


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _blob(content: bytes) -> str:
    return "blobs/sha256/" + hashlib.sha256(content).hexdigest()


def _descriptor(content: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": f"{_OCI}.{kind}", "digest": _digest(content), "size": len(content)}


def _architecture() -> str:
    """Return this machine's architecture by the name images use."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
