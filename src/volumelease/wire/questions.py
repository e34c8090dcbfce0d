"""Questions to an authority and its answers, as the daemon's socket carries them.

Tokens are decimal strings: a JSON number loses digits in many languages.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from volumelease.model import (
    Acquire,
    Answer,
    Busy,
    Cancel,
    Claim,
    Deadlocked,
    Discard,
    Downgrade,
    Draft,
    Ended,
    Granted,
    Holder,
    Inspect,
    Lost,
    Prepare,
    Prepared,
    Publish,
    Question,
    Release,
    Waiting,
)

from .entries import decode_claims, encode_claims
from .fields import Malformed, encode, take, take_number, take_objects

MOST_TOLD: Final = 32
"""Of how many in the way a client is told, and of how many paths of each."""

MOST_MORE_BYTES: Final = 128 * 1024
"""What all paths of theirs may take together, beyond the first of each: the longest paths, escaped,
are 24 KiB each, and with 32 of 32 no answer would be short enough to be read."""

_ABOUT_TOKEN: Final[dict[str, type[Inspect | Cancel | Release | Downgrade]]] = {
    "inspect": Inspect,
    "cancel": Cancel,
    "release": Release,
    "downgrade": Downgrade,
}
_LONGEST_TOKEN: Final = 19


def encode_token(token: int) -> str:
    return str(token)


def take_token(source: dict[str, Any], name: str = "token") -> int:
    text = take(source, name, str)
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_TOKEN):
        raise Malformed(f"{name}: a decimal string of up to {_LONGEST_TOKEN} digits")
    return int(text)


# ---- questions


def encode_question(question: Question) -> tuple[str, dict[str, Any]]:
    """What to do, and the fields of the request. Left out: the user's process, whom the daemon
    sees itself, and ``GiveBack``, which goes by the key of its request."""
    match question:
        case Acquire():
            return "acquire", {
                "claims": encode_claims(question.claims),
                "shared": not question.exclusive,
                "owner": question.owner,
                "wait": question.wait,
                "reason": question.reason,
            }
        case Inspect(token) | Cancel(token) | Release(token) | Downgrade(token):
            return type(question).__name__.lower(), {"token": encode_token(token)}
        case Prepare():
            return "prepare", {
                "token": encode_token(question.token),
                "target": encode_claims((question.target,)),
                "resume": question.resume,
                "source": question.source,
            }
        case Publish(draft):
            return "publish", {"draft": encode_draft(draft)}
        case Discard(draft, back_to):
            return "discard", {"draft": encode_draft(draft), "back_to": back_to}
        case other:
            raise AssertionError(f"{other} has no name on the socket")


def decode_question(do: str, fields: dict[str, Any]) -> Question | None:
    """None for what is no question. Errors: ``Malformed``."""
    about_token = _ABOUT_TOKEN.get(do)
    if about_token is not None:
        return about_token(take_token(fields))
    match do:
        case "acquire":
            return Acquire(
                claims=decode_claims(fields, "claims"),
                exclusive=not take(fields, "shared", bool, False),
                owner=take(fields, "owner", str, ""),
                wait=take(fields, "wait", bool, True),
                reason=take(fields, "reason", str, "")[:200],
            )
        case "prepare":
            target = _one_claim(fields, "target")
            resume, source = take(fields, "resume", bool, False), take(fields, "source", str, "")
            return Prepare(take_token(fields), target, resume, source)
        case "publish":
            return Publish(decode_draft(take(fields, "draft", dict)))
        case "discard":
            draft = decode_draft(take(fields, "draft", dict))
            return Discard(draft, take(fields, "back_to", str, ""))
        case _:
            return None


def _one_claim(source: dict[str, Any], name: str) -> Claim:
    claims = decode_claims(source, name)
    if len(claims) != 1:
        raise Malformed(f"{name}: one path")
    return claims[0]


def encode_draft(draft: Draft) -> dict[str, Any]:
    return {
        "token": encode_token(draft.token),
        "target": encode_claims((draft.target,)),
        "unique": draft.unique,
        "path": draft.path,
    }


def decode_draft(source: dict[str, Any]) -> Draft:
    return Draft(
        take_token(source),
        _one_claim(source, "target"),
        take(source, "unique", str),
        take(source, "path", str),
    )


# ---- answers


def encode_answer(answer: Answer) -> dict[str, Any]:
    match answer:
        case Granted(token, exclusive):
            return {"is": "granted", "token": encode_token(token), "shared": not exclusive}
        case Waiting(token, ahead):
            return {"is": "waiting", "token": encode_token(token), "ahead": _holders(ahead)}
        case Busy(ahead):
            return {"is": "busy", "ahead": _holders(ahead)}
        case Deadlocked(cycle, ahead):
            tokens = [encode_token(token) for token in cycle]
            return {"is": "deadlocked", "cycle": tokens, "ahead": _holders(ahead)}
        case Ended():
            return {"is": "ended"}
        case Prepared(draft, resumed):
            return {"is": "prepared", "draft": encode_draft(draft), "resumed": resumed}
        case Lost(reason, broken):
            return {"is": "lost", "reason": reason, "broken": broken}
        case other:
            assert_never(other)


def decode_answer(source: dict[str, Any]) -> Answer:
    """Errors: ``Malformed``."""
    match take(source, "is", str):
        case "granted":
            return Granted(take_token(source), not take(source, "shared", bool))
        case "waiting":
            return Waiting(take_token(source), _decode_holders(source))
        case "busy":
            return Busy(_decode_holders(source))
        case "deadlocked":
            cycle = take(source, "cycle", list)
            tokens = tuple(take_token({"token": token}) for token in cycle)
            return Deadlocked(tokens, _decode_holders(source))
        case "ended":
            return Ended()
        case "prepared":
            draft = decode_draft(take(source, "draft", dict))
            return Prepared(draft, take(source, "resumed", bool, False))
        case "lost":
            return Lost(take(source, "reason", str), take(source, "broken", bool, False))
        case other:
            raise Malformed(f"an answer that is {other[:40]!r}")


def _holders(ahead: tuple[Holder, ...]) -> list[dict[str, Any]]:
    left, told = MOST_MORE_BYTES, []
    for holder in ahead[:MOST_TOLD]:
        paths = list(holder.paths[:1])
        for path in holder.paths[1:MOST_TOLD]:
            left -= len(encode({"": path}))
            if left < 0:
                break
            paths.append(path)
        told.append(encode_holder(holder._replace(paths=tuple(paths))))
    return told


def _decode_holders(source: dict[str, Any]) -> tuple[Holder, ...]:
    return tuple(decode_holder(item) for item in take_objects(source, "ahead"))


def encode_holder(holder: Holder) -> dict[str, Any]:
    return {
        **holder._asdict(),
        "token": encode_token(holder.token),
        "paths": list(holder.paths[:MOST_TOLD]),
    }


def decode_holder(source: dict[str, Any]) -> Holder:
    paths = take(source, "paths", list)
    if any(type(path) is not str for path in paths):
        raise Malformed("paths")
    return Holder(
        session=take(source, "session", str),
        token=take_token(source),
        paths=tuple(paths),
        exclusive=take(source, "exclusive", bool),
        granted=take(source, "granted", bool),
        since=take_number(source, "since"),
        endpoint=take(source, "endpoint", str),
        worker=take(source, "worker", str),
        host=take(source, "host", str),
        pid=take(source, "pid", int),
        reason=take(source, "reason", str),
        breaking=take(source, "breaking", bool, False),
    )
