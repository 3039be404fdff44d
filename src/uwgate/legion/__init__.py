"""The running legion: the process, its sockets, hooks and addresses.

``subscriptions/legion`` holds what is decided there, without I/O. ``legions`` is the master's
side, ``process`` the child's; ``node`` is one node in it, ``lordship`` what a lord does.
"""
