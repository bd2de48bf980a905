"""Reports as they come out of real programs, one for each kind of news."""

from __future__ import annotations

from dataclasses import replace

from leakguard._core.records import (
    Acquittal,
    Cost,
    Ledger,
    Link,
    Memory,
    Owner,
    Program,
    Report,
    Site,
    Suppressed,
    Suspect,
    Verdict,
)

CWD = "/srv/shop"
PACKAGES = "/usr/local/lib/python3.12/site-packages"

PROGRAM = Program("/srv/shop/app.py", 1, "3.12.1", "0.1.0", "guard")

MEMORY = Memory(
    limit_bytes=512 << 20,
    limit_source="cgroup2 /sys/fs/cgroup",
    usage_bytes=233_046_016,
    working_set_bytes=207_880_192,
    unreclaimable_bytes=200_540_160,
    rss_bytes=213_909_504,
    ledger=Ledger(150_994_944, 31_457_280, 12_582_912, 8_388_608, 10_485_760),
    remainder_bytes=0,
    threads=9,
    open_files=31,
    child_processes=2,
    children_rss_bytes=41_943_040,
)

COST = Cost(0.0123, 0.0041, 8, 12.3)

CACHE = Suspect(
    rank=1,
    fingerprint="3f9c1a2b4d5e",
    source="site",
    site=Site("/srv/shop/shop/views.py", 41, "create", in_app=True),
    stack=(
        "/usr/local/lib/python3.12/json/decoder.py:353 in raw_decode",
        "/usr/local/lib/python3.12/json/decoder.py:337 in decode",
        "/usr/local/lib/python3.12/json/__init__.py:346 in loads",
        "/srv/shop/shop/views.py:41 in create",
        f"{PACKAGES}/flask/app.py:867 in dispatch_request",
        f"{PACKAGES}/flask/app.py:882 in full_dispatch_request",
        f"{PACKAGES}/flask/app.py:1478 in wsgi_app",
        f"{PACKAGES}/flask/app.py:1498 in __call__",
        f"{PACKAGES}/gunicorn/workers/sync.py:177 in handle_request",
    ),
    type="dict",
    owner=Owner(
        "shop.cache.orders._entries",
        (
            Link("shop.cache", "module", "healthy", "lives as long as the process"),
            Link("orders", "Cache", "healthy", "one instance, made at import"),
            Link("_entries", "dict", "leaking", "gains one entry per call"),
            Link("[...]", "dict", "leaking", "born in the window and kept"),
        ),
        retained_bytes=14_680_064,
        is_estimate=True,
    ),
    growth_bytes_per_call=1024.0,
    growth_count_per_call=1.0,
    growth_bytes_per_second=102_400.0,
    confidence=0.996,
    pattern="unbounded-cache",
    hint="Bound the dict at shop.cache.orders._entries: functools.lru_cache("
    "maxsize=1000) or cachetools.TTLCache evict what nobody asks for; remove entries"
    " when the order is closed.",
    example="- _entries = dict()\n+ _entries = cachetools.LRUCache(maxsize=1_000)",
    habit="dict-as-cache",
)

LISTENER = Suspect(
    rank=2,
    fingerprint="a07be1c94410",
    source="container",
    site=Site("/srv/shop/shop/signals.py", 12, None, in_app=True),
    stack=("/srv/shop/shop/signals.py:12",),
    type="function",
    owner=Owner("shop.signals.order_created.receivers"),
    growth_bytes_per_call=202.4,
    growth_count_per_call=2.0,
    growth_bytes_per_second=None,
    confidence=0.91,
    pattern="listener",
    hint="Each request connects a new receiver: connect once, at import, or disconnect"
    " in a finally block.",
)

LIBRARY = Suspect(
    rank=3,
    fingerprint="77d0c2e58f31",
    source="type",
    site=None,
    stack=(),
    type="_ssl._SSLContext",
    owner=None,
    growth_bytes_per_call=None,
    growth_count_per_call=None,
    growth_bytes_per_second=None,
    confidence=0.55,
    pattern="other",
    hint="Find out who makes these.",
    example="http.client.HTTPSConnection",
)

LEAK = Report(
    created_at="2026-01-01T00:00:00Z",
    program=PROGRAM,
    verdict=Verdict(
        "leak",
        0.996,
        "Each of 490 calls left about the same behind, and nothing bounds it.",
        1228.0,
        None,
        7523.0,
        0.97,
    ),
    memory=MEMORY,
    suspects=(CACHE, LISTENER, LIBRARY),
    cost=COST,
    acquitted=(
        Acquittal(
            Site("/srv/shop/shop/pages.py", 88, "render", in_app=True),
            "shop.pages._templates",
            310.0,
            4_300_000,
            "an lru_cache that holds 312 of 1000 entries",
        ),
        Acquittal(None, None, None, None, "interned strings of a finite set of keys"),
    ),
)

STEADY = Report(
    created_at="2026-01-01T00:00:00Z",
    program=replace(PROGRAM, mode="diagnose"),
    verdict=Verdict(
        "steady", 0.97, "2000 calls left nothing behind after the first 100.", 0.0
    ),
    memory=Memory(rss_bytes=48 << 20),
    suspects=(),
    cost=Cost(None, None, 1, 3.0),
)

NATIVE = replace(
    LEAK,
    verdict=Verdict(
        "native-leak",
        0.93,
        "Resident memory grows and Python's own blocks do not.",
        None,
        35_000.0,
    ),
    suspects=(
        replace(
            LIBRARY,
            rank=1,
            source="native",
            type=None,
            growth_bytes_per_second=35_000.0,
            pattern="native",
            hint="The growth comes from C calls of lxml.etree: look for parsers kept.",
            example=None,
        ),
    ),
    acquitted=(),
)

UNKNOWN = replace(
    STEADY,
    verdict=Verdict("unknown", 0.0, "Too few calls to tell: about 900 more would do."),
    memory=Memory(),
)

#: Six suspects and seven innocents: more than a brief text shows.
MANY = replace(
    LEAK,
    suspects=tuple(replace(CACHE, rank=rank) for rank in range(1, 7)),
    acquitted=LEAK.acquitted * 3 + LEAK.acquitted[:1],
)

#: What was found is known, all of it or some of it.
_KNOWN = Suppressed("fixed in the next release", "2026-06-30", LISTENER)
QUIET = replace(
    STEADY,
    verdict=replace(STEADY.verdict, reason="Nothing grows but what is suppressed."),
    suppressed=(_KNOWN,),
)
PARTLY = replace(
    LEAK,
    suspects=(CACHE,),
    suppressed=(_KNOWN, Suppressed("not ours", None, LIBRARY)),
    notes=("The suppression of path vendor/* (theirs) has expired.",),
)

#: Everything the user's program can name holds something nasty.
HOSTILE = replace(
    LEAK,
    program=replace(PROGRAM, argv0="\x1b]0;owned\x07app.py"),
    verdict=replace(LEAK.verdict, reason="# Heading | @team <img src=x>\n- item"),
    suspects=(
        replace(
            CACHE,
            site=Site("/srv/shop/\x1b[2J`|`\n.py", 1, "\u202ef\udc80", in_app=True),
            stack=("```\x1b[31m", "/srv/shop/\x1b[2J`|`\n.py:1"),
            type="<b>|`x`",
            owner=Owner("`", (Link("|", "\t", "leaking", "*stars* & _lines_"),)),
            hint="1. @everyone [x](http://example.org)",
            example="<script>\n```\n\x1b[2J",
            habit="*|`x`",
        ),
    ),
)
