"""How one call is served: dispatch, the plugin registry, transactions, records, delegation. Acts on the host
only through `host.contract`.
"""
