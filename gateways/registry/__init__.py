"""The registry: one process that knows all nodes, and tells every gateway process.

    datagrams    announcements come in
    book         what they change, for one kind of gateway; no I/O
    feed         tells the gateways, and the next registry, what changes (frames)
    lead         which registry is the one that reads and decides, when there are two
    replica      a gateway's side of the feed
    checks       looks after the nodes (probe)
    report       what a stats server (stats) says of one kind of gateway: the table, and what
                 gateways have counted (census asks, figures answers, ledger adds up)

``process`` puts them together. What goes out to others: ``acknowledgements`` to nodes,
``resubscriber`` to other servers.
"""
