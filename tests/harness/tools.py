"""Real programs for the tests, fetched once into a cache directory; afterwards everything runs offline.

    python -m tests.harness.tools          # fetch all of them, one line each
    path = tools.cnitool()                 # in a script: raises Unavailable(reason)
    path = require(tools.cnitool)          # in a test: never fetches; skips, or fails where nothing may be skipped

The cache is `$LINKSPAN_CACHE`, else `$XDG_CACHE_HOME/linkspan`, else `~/.cache/linkspan`; each tool has a directory
`tools/<name>-<version>` in it, which appears complete or not at all. Debian's packages are unpacked there, not
installed, so that no service starts and the machine stays as it was.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

CNITOOL_VERSION = "1.3.0"
REFERENCE_VERSION = "1.9.1"
CONTAINERD_VERSION = "2.4.2"
CRICTL_VERSION = "1.36.0"
NERDCTL_VERSION = "2.3.5"
DOCKER_VERSION = "2.0.0-beta.24"  # of the Go module; it is the engine called Docker 29
DOCKER_RUNC_VERSION = "1.5.1"
_REFERENCE = "github.com/containernetworking/plugins"
_REFERENCE_PLUGINS = (
    "main/bridge",
    "main/loopback",
    "ipam/host-local",
    "ipam/static",
    "meta/portmap",
    "meta/firewall",
    "meta/tuning",
)
# What podman loads or starts that a small Debian may lack.
_PODMAN_NEEDS = (
    "catatonit",
    "conmon",
    "golang-github-containers-common",
    "libassuan0",
    "libdevmapper1.02.1",
    "libglib2.0-0",
    "libgpgme11",
    "libseccomp2",
    "libsubid4",
)
# What firewalld loads, the bus it answers on, and `busctl`, by which it is asked.
_FIREWALLD_NEEDS = (
    "dbus-daemon",
    "gir1.2-glib-2.0",
    "libapparmor1",
    "libcap-ng0",
    "libdbus-1-3",
    "libgirepository-1.0-1",
    "libglib2.0-0",
    "libsystemd-shared",
    "python3-attr",
    "python3-cap-ng",
    "python3-dbus",
    "python3-firewall",
    "python3-gi",
    "python3-jsonschema",
    "python3-nftables",
    "python3-pyrsistent",
    "systemd",
)


Tool = Callable[..., str]
"""A function of this module: `tool(fetch=...)` returns a path."""


class Unavailable(Exception):
    """A tool cannot be had here; the text says why in one line."""


def cnitool(*, fetch: bool = True) -> str:
    """Return the path of the CNI project's `cnitool`."""

    def build(target: str) -> None:
        _go_install(target, [f"github.com/containernetworking/cni/cnitool@v{CNITOOL_VERSION}"])

    return os.path.join(_provide("cnitool", CNITOOL_VERSION, build, fetch=fetch), "cnitool")


def reference_plugins(*, fetch: bool = True) -> str:
    """Return the directory that holds the CNI project's own plugins, the ones ours are compared with."""

    def build(target: str) -> None:
        packages = [f"{_REFERENCE}/plugins/{plugin}@v{REFERENCE_VERSION}" for plugin in _REFERENCE_PLUGINS]
        # Without the version nerdctl's question to `firewall` is answered "version unknown".
        version = f"-X {_REFERENCE}/pkg/utils/buildversion.BuildVersion=v{REFERENCE_VERSION}"
        _go_install(target, packages, ldflags=version)

    return _provide("reference-plugins", REFERENCE_VERSION, build, fetch=fetch)


def containerd24(*, fetch: bool = True) -> str:
    """Return the directory that holds containerd 2.4's `containerd`, `containerd-shim-runc-v2` and `ctr`."""

    def build(target: str) -> None:
        commands = ("containerd", "containerd-shim-runc-v2", "ctr")
        module = "github.com/containerd/containerd/v2/cmd"
        _go_install(target, [f"{module}/{command}@v{CONTAINERD_VERSION}" for command in commands])

    return _provide("containerd", CONTAINERD_VERSION, build, fetch=fetch)


def containerd_debian(*, fetch: bool = True) -> str:
    """Return the directory that holds the distribution's `containerd`, `containerd-shim-runc-v2` and `ctr`."""
    return _debian("containerd", "usr/bin", fetch=fetch)


def crictl(*, fetch: bool = True) -> str:
    """Return the path of `crictl`, which speaks CRI to a containerd as a kubelet does."""

    def build(target: str) -> None:
        with _module_copy(f"sigs.k8s.io/cri-tools@v{CRICTL_VERSION}") as source:
            version = f"-X sigs.k8s.io/cri-tools/pkg/version.Version=v{CRICTL_VERSION}"
            _go_build(source, "./cmd/crictl", target, ldflags=version)

    return os.path.join(_provide("crictl", CRICTL_VERSION, build, fetch=fetch), "crictl")


