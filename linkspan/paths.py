"""Where linkspan keeps its files, and the number of the network namespace that state belongs to.

Nothing else knows these paths.

    /run/linkspan/COOKIE/          state that must outlive neither this boot nor this network namespace
        records/PLUGIN/KEY.json    what a plugin did for an attachment
        records/warnings/PLUGIN/   what it warned of
        locks/NAME                 locks of attachments (one file a plugin), port claims, address owners
        ports/PROTOCOL/PORT/       claims of one host port
        firewall/ADDRESS           the attachment that an address's firewall rules belong to
        localnet/BRIDGE/           a file for each attachment that needs 127.0.0.1 to be routed to a bridge
        internal/BRIDGE            marks a bridge of an internal network
        deferred/PLUGIN.KEY.json   a DEL that is carried out when its container has ended
        released/POOL              the addresses of a pool that were given back last
        swept/POOL                 says that the leases of earlier boots were removed from a pool
        removed                    says that this directory was removed while there were attachments
        SERVICE.sock .lock .log    of a long-lived process: socket, the lock that makes it the only one, log
    /var/lib/linkspan/connections/ID/   what `linkspan connect` attached a container to
    /var/lib/linkspan/leases/      what a lease needs beyond the reference's own files

Every executable imports this module at every call, so it imports only what a bare interpreter has loaded
already, and `_socket`.
"""

import _socket
import posix
import sys

#: Parent of every state directory. /run is empty after a boot.
RUN_DIR = "/run/linkspan"
#: What outlives a boot.
LIBRARY_DIR = "/var/lib/linkspan"
LEASES_DIR = f"{LIBRARY_DIR}/leases"
CONNECTIONS_DIR = f"{LIBRARY_DIR}/connections"
#: The network namespace of this process (network_namespaces(7)).
OWN_NETNS = "/proc/self/ns/net"
#: The services, as their files are called.
WORKERS, NAME_SERVER, PORTS = "resident", "dns", "ports"
#: What the supervisor is asked about itself on.
SUPERVISOR = f"{WORKERS}.control"

_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, Linux 5.14
_SOL_SOCKET = 1  # asm-generic/socket.h
_ENOPROTOOPT = 92  # asm-generic/errno.h


def netns_cookie() -> int:
    """The kernel's number for our network namespace, never used twice. Raises OSError.

    Before Linux 5.14 it is the namespace's inode.
    """
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        return cookie_of(probe) or posix.stat(OWN_NETNS).st_ino
    finally:
        probe.close()


def cookie_of(sock: "_socket.socket") -> int:
    """The kernel's number for the network namespace of a socket; 0 before Linux 5.14. Raises OSError."""
    try:
        return int.from_bytes(sock.getsockopt(_SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)
    except OSError as error:
        if error.errno != _ENOPROTOOPT:
            raise
        return 0


def state_of(cookie: int | str) -> str:
    """The state directory of the network namespace with that number."""
    return f"{RUN_DIR}/{cookie}"


def state_dir() -> str:
    """The state directory of our own network namespace. Raises OSError."""
    return state_of(netns_cookie())


def library_dir() -> str:
    """The folder that holds the package `linkspan`, symbolic links resolved."""
    import os

    return os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def workers_program() -> str:
    """The Python file that is run to be the resident."""
    return f"{library_dir()}/linkspan/workers/__main__.py"


def ports_program() -> str:
    """The Python file that is run to be the ports process."""
    return f"{library_dir()}/linkspan/ports/__main__.py"


def is_state(path: str) -> bool:
    """Whether a path is RUN_DIR or below it."""
    return f"{path}/".startswith(f"{RUN_DIR}/")


# --- below a state directory ----------------------------------------------------------------------


def records(state: str, plugin: str = "") -> str:
    """The folder of a plugin's records. Without a plugin the folder of all of these."""
    return f"{state}/records/{plugin}".rstrip("/")


def connections(container_id: str = "") -> str:
    """The folder of a container's connections; without an ID the folder of all of these."""
    return f"{CONNECTIONS_DIR}/{container_id}".rstrip("/")


def lock(state: str, name: str) -> str:
    """The file of a lock. The attachments of a plugin are locked in the file of the plugin's name."""
    return f"{state}/locks/{name}"


def protocol_claims(state: str, protocol: str) -> str:
    """The folder that has a folder for each host port of a protocol that is claimed."""
    return f"{state}/ports/{protocol}"


def port_claims(state: str, protocol: str, port: int) -> str:
    """The folder of the claims of one host port."""
    return f"{protocol_claims(state, protocol)}/{port}"


def address_owners(state: str) -> str:
    """The folder in which a file named by an address says whose firewall rules it has."""
    return f"{state}/firewall"


def internal_mark(state: str, bridge: str) -> str:
    """The file that marks the bridge of an internal network."""
    return f"{state}/internal/{bridge}"


def routed_loopback(state: str, interface: str = "") -> str:
    """The folder that has a file for each attachment that needs 127.0.0.1 to be routed to an interface.

    Without an interface the folder of all of these.
    """
    return f"{state}/localnet/{interface}".rstrip("/")


def deferred(state: str) -> str:
    """The folder of the DELs that are carried out when their containers have ended."""
    return f"{state}/deferred"


def swept(state: str, pool: str) -> str:
    """The file that says that a pool has no leases of earlier boots any more."""
    return f"{state}/swept/{pool}"


def removed_mark(state: str) -> str:
    """The file that says that state was removed: not all attachments have records."""
    return f"{state}/removed"


def released(state: str, pool: str) -> str:
    """The file that lists the addresses of a pool that were given back last."""
    return f"{state}/released/{pool}"


def socket(state: str, service: str) -> str:
    """The socket on which a service is asked."""
    return f"{state}/{service}.sock"


def only_one(state: str, service: str) -> str:
    """The file whose lock makes a service the only one of its network namespace."""
    return f"{state}/{service}.lock"


def log(state: str, service: str) -> str:
    """The file that a service writes its log to."""
    return f"{state}/{service}.log"
