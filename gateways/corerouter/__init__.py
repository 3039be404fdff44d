"""What all gateways share (uWSGI: the corerouter): which backend gets a request, and then?

No I/O: whoever has a request asks for one backend after the other, connects on its own, and says
what became of it.
"""
