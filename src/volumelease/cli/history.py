"""``volumelease history``: who held what, since when, until when, and how it ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from . import speech
from .parameters import PathText
from .speech import Problem, moment, one_line, say, seconds

if TYPE_CHECKING:
    from .places import Place
    from .stories import Published, Stories, Story

LIMIT: Final = "times are those of the workers' own clocks; older segments were deleted"


@click.command(short_help="Show who held leases on PATH, and how each ended.")
@click.argument("path", metavar="PATH", type=PathText())
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
def command(path: str, as_json: bool) -> int:
    """Show who held leases on PATH, or above or below it, and how each ended.

    Released, expired and on what evidence, broken and by whom, closed with its session; how long
    it waited; what it published. From what is left of the log, oldest first.

    Limit: the log goes back some minutes on a busy volume, longer on a calm one; the first line
    says how far. Times are those of the workers' own clocks.
    """
    from .places import place_of
    from .reading import Reader, patiently
    from .stories import Stories
    from .verify import how_far_back

    place = patiently(lambda: place_of(path), path)
    stories = Stories(place.key)
    identity, replay = Reader(place.root).replay(stories)
    since = how_far_back(replay, stories.oldest_wall)
    if as_json:
        say(json.dumps(_document(place, identity.id, replay.first_index, stories)))
        return 0
    say(f"volume {one_line(place.root)} ({place.kind}): {since}")
    if replay.findings:
        say(f"the log breaks its rules, so this may not be all: volumelease verify {place.root}")
    if not stories.all:
        say(f"nobody leased {one_line(place.key) or 'anything'} in that time")
    elif speech.on_terminal():
        from .tables import print_history

        print_history(list(stories.all.values()))
    else:
        for story in stories.all.values():
            for line in lines_of(story):
                say(line)
    say(f"limit: {LIMIT}")
    return 0


def document_of(place: Place, path: str) -> dict[str, Any]:
    """The history of a path of that volume, as ``--json`` has it."""
    from .places import place_of
    from .reading import Reader, patiently
    from .stories import Stories

    asked = patiently(lambda: place_of(path), path)
    if asked.volume.real_root != place.volume.real_root:
        raise Problem(f"{path} is not on {place.root}", advice="Ask the exporter of its volume")
    stories = Stories(asked.key)
    identity, replay = Reader(place.root).replay(stories)
    return _document(asked, identity.id, replay.first_index, stories)


def _document(place: Place, identity_id: str, first: int, stories: Stories) -> dict[str, Any]:
    return {
        "schema": 1,
        "volume": place.as_document(identity_id),
        "path": place.absolute((place.key,))[0],
        "first_entry": first,
        "oldest_at": stories.oldest_wall,
        "leases": [_lease(place, story) for story in stories.all.values()],
    }


def _lease(place: Place, story: Story) -> dict[str, Any]:
    facts = story.facts
    return {
        "token": str(story.token),
        "paths": place.absolute(story.paths),
        "mode": story.mode,
        "session": story.session,
        "endpoint": facts.endpoint if facts else "",
        "worker": facts.worker if facts else "",
        "host": facts.process.hostname if facts else "",
        "pid": story.pid,
        "reason": story.reason,
        "state": story.state,
        "evidence": story.evidence,
        "asked_at": story.asked,
        "granted_at": story.granted,
        "ended_at": story.ended,
        "waited_seconds": story.waited,
        "held_seconds": story.held,
        "broken_by": story.broken_by,
        "break_reason": story.break_reason,
        "publishes": [_publish(place, publish) for publish in story.publishes],
    }


def _publish(place: Place, publish: Published) -> dict[str, Any]:
    return {
        "entry": publish.index,
        "path": place.absolute((publish.path,))[0],
        "state": publish.state,
        "detail": publish.detail,
        "decided_at": publish.at,
    }


# ---- for people


def lines_of(story: Story) -> list[str]:
    """Plain text for a pipe: one line for the lease, and one for each publish under it."""
    words = [story.verb, story.mode, shown(story)]
    words.append(f"from {moment(story.since)}")
    if story.ended is not None:
        words.append(f"to {moment(story.ended)}")
    if story.held is not None:
        words.append(f"for {seconds(story.held)}")
    if story.waited is not None:
        words.append(f"after waiting {seconds(story.waited)}")
    words.append(f"by {by(story)} token {story.token}: {ending(story)}")
    if story.reason:
        words.append(f"({one_line(story.reason)})")
    return [" ".join(words), *(publish_line(publish) for publish in story.publishes)]


def publish_line(publish: Published) -> str:
    detail = f" ({one_line(publish.detail)})" if publish.detail else ""
    return f"  published {one_line(publish.path)} at {moment(publish.at)}: {publish.state}{detail}"


def shown(story: Story) -> str:
    return ", ".join(one_line(path) or "(the whole volume)" for path in story.paths)


def by(story: Story) -> str:
    """Whose lease it was, on one line."""
    if story.facts is None:
        return f"session {story.session}"
    facts = story.facts
    return speech.who(facts.worker, facts.endpoint, story.pid, facts.process.hostname)


def ending(story: Story) -> str:
    """How it ended, and on what evidence."""
    words = story.state
    if story.evidence:
        words += f", {story.evidence}"
    if story.broken_by:
        words += f"; broken by {story.broken_by}: {story.break_reason}"
    return one_line(words)
