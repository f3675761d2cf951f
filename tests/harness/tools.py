"""Real programs for the tests, fetched once into a cache directory; afterwards everything runs offline.

    python -m tests.harness.tools          # fetch all of them, one line each
    path = tools.cnitool()                 # in a script: raises Unavailable(reason)
    path = require(tools.cnitool)          # in a test: never fetches, but skips the test or fails it

Programs written in Go are built from their modules (golang.py); Debian's packages are unpacked (debian.py).
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from tests.harness import debian, golang
from tests.harness.cache import Unavailable, provide

CNITOOL_VERSION = "1.3.0"
REFERENCE_VERSION = "1.9.1"
CONTAINERD_VERSION = "2.4.2"
CRICTL_VERSION = "1.36.0"
NERDCTL_VERSION = "2.3.5"
ROOTLESSKIT_VERSION = "3.0.1"
DOCKER_VERSION = "2.0.0-beta.24"  # of the Go module; it is the engine called Docker 29
DOCKER_RUNC_VERSION = "1.5.1"
DOCKER_API_VERSION = "1.55.0"
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
# Recommended by podman's package, and needed: a container's init process, and podman's configuration.
_PODMAN_RECOMMENDS = ("catatonit", "golang-github-containers-common")
# The bus that firewalld answers on, and the package of `busctl`, by which it is asked.
_FIREWALLD_NEEDS = ("dbus-daemon", "systemd")


Tool = Callable[..., str]
"""A function of this module: `tool(fetch=...)` returns a path."""


def cnitool(*, fetch: bool = True) -> str:
    """Return the path of the CNI project's `cnitool`."""

    def build(target: str) -> None:
        golang.install(target, [f"github.com/containernetworking/cni/cnitool@v{CNITOOL_VERSION}"])

    return os.path.join(provide("cnitool", CNITOOL_VERSION, build, fetch=fetch), "cnitool")


def reference_plugins(*, fetch: bool = True) -> str:
    """Return the directory that holds the CNI project's own plugins, the ones ours are compared with."""

    def build(target: str) -> None:
        packages = [f"{_REFERENCE}/plugins/{plugin}@v{REFERENCE_VERSION}" for plugin in _REFERENCE_PLUGINS]
        # Without the version nerdctl's question to `firewall` is answered "version unknown".
        version = f"-X {_REFERENCE}/pkg/utils/buildversion.BuildVersion=v{REFERENCE_VERSION}"
        golang.install(target, packages, ldflags=version)

    return provide("reference-plugins", REFERENCE_VERSION, build, fetch=fetch)


def containerd24(*, fetch: bool = True) -> str:
    """Return the directory that holds containerd 2.4's `containerd`, `containerd-shim-runc-v2` and `ctr`."""

    def build(target: str) -> None:
        commands = ("containerd", "containerd-shim-runc-v2", "ctr")
        module = "github.com/containerd/containerd/v2/cmd"
        golang.install(target, [f"{module}/{command}@v{CONTAINERD_VERSION}" for command in commands])

    return provide("containerd", CONTAINERD_VERSION, build, fetch=fetch)


def containerd_debian(*, fetch: bool = True) -> str:
    """Return the directory of the distribution's `containerd`, `containerd-shim-runc-v2` and `ctr`."""
    return os.path.join(debian.unpacked("containerd", fetch=fetch), "usr/bin")


def crictl(*, fetch: bool = True) -> str:
    """Return the path of `crictl`, which speaks CRI to a containerd as a kubelet does."""

    def build(target: str) -> None:
        with golang.module_copy(f"sigs.k8s.io/cri-tools@v{CRICTL_VERSION}") as source:
            version = f"-X sigs.k8s.io/cri-tools/pkg/version.Version=v{CRICTL_VERSION}"
            golang.build(source, "./cmd/crictl", target, ldflags=version)

    return os.path.join(provide("crictl", CRICTL_VERSION, build, fetch=fetch), "crictl")


def nerdctl(*, fetch: bool = True) -> str:
    """Return the path of `nerdctl`."""

    def build(target: str) -> None:
        with golang.module_copy(f"github.com/containerd/nerdctl/v2@v{NERDCTL_VERSION}") as source:
            # go.mod points at a test module beside it that the published module lacks; only test helpers need
            # it.
            os.makedirs(os.path.join(source, "mod/tigron"))
            with open(os.path.join(source, "mod/tigron/go.mod"), "w", encoding="ascii") as file:
                file.write("module github.com/containerd/nerdctl/mod/tigron\n\ngo 1.24\n")
            for helper in glob.glob(os.path.join(source, "cmd/nerdctl/helpers/testing*.go")):
                os.unlink(helper)
            version = f"-X github.com/containerd/nerdctl/v2/pkg/version.Version=v{NERDCTL_VERSION}"
            golang.build(source, "./cmd/nerdctl", target, ldflags=version)

    return os.path.join(provide("nerdctl", NERDCTL_VERSION, build, fetch=fetch), "nerdctl")


