"""What container runtimes know: list files, address pools, containers, and what these are attached to.

For the `linkspan` command. `files` and `cache` read and write the disk; `attachments`, `containers`,
`connect`, `gc`, `occupied`, `create` and `remove` use the host contract; the other modules are pure. Imports
`cni`, `host.contract` and `call`; plugins only through `linkspan.call.plugin`.
"""
