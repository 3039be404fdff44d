"""Who serves what: packets, slots and nodes, balancing, the legion."""
