"""This instance as a node: what it tells subscription servers, when, and how that gets there.

plan              what is to be announced: options and the addresses that were bound
source            one value of an option: its names, some of them read from a file
announcer         when: at once, again a second later, every subscribe-freq seconds
server            how a datagram gets to a server, and whether it does
occupation        how busy we are: load and free slots
backlog           how many connections wait
acknowledgements  what servers answer
"""
