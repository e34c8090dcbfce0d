"""Links in a draft that would lead nowhere once it is published."""

from __future__ import annotations

from volumelease.effects import Contents
from volumelease.errors import PublishFailed


def refuse_links(contents: Contents, place: str) -> None:
    """``contents``: of a draft for ``place``. Errors: ``PublishFailed``."""
    if contents.astray:
        what = f"{contents.astray[0]} is a link into the draft by an absolute path"
        advice = "Make links in a draft relative (ln -sr)"
    elif contents.outward:
        what = (
            f"{contents.outward[0]} is a relative link that leads out of the draft, or a path in "
            "it that was published by itself"
        )
        advice = "Make it absolute, or copy what it leads to"
    else:
        return
    raise PublishFailed(
        f"{what}: it would lead nowhere once the draft is published",
        advice=advice,
        path=place,
        kept=None,
    )
