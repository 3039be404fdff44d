"""The fastrouter: uwsgi packets in, uwsgi packets out (spec/gateways.md section 6).

process     one fastrouter process: doors, time, drain
session     one client connection with its backend
head        what a packet says about where it wants to go
flow        bytes in one direction, between two sockets
body        bodies that are taken in before a backend is chosen
names       host names of backends
"""