def nerdctl(*, fetch: bool = True) -> str:
    """Return the path of `nerdctl`."""

    def build(target: str) -> None:
        with _module_copy(f"github.com/containerd/nerdctl/v2@v{NERDCTL_VERSION}") as source:
            # go.mod points at a test module beside it that the published module lacks; only test helpers need it.
            os.makedirs(os.path.join(source, "mod/tigron"))
            with open(os.path.join(source, "mod/tigron/go.mod"), "w", encoding="ascii") as file:
                file.write("module github.com/containerd/nerdctl/mod/tigron\n\ngo 1.24\n")
            for helper in glob.glob(os.path.join(source, "cmd/nerdctl/helpers/testing*.go")):
                os.unlink(helper)
            version = f"-X github.com/containerd/nerdctl/v2/pkg/version.Version=v{NERDCTL_VERSION}"
            _go_build(source, "./cmd/nerdctl", target, ldflags=version)

    return os.path.join(_provide("nerdctl", NERDCTL_VERSION, build, fetch=fetch), "nerdctl")


def podman(*, fetch: bool = True) -> str:
    """Return the root below which the distribution's podman and the packages it needs are unpacked.

    Its `usr` is laid over a private host's (tests/harness/podman.py). The package of reference plugins, which
    podman's dependencies recommend, is not among them.
    """
    return _debian("podman", "", *_PODMAN_NEEDS, fetch=fetch)


def firewalld(*, fetch: bool = True) -> str:
    """Return the root below which the distribution's firewalld and the packages it needs are unpacked."""
    return _debian("firewalld", "", *_FIREWALLD_NEEDS, fetch=fetch)


def dockerd(*, fetch: bool = True) -> str:
    """Return the directory that holds Docker's engine, `dockerd` and `docker-proxy`. Four minutes to build, so not in ALL."""

    def build(target: str) -> None:
        commands = ("dockerd", "docker-proxy")
        packages = [f"github.com/moby/moby/v2/cmd/{command}@v{DOCKER_VERSION}" for command in commands]
        _go_install(target, packages, tags="exclude_graphdriver_btrfs")

    return _provide("dockerd", DOCKER_VERSION, build, fetch=fetch)


def runc_of_docker(*, fetch: bool = True) -> str:
    """Return the path of a `runc` that is new enough for Docker's engine. Needs a C compiler; not in ALL."""

    def build(target: str) -> None:
        _go_install(target, [f"github.com/opencontainers/runc@v{DOCKER_RUNC_VERSION}"], cgo=True)

    return os.path.join(_provide("runc", DOCKER_RUNC_VERSION, build, fetch=fetch), "runc")


def runc(*, fetch: bool = True) -> str:
    """Return the path of the distribution's `runc`."""
    return os.path.join(_debian("runc", "usr/sbin", fetch=fetch), "runc")


def busybox(*, fetch: bool = True) -> str:
    """Return the path of a statically linked busybox, which images are made of."""
    root = _debian("busybox-static", "", fetch=fetch)
    for below in ("usr/bin/busybox", "bin/busybox"):
        if os.path.exists(os.path.join(root, below)):
            return os.path.join(root, below)
    raise Unavailable(f"package busybox-static, unpacked in {root}, holds no busybox")


ALL: tuple[Tool, ...] = (
    busybox,
    runc,
    cnitool,
    reference_plugins,
    containerd_debian,
    containerd24,
    crictl,
    nerdctl,
    podman,
    firewalld,
)


def nothing_may_be_skipped() -> bool:
    """True where a missing tool is a failure: in continuous integration, or on request."""
    return any(os.environ.get(name, "") not in ("", "0", "false") for name in ("CI", "LINKSPAN_REQUIRE_ALL"))


def require(tool: Tool) -> str:
    """Return the tool's path to a test; skip the test, naming the reason, if it has not been fetched.

    Fails instead of skipping under CI or LINKSPAN_REQUIRE_ALL.
    """
    import pytest

    try:
        return tool(fetch=False)
    except Unavailable as reason:
        if nothing_may_be_skipped():
            pytest.fail(f"{reason} (nothing may be skipped here)", pytrace=False)
        pytest.skip(str(reason))


def cache_directory() -> str:
    """Return the directory under which fetched tools are kept; it may not exist yet."""
    if chosen := os.environ.get("LINKSPAN_CACHE"):
        return os.path.abspath(chosen)
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "linkspan")


# --- how a tool gets into the cache ----------------------------------------------------------------------------


