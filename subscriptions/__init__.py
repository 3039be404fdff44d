"""Who serves what: packets, slots and nodes, balancing, the legion.

Pure: no sockets, no event loop, no clock. The way of a datagram:

    admission      every check, and what was refused: packet, keyring, signature
    table          follows it: slot, node, sni; returns values of change
    resubscription what to pass on to another server, without loops

and of a request:

    table.find     the slot of a name (lookup), None if nobody serves it
    slot.choose    one of its nodes (balancing), None if all were tried or are full
    table          is told what became of it: connected, unreachable, answered,
                   answered_badly, and in any case release (health)

``table.advance`` is to be called at least twice a second. ``state`` hands a table over to another
process, ``statistics`` shows it, ``spec`` reads the options of a node.
"""
