"""The fastrouter: uwsgi packets in, uwsgi packets out (spec/gateways.md section 6).

process       one fastrouter process: doors, time, drain
session       one client connection with its backend
client        its first half: a packet, and a body that is taken in
relay         bytes both ways between the two
head          what a packet says about where it wants to go
backend       its other side, and the first bytes
leased        our own workers as its other side, by leases
lease_stream  an answer in frames as a socket
body          bodies that are taken in before a backend is chosen
"""
