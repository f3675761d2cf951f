"""What a container runtime knows of networks: list files, address pools, and which containers are attached.

For the `linkspan` command. `files` and `cache` read and write the disk; `attachments`, `occupied`, `create`
and `remove` use the host contract; the other modules are pure. Imports `cni`, `host.contract` and `call`;
plugins only through `linkspan.call.plugin`.
"""
