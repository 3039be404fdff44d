"""The INI parser by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.formats.document import Document
from uwgate.conf.formats.ini import parse


def document(text: str, section: str | None = None) -> Document:
    return Document(
        text=text,
        source="x.ini",
        section=section,
        magic=lambda piece, line: piece,
        warn=lambda remark, line: None,
    )


words = st.text(
    alphabet=st.characters(blacklist_characters="\n\r\t =;#[]", blacklist_categories=["Cs"]),
    min_size=1,
    max_size=20,
).filter(lambda word: not word.startswith(("<<<<<<<", ">>>>>>>", "|||||||")))
values = st.text(
    alphabet=st.characters(blacklist_characters="\n\r", blacklist_categories=["Cs"]), max_size=30
)


@given(st.lists(st.tuples(words, values), max_size=10))
def test_pairs_written_to_a_file_are_read_back(pairs: list[tuple[str, str]]) -> None:
    text = "[uwsgi]\n" + "".join(f"{key} = {value}\n" for key, value in pairs)
    found = parse(document(text))
    assert found is not None
    assert [(pair.key, pair.value) for pair in found] == [
        (key, value.strip(" \t\r")) for key, value in pairs
    ]
    assert [pair.place.line for pair in found] == list(range(2, len(pairs) + 2))


@given(st.text(max_size=200), st.sampled_from([None, "x"]))
def test_any_text_is_read_without_an_error(text: str, section: str | None) -> None:
    found = parse(document(text, section))
    assert found is None or all(pair.key for pair in found)


@given(st.text(alphabet="[]uwsgi\n= ;#", max_size=60))
def test_line_ends_of_windows_change_nothing(text: str) -> None:
    assert parse(document(text.replace("\n", "\r\n"))) == parse(document(text))


def test_only_our_own_section_is_strict() -> None:
    found = parse(document("[uwsgi]\na=1\n[uwgate]\nb=1\n"))
    assert found is not None
    assert [pair.strict for pair in found] == [False, True]
