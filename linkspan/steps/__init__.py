"""What several plugins do to the host: each a step with its undo, its check and its removal.

The rules themselves are data of `linkspan.netfilter`. Imports `cni`, `netfilter`, `host.contract` and `call`;
plugins import it.
"""
