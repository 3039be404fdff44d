"""What a node tells subscription servers (spec/subscriptions.md sections 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeOptions:
    """Announcing this instance's workers to gateways."""

    subscribe_to: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        aliases=("st", "subscribe"),
        help="Announce: [LOCAL=]SERVER:KEY[,MODIFIER1[,SCHEME:PEMFILE]] or [LOCAL=]SERVER:@FILE.",
    )
    subscribe2: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        help="Announce: server=ADDRESS,key=KEY and more, such as weight=, sign=, backup=, check=.",
    )
    subscribe_freq: float = option(
        10.0, kind=Kind.SECONDS, minimum=1, help="Time between two announcements."
    )
    weight: int = option(0, kind=Kind.INT, help="The announced weight; 0 is the same as 1.")
    auto_weight: bool = option(
        False, kind=Kind.BOOL, help="The announced weight is processes times threads."
    )
    subscribe_with_modifier1: int | None = option(
        None, kind=Kind.INT, maximum=255, help="The announced modifier1, whatever else says."
    )
    notify_socket: str | None = option(
        None, kind=Kind.PATH, help="Take acknowledgements here (UNIX datagrams), and log them."
    )
    subscription_notify_socket: str | None = option(
        None, kind=Kind.PATH, help="Ask servers to acknowledge here; without it at notify-socket."
    )
    subscribe_legion: str | None = option(
        None,
        kind=Kind.TEXT,
        ours=True,
        help="Announce only while this node is the lord of this legion; legion= of subscribe2 "
        "says so of one value.",
    )
    start_unsubscribed: bool = option(
        False, kind=Kind.BOOL, help="Announce nothing until told to (SIGTSTP to the master)."
    )
    unsubscribe_on_graceful_reload: bool = option(
        False, kind=Kind.BOOL, help="Say goodbye before a reload, too."
    )
