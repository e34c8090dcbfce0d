"""What a terminal shows instead of plain lines. The only module that loads rich for status."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from volumelease.errors import LeaseError

from . import history, space, status, violating
from .speech import moment, one_line, seconds
from .status import age

if TYPE_CHECKING:
    from .places import Place
    from .reading import Picture, Reader
    from .stories import Story


LATEST: Final = 5
DAY_SECONDS: Final = 86_400.0
_WIDTHS: Final = {
    "written without a lease": 24,
    "held": 18,
    "waited for": 18,
    "lease": 18,
    "when (UTC)": 19,
}


def print_status(place: Place, picture: Picture) -> None:
    Console().print(_status(place, picture))


def watch_status(place: Place, reader: Reader) -> None:
    """Refresh until ``KeyboardInterrupt``. A volume that stops answering is said so, and looked
    at again."""
    with Live(_status(place, reader.look()), auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(status.REFRESH_SECONDS)
            try:
                shown = _status(place, reader.look())
            except LeaseError as error:
                shown = Group(Text(f"error: {one_line(error.what)}", style="red"))
            live.update(shown, refresh=True)


def _status(place: Place, picture: Picture) -> Group:
    parts: list[Text | Table] = [Text(status.headline(place, picture), style="bold")]
    parts += [Text(line, style="yellow") for line in status.troubles(place, picture)]
    parts += [Text(line) for line in space.lines(place, picture)]
    holders = status.holders(place, picture)
    if holders:
        held = _table("held", "mode", "for", "by", "token", "reason")
        for holder in holders:
            held.add_row(
                *_cells(
                    status.shown(holder),
                    status.mode(holder) + (status.BROKEN if holder.breaking else ""),
                    seconds(status.age(holder.since)),
                    status.who(holder),
                    str(holder.token),
                    one_line(holder.reason),
                )
            )
        parts.append(held)
    else:
        parts.append(Text(status.nobody(place)))
    waiters = status.waiters(place, picture)
    if waiters:
        waiting = _table("waited for", "mode", "for", "by", "position", "reason")
        for holder, position in waiters:
            waiting.add_row(
                *_cells(
                    status.shown(holder),
                    status.mode(holder),
                    seconds(status.age(holder.since)),
                    status.who(holder),
                    str(position),
                    one_line(holder.reason),
                )
            )
        parts.append(waiting)
    parts += _violations(place, picture)
    parts.append(Text(f"limit: {status.limit(picture)}", style="dim"))
    return Group(*parts)


def _violations(place: Place, picture: Picture) -> list[Text | Table]:
    """The newest writes without a lease, as far as a day back."""
    found = [one for one in violating.on_record(place, picture) if age(one.seen_at) < DAY_SECONDS]
    if not found:
        return []
    shown = _table("written without a lease", "what", "when", "by")
    for one in reversed(found[-LATEST:]):
        ago = f"{seconds(age(one.seen_at))} ago"
        shown.add_row(*_cells(one_line(one.path), one.what, ago, f"{one.origin} to {one.host}"))
    more = len(found) - LATEST
    if more > 0:
        shown.add_row(*_cells(f"and {more} more: volumelease status --violations", "", "", ""))
    return [shown]


def print_history(stories: list[Story]) -> None:
    Console().print(_history(stories))


def _history(stories: list[Story]) -> Table:
    """Few columns of two lines: it has to fit where a shell has 80."""
    shown = _table("lease", "when (UTC)", "by", "end")
    for story in stories:
        paths = Text(f"{history.shown(story)}\n")
        paths.append(f"{story.mode}, token {story.token}", style="dim")
        for publish in story.publishes:
            paths.append(f"\n{history.publish_line(publish).strip()}", style="dim")
        end = Text(history.ending(story))
        if story.reason:
            end.append(f"\n{one_line(story.reason)}", style="dim")
        shown.add_row(paths, _when(story), Text(history.by(story)), end)
    return shown


def _when(story: Story) -> Text:
    words = Text(moment(story.since).removesuffix(" UTC"))
    held = story.held if story.held is not None or story.granted is None else age(story.granted)
    lasted = "" if held is None else f"for {seconds(held)}"
    waited = "" if not story.waited else f"waited {seconds(story.waited)}"
    more = ", ".join(filter(None, (lasted, waited)))
    return words.append(f"\n{more}", style="dim")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        # Names of paths and workers are seldom longer, and read badly when they are cut.
        table.add_column(column, overflow="fold", min_width=_WIDTHS.get(column))
    return table


def _cells(*words: str) -> list[Text]:
    """Words of others, which must not be read as rich's own markup."""
    return [Text(word) for word in words]
