"""What any long-lived process of ours needs: an event loop, a log, a lock, a control socket, a start that outlives the caller.

Nothing here knows which service it serves. It may import `linkspan.paths`, `linkspan.cni`, `linkspan.host` and `linkspan.launch`.
"""
