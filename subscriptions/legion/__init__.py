"""The legion: which of several machines is the lord, and how they agree on it.

Values and state machines only: no sockets, no clock, no tasks. ``packet`` and ``sealed`` are
the two wire formats, ``inbox`` refuses what must change nothing, ``election`` names what an
election answers; ``unanimity`` elects as uWSGI does and ``promises`` with leases.
``simulation`` runs either under a virtual clock. docs/design.md says what each can promise.
"""
