"""What portmap changes of the host: `publish` for ADD, `withdraw` for the removal, `claims` of host ports for
both.
"""
