"""What a test leaves behind, as a report like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakguard._core.records import Cost, Owner, Site, Suspect, Verdict
from leakguard._core.suspects import fingerprint
from leakguard._runtime.reporting import build_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard._core.belongings import Left
    from leakguard._core.records import Report


def report_on(
    left: Sequence[tuple[Left, Owner | None]], runs: int, site: Site
) -> Report:
    """Return the report on what each of the runs of a test left behind.

    ``site`` is the test itself: where these things were made is not known.
    """
    what = ", ".join(str(item) for item, _ in left)
    reason = f"Each of {runs} runs of the test leaves behind {what}."
    suspects = tuple(
        _suspect(rank, item, owner, site)
        for rank, (item, owner) in enumerate(left, start=1)
    )
    return build_report(
        "diagnose", Verdict("leak", 0.99, reason), suspects, (), Cost(None, None, 0, 0)
    )


def _suspect(rank: int, item: Left, owner: Owner | None, site: Site) -> Suspect:
    pattern, habit, hint, example = item.advice
    return Suspect(
        rank=rank,
        fingerprint=fingerprint("", site.function, f"{item.kind} {item.name}", pattern),
        source="type" if item.kind == "objects" else "resource",
        site=site,
        stack=(),
        type=item.name,
        owner=owner,
        growth_bytes_per_call=None,
        growth_count_per_call=float(item.number),
        growth_bytes_per_second=None,
        confidence=0.99,
        pattern=pattern,
        hint=hint,
        example=example,
        habit=habit,
    )
