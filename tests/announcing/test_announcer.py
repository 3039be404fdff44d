"""When an instance announces itself (announcing/announcer.py), on a virtual clock."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock as Clock

from tests.subscriptions.cases import FOLDER
from uwgate.announcing.announcer import JITTER, LINGER, Announcer
from uwgate.announcing.occupation import Occupation
from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.dates import MAX_AHEAD
from uwgate.subscriptions.packet import Command, Packet

from .conftest import WALL, Ear, Instance, new_announcer, settled


def told(ear: Ear, key: str, **more: str) -> str:
    rest = "".join(f",{name}={value}" for name, value in more.items())
    return f"server={ear.path},key={key},addr=10.0.0.1:99{rest}"


async def hear_for(ear: Ear, seconds: float) -> list[tuple[float, str]]:
    """What is heard from now on, and when, to a quarter of a second."""
    found: list[tuple[float, str]] = []
    begin = trio.current_time()
    for quarter in range(round(seconds * 4)):
        await trio.sleep_until(begin + quarter / 4 + 0.125)
        found += [(quarter / 4, line) for line in ear.said()]
    await trio.sleep_until(begin + seconds)
    return found


async def test_it_is_said_at_once_a_second_later_and_then_every_freq_seconds(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "foo.com"), subscribe_freq=10.0)
    assert await hear_for(ear, 23.0) == [
        (0.0, "+foo.com"),
        (1.0, "+foo.com"),
        (11.0, "+foo.com"),
        (21.0, "+foo.com"),
    ]


async def test_nothing_is_said_before_there_is_something_to_announce(
    ear: Ear, autojump_clock: Clock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(new_announcer().run)
        await settled()
        nursery.cancel_scope.cancel()
    assert ear.heard() == []


async def test_pauses_are_up_to_a_tenth_shorter_by_chance(
    tmp_path: Path, ear: Ear, autojump_clock: Clock
) -> None:
    announcer = Announcer()
    times: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(announcer.run)
        Instance(tmp_path, announcer).announce(told(ear, "a"), subscribe_freq=10.0)
        while len(times) < 12:
            await trio.sleep(0.01)
            times += [trio.current_time() for _ in ear.heard()]
        nursery.cancel_scope.cancel()
    pauses = [after - before for before, after in itertools.pairwise(times[1:])]
    assert all(10 * (1 - JITTER) - 0.02 <= one <= 10.02 for one in pauses)
    assert max(pauses) - min(pauses) > 0.05


async def test_load_and_free_slots_are_those_of_the_moment(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.occupation = Occupation(load=3, free=2)
    instance.announce(told(ear, "a"))
    await settled()
    instance.occupation = Occupation(load=0, free=5)
    await trio.sleep(1.0)
    await settled()
    assert [(one.load, one.free) for one in ear.heard()] == [(3, 2), (0, 5)]


async def test_a_pause_takes_everything_back_and_its_end_announces_again(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a"), told(ear, "b"))
    await settled()
    ear.heard()
    assert instance.announcer.toggle() is True
    assert await hear_for(ear, 30.0) == [(0.0, "-a"), (0.0, "-b")]
    assert instance.announcer.toggle() is False
    assert (await hear_for(ear, 0.5)) == [(0.0, "+a"), (0.0, "+b")]


async def test_what_only_the_lord_announces_comes_and_goes_with_the_lordship(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a", legion="ring"), told(ear, "b"))
    assert await hear_for(ear, 0.5) == [(0.0, "+b")]
    instance.ruled.add("ring")
    assert {line for _, line in await hear_for(ear, 0.5)} == {"+a", "+b"}
    await hear_for(ear, 1.0)
    instance.ruled.clear()
    assert {line for _, line in await hear_for(ear, 0.5)} == {"-a", "+b"}
    assert {line for _, line in await hear_for(ear, 11.0)} == {"+b"}


async def test_all_may_be_announced_by_the_lord_only(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a"), told(ear, "b"), subscribe_legion="ring")
    assert await hear_for(ear, 11.0) == []
    instance.ruled.add("ring")
    assert {line for _, line in await hear_for(ear, 0.5)} == {"+a", "+b"}


def test_a_legion_that_does_not_exist_is_an_error(tmp_path: Path, ear: Ear) -> None:
    instance = Instance(tmp_path, new_announcer())
    with pytest.raises(ConfigError, match="legion= rung: no such legion is declared"):
        instance.plan(told(ear, "a", legion="rung"))
    with pytest.raises(ConfigError, match="subscribe-legion: rung: no such legion"):
        instance.plan(told(ear, "a"), subscribe_legion="rung")


async def test_an_instance_that_starts_unsubscribed_waits_for_the_word(
    tmp_path: Path, ear: Ear, autojump_clock: Clock
) -> None:
    announcer = new_announcer(paused=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(announcer.run)
        Instance(tmp_path, announcer).announce(told(ear, "a"))
        assert await hear_for(ear, 30.0) == []
        announcer.toggle()
        assert await hear_for(ear, 0.5) == [(0.0, "+a")]
        nursery.cancel_scope.cancel()


async def test_the_end_takes_everything_back_and_lingers(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a"), told(ear, "b"))
    await settled()
    ear.heard()
    before = trio.current_time()
    await instance.announcer.leave()
    assert trio.current_time() == before + LINGER
    assert ear.said() == ["-a", "-b"]


async def test_the_end_waits_for_connections_that_still_wait_to_be_accepted(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a"))
    await settled()
    instance.occupation = Occupation(load=2)

    async def accept() -> None:
        await trio.sleep(2.0)
        instance.occupation = Occupation()

    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await instance.announcer.leave()
    assert 2.0 <= trio.current_time() - before <= 2.1


async def test_the_end_does_not_wait_for_ever(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a"))
    await settled()
    instance.occupation = Occupation(load=2)
    before = trio.current_time()
    await instance.announcer.leave()
    assert trio.current_time() - before < 10.0


@pytest.mark.parametrize("paused", [True, False])
async def test_who_announced_nothing_leaves_at_once(
    instance: Instance, paused: bool, autojump_clock: Clock
) -> None:
    if paused:
        instance.announcer.toggle()
    before = trio.current_time()
    await instance.announcer.leave()
    assert trio.current_time() == before


async def test_a_reload_announces_the_new_and_takes_back_only_what_is_gone(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "stays"), told(ear, "goes"))
    await settled()
    ear.heard()
    instance.announce(told(ear, "stays"), told(ear, "comes"))
    assert await instance.announcer.settle() is True
    assert ear.said() == ["+stays", "+comes", "-goes"]


async def test_a_reload_ends_a_round_that_is_stuck(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    many = [told(ear, f"name{number}") for number in range(2000)]  # more than a queue takes
    instance.announce(*many)
    await settled()
    heard = len(ear.said())
    assert heard < len(many)
    instance.announce(told(ear, "a"))
    await settled()
    assert ear.said()[-1][0] == "-"


async def test_a_reload_that_changes_nothing_takes_nothing_back(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a"))
    await settled()
    instance.announce(told(ear, "a", weight="5"))
    assert await instance.announcer.settle() is False
    assert [one.weight for one in ear.heard()] == [0, 5]


async def test_a_withdrawal_lasts_until_the_next_announcement(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a"))
    await settled()
    instance.announcer.withdraw()
    assert await instance.announcer.settle() is True
    assert ear.said() == ["+a", "-a"]
    assert await hear_for(ear, 30.0) == []
    instance.announce(told(ear, "a"))
    assert await hear_for(ear, 0.5) == [(0.0, "+a")]


async def test_while_the_file_of_check_is_there_nothing_is_said_not_even_goodbye(
    instance: Instance, ear: Ear, tmp_path: Path, autojump_clock: Clock
) -> None:
    (tmp_path / "down").touch()
    instance.announce(told(ear, "a", check="down"), told(ear, "b"))
    await settled()
    assert ear.said() == ["+b"]
    (tmp_path / "down").unlink()
    await trio.sleep(1.0)
    await settled()
    assert ear.said() == ["+a", "+b"]
    (tmp_path / "down").touch()
    await instance.announcer.leave()
    assert ear.said() == ["-b"]


async def test_without_a_worker_nothing_is_announced_and_nothing_taken_back(
    instance: Instance, ear: Ear, caplog: pytest.LogCaptureFixture, autojump_clock: Clock
) -> None:
    caplog.set_level("INFO")
    instance.announce(told(ear, "a"))
    await settled()
    ear.heard()
    instance.occupation = None
    assert await hear_for(ear, 30.0) == []
    instance.occupation = Occupation()
    assert [line for _, line in await hear_for(ear, 11.0)] == ["+a"]
    assert caplog.text.count("no worker runs") == 1
    assert caplog.text.count("workers run again") == 1


async def test_an_end_without_workers_still_says_goodbye(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a"))
    await settled()
    instance.occupation = None
    await instance.announcer.leave()
    assert ear.said() == ["+a", "-a"]


async def test_a_name_that_left_its_file_is_taken_back_when_it_is_missing_twice(
    instance: Instance, ear: Ear, tmp_path: Path, autojump_clock: Clock
) -> None:
    (tmp_path / "keys").write_text("# names\n\nfoo.com\nbar.com,5")
    await announce_file(instance, ear)
    assert [(one.key, one.modifier1) for one in ear.heard()] == [("foo.com", 0), ("bar.com", 5)]
    (tmp_path / "keys").write_text("bar.com,6\nnew.com\n")
    rounds = [line for _, line in await hear_for(ear, 12.0)]
    assert rounds[:3] == ["+foo.com", "+bar.com", "+new.com"]
    assert rounds[3:] == ["+bar.com", "+new.com", "-foo.com"]


async def announce_file(instance: Instance, ear: Ear) -> None:
    plan = instance.plan(subscribe_to=(f"10.0.0.1:99={ear.path}:@keys",))
    instance.announcer.announce(plan, lambda: instance.occupation)
    await settled()


async def test_without_its_file_nothing_is_said_and_the_log_has_it_once(
    instance: Instance,
    ear: Ear,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: Clock,
) -> None:
    (tmp_path / "keys").write_text("a\n")
    await announce_file(instance, ear)
    (tmp_path / "keys").unlink()
    ear.heard()
    assert await hear_for(ear, 40.0) == []
    assert caplog.text.count("No such file") == 1
    await instance.announcer.leave()
    assert ear.said() == ["-a"]


@pytest.mark.parametrize("damage", ["b\na,256\n", "b\n\x07\n", "x" * (1 << 20) + "\n"])
async def test_a_file_that_cannot_be_used_leaves_what_it_said_before(
    instance: Instance,
    ear: Ear,
    tmp_path: Path,
    damage: str,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: Clock,
) -> None:
    (tmp_path / "keys").write_text("a\n")
    await announce_file(instance, ear)
    ear.heard()
    (tmp_path / "keys").write_text(damage)
    assert {line for _, line in await hear_for(ear, 40.0)} == {"+a"}
    assert caplog.text.count("what it said before stays") == 1


async def test_gateways_of_the_same_instance_are_told_nothing_at_the_end(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a"))
    for source in instance.announcer._plan.sources:
        source.is_own = True
    await settled()
    before = trio.current_time()
    await instance.announcer.leave()
    assert trio.current_time() == before
    assert ear.said() == ["+a"]


async def test_signed_announcements_of_one_second_differ(
    instance: Instance, ear: Ear, tmp_path: Path, autojump_clock: Clock
) -> None:
    from tests.subscriptions.test_announcement import write_ed25519

    write_ed25519(tmp_path)
    instance.announce(told(ear, "a", sign="ED25519:node.pem"), subscribe_freq=1.0)
    await trio.sleep(0.5)
    instance.announcer.toggle()
    await settled()
    first, last = ear.heard()
    assert moment(first) < moment(last)


async def test_a_pause_and_its_end_within_a_second_are_not_a_replay(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a", sign=f"SHA256:{FOLDER}/rsa.pem"))
    await settled()
    for _ in range(2):
        instance.announcer.toggle()
        await settled()
    dates = [(one.command, (one.unix or 0) - int(WALL)) for one in ear.heard()]
    assert dates == [(Command.SUBSCRIBE, 0), (Command.UNSUBSCRIBE, 1), (Command.SUBSCRIBE, 2)]


async def test_dates_do_not_run_away_from_the_clock(
    instance: Instance, ear: Ear, autojump_clock: Clock
) -> None:
    instance.announce(told(ear, "a", sign=f"SHA256:{FOLDER}/rsa.pem"))
    for _ in range(20):
        instance.announcer.toggle()
        await settled()
    assert max((one.unix or 0) - WALL for one in ear.heard()) <= MAX_AHEAD + 1


def moment(packet: Packet) -> tuple[int, int]:
    assert packet.unix is not None
    assert packet.micros is not None
    return packet.unix, packet.micros
