"""What all subscription servers of an instance have in common (spec/subscriptions.md 5 to 13)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.groups.corerouter import ALGORITHM_NAMES
from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """Which announcements count, and for how long."""

    subscription_algo: str = option(
        "wrr",
        kind=Kind.TEXT,
        choices=ALGORITHM_NAMES,
        help="How the nodes of a key share its requests (docs/howto/balancing.md).",
    )
    subscription_tolerance: float = option(
        17.0, kind=Kind.SECONDS, help="Forget a node that was not announced for this long."
    )
    subscription_tolerance_inactive: float = option(
        17.0,
        kind=Kind.SECONDS,
        ours=True,
        help="The same for vassals without an address (as uWSGI 2.1).",
    )
    subscription_dotsplit: bool = option(
        False, kind=Kind.BOOL, help="Nodes of .example.com serve all names that end so."
    )
    subscription_mountpoints: int = option(
        0,
        kind=Kind.INT,
        ours=True,
        optional_value=True,
        true_means=1,
        aliases=("subscription-mountpoint",),
        maximum=8,
        help="Parts of the path that may belong to a key: example.com/shop (as uWSGI 2.1).",
    )
    subscription_strip_port: bool = option(
        False, kind=Kind.BOOL, ours=True, help="Look for example.com:8080 as example.com too."
    )
    subscription_vassal_required: bool = option(
        False, kind=Kind.BOOL, ours=True, help="Refuse nodes without a vassal (as uWSGI 2.1)."
    )
    subscriptions_sign_check: str | None = option(
        None,
        kind=Kind.TEXT,
        help="SCHEME:FOLDER; announcements are signed with the key whose public half is "
        "FOLDER/KEY.pem. ED25519 or RSA-PSS-SHA256; nodes of uWSGI: a digest such as SHA256.",
    )
    subscriptions_sign_check_tolerance: float = option(
        86400.0, kind=Kind.SECONDS, help="A signed announcement may be this old."
    )
    subscriptions_sign_skip_uid: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Senders of this user (a UNIX socket tells) need no signature."
    )
    subscriptions_credentials_check: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        help="Believe who owns the file that this, immediately followed by the key, names.",
    )
    subscriptions_use_credentials: bool = option(
        False, kind=Kind.BOOL, help="Ask the kernel who sent an announcement (UNIX sockets)."
    )
    subscription_sni_folder: tuple[str, ...] = option(
        (),
        kind=Kind.PATH,
        ours=True,
        help="Nodes may bring certificates from here; without it only signed ones may.",
    )
    subscription_max_keys: int = option(
        100_000, kind=Kind.INT, ours=True, minimum=1, help="Most keys; further ones are refused."
    )
    subscription_max_nodes: int = option(
        200_000, kind=Kind.INT, ours=True, minimum=1, help="Most nodes; further ones are refused."
    )
