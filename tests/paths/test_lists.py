"""Several paths in one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from volumelease.paths.lists import joined, parted

NAMES = st.text("a:. %\\\n", min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))


@given(st.lists(PATHS, max_size=4))
def test_what_was_joined_is_parted_into_the_same(paths: list[str]) -> None:
    assert parted(joined(paths)) == tuple(paths)


def test_it_reads_as_ever_where_no_name_holds_a_colon() -> None:
    assert joined(["/v/a b", "/v/%c\\"]) == "/v/a b:/v/%c\\"
    assert joined(["/v/m:latest", "/v/x:"]) == "/v/m:latest:/v/x:"
    assert joined(["/v/x:/y"]) == "/v/x://y"


def test_a_volume_at_the_top_is_no_exception() -> None:
    assert parted(joined(["//a", "//b:"])) == ("/a", "/b:")
    assert parted(joined(["/"])) == ("/",)
