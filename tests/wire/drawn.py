"""Records, and texts that are nearly records, drawn for tests."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from volumelease.core import records
from volumelease.core.records import Body, Entry, SessionFacts
from volumelease.host import ProcessFacts
from volumelease.model import Claim, Client
from volumelease.wire.fields import nameable

characters = st.characters(exclude_categories=["Cs"]) | st.characters(
    min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]
)
"""What a name on disk can be read as: all of Unicode, and bytes that are none (escaped)."""

telling = st.sampled_from(
    (
        '"',
        "\\",
        '\\"',
        "\n",
        "\r\n",
        "\0",
        "\u2028",
        "😀",
        "é",
        "e\u0301",
        "\udc80",
        "\udcff",
        "[{[{",
    )
)


def is_key(text: str) -> bool:
    return not {"", ".", ".."} & set(text.split("/"))


def is_path(text: str) -> bool:
    """Whether there can be a file there: a record of a publish says no other place."""
    return is_key(text) and nameable(text)


texts = st.lists(characters | telling, max_size=12).map("".join)
long_texts = st.builds(lambda text, times: text * times, texts, st.sampled_from((1, 1, 1, 400)))
keys = texts.filter(lambda text: not text or is_key(text))  # others come into no table
claims = st.builds(Claim, long_texts, keys) | keys.map(lambda text: Claim(text, text))
targets = claims.filter(lambda claim: is_path(claim.path) and is_key(claim.key))
sources = texts.map(lambda name: f"stage/{name}").filter(
    lambda source: is_path(source) and source.count("/") < 3
)
indexes = st.integers(0, 10**18)
walls = st.floats(-1e9, 1e12).map(lambda wall: round(wall, 3))
clients = st.builds(Client, indexes, indexes)
facts = st.builds(
    SessionFacts,
    st.builds(ProcessFacts, texts, texts, indexes, indexes, indexes),
    texts,
    texts,
    texts,
    texts,
    st.booleans(),
)

bodies: st.SearchStrategy[Body] = st.one_of(
    st.builds(records.Open, facts),
    st.builds(
        records.Request,
        st.lists(claims, min_size=1, max_size=3).map(tuple),
        st.booleans(),
        texts,
        st.none() | clients,
        texts,
    ),
    st.builds(records.Cancel, indexes),
    st.builds(records.Release, indexes),
    st.builds(records.Downgrade, indexes),
    st.builds(records.Expire, texts, texts),
    st.builds(records.Close),
    st.builds(records.Publish, indexes, sources, targets),
    st.builds(records.Published, indexes, texts),
    st.builds(records.Breaking, indexes, texts),
    st.builds(records.Broken, indexes),
    st.builds(records.Ready),
    st.builds(records.Next, texts),
)
entries = st.builds(Entry, texts, indexes, walls, bodies)

numbers = st.one_of(
    st.sampled_from((0, -1, 2**63, -(2**63), 10**30, -0.0, 1e308, 0.5)),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
raw_values = st.sampled_from(
    ("1e999", "-1e999", "NaN", "Infinity", "9" * 5000, "1e5", "0.0", "-0", "true", "01", "[" * 5000)
)
"""What ``json.dumps`` would not write, or not so."""


@st.composite
def nearly(draw: st.DrawFn, text: str) -> str:
    """``text`` (a JSON object) after something happened to it."""
    source = json.loads(text)
    match draw(st.sampled_from(("value", "raw", "gone", "more", "twice", "cut", "typed"))):
        case "value":
            _replace(draw, source, draw(values))
        case "raw":
            _replace(draw, source, "@raw@")
            return json.dumps(source).replace('"@raw@"', draw(raw_values), 1)
        case "gone":
            del source[draw(st.sampled_from(sorted(source)))]
        case "more":
            source[draw(texts)] = draw(values)
        case "twice":
            name = draw(st.sampled_from(sorted(source)))
            return f"{text[:-1]},{json.dumps(name)}:{json.dumps(draw(values))}}}"
        case "cut":
            start = draw(st.integers(0, len(text)))
            return text[:start] + text[start + draw(st.integers(1, 20)) :]
        case _:
            start = draw(st.integers(0, len(text)))
            return text[:start] + draw(st.text(max_size=5) | raw_values) + text[start:]
    return json.dumps(source)


def _replace(draw: st.DrawFn, source: Any, value: Any) -> None:
    """Put ``value`` somewhere into ``source``, at any depth."""
    while True:
        places = sorted(source) if isinstance(source, dict) else range(len(source))
        place = draw(st.sampled_from(list(places)))
        inner = source[place]
        if not (isinstance(inner, dict | list) and inner) or draw(st.booleans()):
            source[place] = value
            return
        source = inner
