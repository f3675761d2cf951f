"""Network sysctls: files below /proc/sys/net, for the network namespace of the calling thread."""

from __future__ import annotations


def read(key: str) -> str | None:
    """The value of a key such as "ipv4/ip_forward", stripped; None if this kernel has no such key.

    Raises OSError.
    """
    try:
        with open(_path(key), "rb", buffering=0) as file:
            return file.readall().strip().decode(errors="replace")
    except (FileNotFoundError, ValueError):  # ValueError: no file can have that name
        return None


def write(key: str, value: str) -> bool:
    """Set a key unless it has the value already; False if this kernel has no such key. Raises OSError."""
    present = read(key)
    if present is None or present == value:
        return present is not None
    with open(_path(key), "wb", buffering=0) as file:
        file.write(value.encode(errors="surrogatepass"))
    return True


def _path(key: str) -> str:
    return f"/proc/sys/net/{key}"
