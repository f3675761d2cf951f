"""What a container runtime knows of networks: list files, address pools, and which containers are attached.

For the `linkspan` command. `files` and `live` read and write the host; every other module is pure. Imports
`cni`, `netfilter`, `call`, `host`; plugins only through `linkspan.call.plugin`.
"""
