"""A Kubernetes API for the lab: the part of the API that drills need, with the controllers behind it.

Nodes are not part of it. A node agent registers a Node, runs the pods assigned to it and reports their status
through this API, as a kubelet does.
"""
