"""The rawrouter: bytes in, bytes out (spec/gateways.md section 7).

process     one rawrouter process: doors, time, drain
session     one client connection with its backend
backend     its other side
relay       both directions, and how they end
spliced     bytes in one direction, moved by the kernel
pipes       what the kernel moves them through
caller      who the client is
xclient     how mail servers are told
"""
