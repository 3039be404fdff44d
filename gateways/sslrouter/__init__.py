"""The sslrouter: TLS in, bytes out (spec/gateways.md section 8).

What follows TLS is the rawrouter's.

process      one sslrouter process
session      a client connection whose TLS ends here
tlvs         what backends are told of that
passthrough  one whose TLS is passed on
"""
