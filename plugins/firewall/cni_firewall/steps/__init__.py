"""What firewall changes of the host: `admit` for ADD, `withdraw` for the removal, `owners` of addresses for
both.

`firewalld` is its client.
"""
