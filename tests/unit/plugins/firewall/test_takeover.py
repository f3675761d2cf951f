"""What DEL removes without a record."""

from __future__ import annotations

from tests.harness.firewall import box, call, own


def test_delete_without_a_record_removes_what_prev_result_names() -> None:
    """The reference made it, or our state is lost."""
    host = box()
    call(host, "ADD")
    for name in host.files.names(f"{host.state_dir}/records/firewall"):
        host.files.remove(f"{host.state_dir}/records/firewall/{name}")
    call(host, "DEL")
    assert own(host) == frozenset()
