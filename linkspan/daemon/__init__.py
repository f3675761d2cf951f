"""What a long-lived process of ours needs: loop, log, single instance, control socket, detached start.

Nothing here knows which service it serves. It may import `linkspan.paths`, `linkspan.cni`, `linkspan.host`
and `linkspan.launch`.
"""
