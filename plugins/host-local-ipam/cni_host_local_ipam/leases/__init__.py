"""The leases of a network: the contract of a store, and the files that implement it.

Knows nothing of ranges or of a configuration. Imports `linkspan.cni`, `linkspan.call` and
`linkspan.host.contract`.
"""