def rootlesskit(*, fetch: bool = True) -> str:
    """Return the path of `rootlesskit`, in which containerd and nerdctl run for an ordinary user."""

    def build(target: str) -> None:
        module = "github.com/rootless-containers/rootlesskit/v3"
        golang.install(target, [f"{module}/cmd/rootlesskit@v{ROOTLESSKIT_VERSION}"])

    return os.path.join(provide("rootlesskit", ROOTLESSKIT_VERSION, build, fetch=fetch), "rootlesskit")


def slirp4netns(*, fetch: bool = True) -> str:
    """Return the path of the distribution's `slirp4netns`, RootlessKit's network."""
    return os.path.join(debian.unpacked("slirp4netns", fetch=fetch), "usr/bin/slirp4netns")


def uidmap(*, fetch: bool = True) -> str:
    """Return the directory of the distribution's `newuidmap` and `newgidmap`, which are set-user-ID root."""
    return os.path.join(debian.unpacked("uidmap", fetch=fetch), "usr/bin")


def podman(*, fetch: bool = True) -> str:
    """Return the root below which the distribution's podman and the packages it needs are unpacked.

    Its `usr` is laid over a private host's (tests/harness/podman.py). The package of reference plugins is not
    among them.
    """
    return debian.unpacked("podman", *_PODMAN_RECOMMENDS, without="containernetworking-plugins", fetch=fetch)


def firewalld(*, fetch: bool = True) -> str:
    """Return the root below which the distribution's firewalld and the packages it needs are unpacked."""
    return debian.unpacked("firewalld", *_FIREWALLD_NEEDS, fetch=fetch)


def dockerd(*, fetch: bool = True) -> str:
    """Return the directory that holds Docker's engine, `dockerd` and `docker-proxy`. Four minutes to build,
    so not in ALL.
    """

    def build(target: str) -> None:
        commands = ("dockerd", "docker-proxy")
        packages = [f"github.com/moby/moby/v2/cmd/{command}@v{DOCKER_VERSION}" for command in commands]
        golang.install(target, packages, tags="exclude_graphdriver_btrfs")

    return provide("dockerd", DOCKER_VERSION, build, fetch=fetch)


def docker_api(*, fetch: bool = True) -> str:
    """Return the path of the description of the Docker Engine's API (Swagger 2.0, in YAML)."""

    def build(target: str) -> None:
        with golang.module_copy(f"github.com/moby/moby/api@v{DOCKER_API_VERSION}") as source:
            shutil.copy(f"{source}/swagger.yaml", target)

    return os.path.join(provide("docker-api", DOCKER_API_VERSION, build, fetch=fetch), "swagger.yaml")


def runc_of_docker(*, fetch: bool = True) -> str:
    """Return the path of a `runc` that is new enough for Docker's engine. Needs a C compiler; not in ALL."""

    def build(target: str) -> None:
        golang.install(target, [f"github.com/opencontainers/runc@v{DOCKER_RUNC_VERSION}"], cgo=True)

    return os.path.join(provide("runc", DOCKER_RUNC_VERSION, build, fetch=fetch), "runc")


def runc(*, fetch: bool = True) -> str:
    """Return the path of the distribution's `runc`."""
    return os.path.join(debian.unpacked("runc", fetch=fetch), "usr/sbin/runc")


def busybox(*, fetch: bool = True) -> str:
    """Return the path of a statically linked busybox, which images are made of."""
    root = debian.unpacked("busybox-static", fetch=fetch)
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
    rootlesskit,
    slirp4netns,
    uidmap,
    podman,
    firewalld,
    docker_api,
)


def nothing_may_be_skipped() -> bool:
    """True where a missing tool is a failure: in continuous integration, or on request."""
    return any(os.environ.get(name, "") not in ("", "0", "false") for name in ("CI", "LINKSPAN_REQUIRE_ALL"))


def skip(reason: str) -> NoReturn:
    """Skip the test that runs, naming the reason; fail it where nothing may be skipped."""
    import pytest

    if nothing_may_be_skipped():
        pytest.fail(f"{reason} (nothing may be skipped here)", pytrace=False)
    pytest.skip(reason)


def require(tool: Tool) -> str:
    """Return the tool's path to a test; skip it, as above, if the tool has not been fetched."""
    try:
        return tool(fetch=False)
    except Unavailable as reason:
        skip(str(reason))


def main() -> int:
    """Fetch every tool, saying where it is and how long it took; return 1 if one is missing where none may
    be.
    """
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