def _provide(name: str, version: str, build: Callable[[str], None], *, fetch: bool) -> str:
    """Return the tool's directory, calling `build(empty directory)` first if there is none; once for all callers."""
    tools = os.path.join(cache_directory(), "tools")
    final = os.path.join(tools, f"{name}-{version}")
    if os.path.isdir(final):
        return final
    if not fetch:
        raise Unavailable(f"{name} {version} has not been fetched; run: python -m tests.harness.tools")
    os.makedirs(tools, exist_ok=True)
    with _locked(final + ".lock"):
        if not os.path.isdir(final):
            work = tempfile.mkdtemp(prefix=f".{name}-", dir=tools)
            try:
                os.mkdir(os.path.join(work, "out"))
                build(os.path.join(work, "out"))
                os.rename(os.path.join(work, "out"), final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return final


@contextmanager
def _locked(path: str) -> Iterator[None]:
    with open(path, "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _go_install(
    target: str, packages: Sequence[str], *, ldflags: str = "", tags: str = "", cgo: bool = False
) -> None:
    go = _go(packages[0])
    # Modules go to the temporary directory's cache only by the user's own settings; GOBIN is all we choose.
    environment = {**_GO_ENVIRONMENT, "GOBIN": target, "CGO_ENABLED": str(int(cgo))}
    options = ["-trimpath", "-tags", tags, "-ldflags", f"-s -w {ldflags}".strip()]
    _run([go, "install", *options, *packages], env=environment)


_GO_ENVIRONMENT = {**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}


def _go(wanted_for: str) -> str:
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not os.path.exists(go):
        raise Unavailable(f"{wanted_for} is built with the Go toolchain, and there is no go on PATH")
    return go


@contextmanager
def _module_copy(module: str) -> Iterator[str]:
    """A writable copy of a module's source, for what `go install` refuses to build; gone afterwards."""
    downloaded = json.loads(_run([_go(module), "mod", "download", "-json", module], env=_GO_ENVIRONMENT))
    with tempfile.TemporaryDirectory(prefix="linkspan-go-") as work:
        source = os.path.join(work, "source")
        _run(["cp", "--recursive", "--no-preserve=mode", downloaded["Dir"], source])
        yield source


def _go_build(source: str, command: str, target: str, ldflags: str) -> None:
    argv = [_go(command), "build", "-trimpath", "-ldflags", f"-s -w {ldflags}", "-o", target + "/", command]
    _run(argv, env=_GO_ENVIRONMENT, cwd=source)


def _debian(package: str, below: str, *needed: str, fetch: bool) -> str:
    """Return directory `below` of the unpacked package, in the version this distribution has.

    `needed` are further packages unpacked into the same place.
    """

    def build(target: str) -> None:
        if not shutil.which("apt-get"):
            raise Unavailable(
                f"package {package} is taken from Debian's archive, and there is no apt-get here"
            )
        with tempfile.TemporaryDirectory(prefix="linkspan-deb-") as work:
            try:
                _run(["apt-get", "--quiet=2", "download", package, *needed], cwd=work)
            except Unavailable:  # an image without package lists, or with lists older than the archive
                _run(["apt-get", "--quiet=2", "update"])
                _run(["apt-get", "--quiet=2", "download", package, *needed], cwd=work)
            for archive in sorted(os.listdir(work)):
                _run(["dpkg-deb", "--extract", os.path.join(work, archive), target])

    return os.path.join(_provide(package, _distribution(), build, fetch=fetch), below)


def _distribution() -> str:
    """Return for example `debian12`."""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            facts = dict(line.rstrip().replace('"', "").split("=", 1) for line in file if "=" in line)
    except OSError:
        facts = {}
    return facts.get("ID", "linux") + facts.get("VERSION_ID", "")


def _run(argv: Sequence[str], *, env: dict[str, str] | None = None, cwd: str | None = None) -> str:
    """Run a program and return its stdout; Unavailable with its last words when it fails."""
    done = subprocess.run(
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    if done.returncode != 0:
        said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-2:])
        raise Unavailable(f"{' '.join(argv[:3])}: {said}")
    return done.stdout


def main() -> int:
    """Fetch every tool, saying where it is and how long it took; return 1 if one is missing where none may be."""
    missing = 0
    for tool in ALL:
        started = time.monotonic()
        try:
            line = tool()
        except Unavailable as reason:
            missing += 1
            line = f"missing: {reason}"
        sys.stdout.write(f"tools: {tool.__name__} {line} ({time.monotonic() - started:.1f} s)\n")
        sys.stdout.flush()
    return 1 if missing and nothing_may_be_skipped() else 0


if __name__ == "__main__":
    sys.exit(main())
