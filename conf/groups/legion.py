"""The legion: which of several machines is the lord (spec/legion.md section 8).

What stands inside the values is read in ``subscriptions/legion/configuration.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.masking import behind_cipher, behind_name
from uwgate.conf.option import Kind, option

HOOK = "NAME ACTION:ARGUMENT (docs/howto/legion.md)."


@dataclass(frozen=True, slots=True, kw_only=True)
class LegionOptions:
    """Legions that this instance is part of, and what it does as their lord."""

    legion: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        mask=behind_cipher,
        help="Be a node of a legion: NAME ADDRESS:PORT VALOR CIPHER:SECRET. aes-256-gcm and "
        "chacha20-poly1305 are sealed; uWSGI's nodes understand aes-256-cbc and its like.",
    )
    legion_mcast: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        mask=behind_cipher,
        help="The same with a multicast group, to which it announces itself as well.",
    )
    legion_node: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Another node, to announce ourselves to: NAME HOST:PORT."
    )
    legion_quorum: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        help="NAME VOTES that a lord needs. Sealed legions know it by themselves: more than half.",
    )
    legion_key: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        mask=behind_name,
        ours=True,
        help="NAME SECRET that is accepted too, while the secret of a sealed legion is replaced.",
    )
    legion_freq: float = option(
        0.0,
        kind=Kind.SECONDS,
        help="Time between announcements; 0: 1 s in sealed legions, 3 s in others.",
    )
    legion_tolerance: float = option(
        0.0,
        kind=Kind.SECONDS,
        help="A node that is silent for this long is gone; 0: 3 s in sealed legions, 15 s in "
        "others. All nodes must have the same.",
    )
    legion_skew_tolerance: float = option(
        60.0, kind=Kind.SECONDS, help="How far clocks may differ; sealed legions do not care."
    )
    legion_death_on_lord_error: float = option(
        0.0,
        kind=Kind.SECONDS,
        help="Stand back for this long when a lord hook fails; 0: such failures are only logged.",
    )
    legion_release: float = option(
        0.5,
        kind=Kind.SECONDS,
        ours=True,
        minimum=0.05,
        help="How long unlord hooks may take; a lord stops this much before its time is over.",
    )
    legion_hook_timeout: float = option(
        10.0,
        kind=Kind.SECONDS,
        ours=True,
        minimum=0.1,
        help="How long any other hook may take; then it is killed, and has failed.",
    )
    legion_vip: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        ours=True,
        help="NAME ADDRESS/BITS [dev DEVICE], a service address that the lord has. Needs "
        "CAP_NET_ADMIN and CAP_NET_RAW, and pip install 'uwgate[legion]'.",
    )
    legion_vip_refresh: float = option(
        60.0,
        kind=Kind.SECONDS,
        ours=True,
        help="Announce service addresses to the neighbours this often; 0: at changes only.",
    )
    legion_scroll: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="NAME TEXT, which the other nodes get to see (uwsgi.scrolls)."
    )
    legion_scroll_max_size: int = option(
        4096, kind=Kind.BYTES, minimum=1, maximum=32768, help="Longest scroll."
    )
    legion_scroll_list_max_size: int = option(
        32768, kind=Kind.BYTES, minimum=1, maximum=1 << 24, help="Most that uwsgi.scrolls holds."
    )
    legion_setup: tuple[str, ...] = option((), kind=Kind.TEXT, help=f"Do this at the start. {HOOK}")
    legion_join: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help=f"Do this when a quorum is there for the first time. {HOOK}"
    )
    legion_lord: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help=f"Do this to become the lord. {HOOK}"
    )
    legion_unlord: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help=f"Do this to stop being the lord. {HOOK}"
    )
    legion_death: tuple[str, ...] = option((), kind=Kind.TEXT, help=f"Do this at the end. {HOOK}")
    legion_node_joined: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help=f"Do this when another node joins. {HOOK}"
    )
    legion_node_left: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help=f"Do this when another node has gone. {HOOK}"
    )
    legion_state_dir: str | None = option(
        None,
        kind=Kind.PATH,
        ours=True,
        help="Keep the highest term of each legion in a file here, over restarts.",
    )
    multicast_ttl: int = option(
        1, kind=Kind.INT, maximum=255, help="How many routers multicast announcements may pass."
    )
    multicast_loop: bool = option(
        True, kind=Kind.BOOL, help="Multicast announcements reach other instances on this machine."
    )

    @property
    def names(self) -> frozenset[str]:
        """The legions that are declared."""
        values = (*self.legion, *self.legion_mcast)
        return frozenset(value.split(maxsplit=1)[0] for value in values if value.strip())
