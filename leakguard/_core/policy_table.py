"""What to do about memory pressure: the table of levels, and what may be changed.

Rules of this file: data. A ``Policy`` names what differs from the defaults, and is
complete once made; ``dataclasses.replace`` makes another one of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from leakguard._core.records import LeakguardError

if TYPE_CHECKING:
    from collections.abc import Callable

Level = Literal["ok", "elevated", "high", "critical"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
#: ``shed`` and ``unready`` last as long as the level; the others are done now and
#: then; ``warn`` is said once.
ActionKind = Literal[
    "investigate",
    "callbacks",
    "collect",
    "trim",
    "record",
    "shed",
    "unready",
    "recycle",
    "warn",
]
LASTING: Final = ("shed", "unready")


class Threshold(NamedTuple):
    """When a level begins and ends.

    Ratios are shares of the limit; with less than ``hurry_seconds`` to the limit at
    the present rate the level begins before its ratio is reached.
    """

    enter_ratio: float
    leave_ratio: float
    hurry_seconds: float


THRESHOLDS: Final[Mapping[Level, Threshold]] = {
    "elevated": Threshold(0.70, 0.65, 600.0),
    "high": Threshold(0.85, 0.80, 120.0),
    "critical": Threshold(0.95, 0.90, 20.0),
}
ACTIONS: Final[Mapping[Level, tuple[ActionKind, ...]]] = {
    "ok": (),
    "elevated": ("investigate", "callbacks"),
    "high": ("collect", "callbacks", "trim", "record", "shed"),
    "critical": (
        *("collect", "callbacks", "trim", "record", "shed", "unready"),
        "recycle",
    ),
}
#: What a policy may name.
KINDS: Final = tuple(dict.fromkeys(kind for row in ACTIONS.values() for kind in row))
COOL_DOWN_SECONDS: Final[Mapping[ActionKind, float]] = {
    "investigate": 60.0,
    "collect": 5.0,
    "callbacks": 5.0,
    "trim": 15.0,
    "record": 5.0,
    "recycle": 3.0,
}
RETRY_AFTER_SECONDS: Final[Mapping[Level, tuple[int, int]]] = {
    "high": (2, 8),
    "critical": (10, 30),
}
_DEFAULTS: Final[Mapping[str, Mapping[Any, Any]]] = {
    "thresholds": THRESHOLDS,
    "actions": ACTIONS,
    "cool_down_seconds": COOL_DOWN_SECONDS,
    "retry_after_seconds": RETRY_AFTER_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do about memory pressure, and when.

    The mappings name what differs from the defaults, by level or by action:
    ``Policy(thresholds={"high": (0.8, 0.7, 120)}, actions={"critical": ()})``.

    ``thresholds`` are ratio to enter, ratio to leave, and seconds to the limit (see
    ``Threshold``). ``actions`` of a level are any of ``investigate`` (find the lines
    that grow), ``callbacks`` (those of ``on_pressure``), ``collect`` (cyclic garbage),
    ``trim`` (give free heap back), ``record`` (write the flight record, if the guard
    has a directory for it), ``shed`` (refuse work), ``unready`` (not ready for new
    work) and ``recycle`` (have the server replace this worker, once the level has
    lasted for its cool-down). ``cool_down_seconds`` is how long an action is not done
    again, ``retry_after_seconds`` the range that refused clients are asked to wait. A
    level is left after ``dwell_seconds`` below it. Below ``forecast_from_ratio`` a
    forecast brings no more than *elevated*. One in ``admit_one_in`` normal units that
    would be refused is admitted, and up to ten times fewer near the limit; 0 is none. A
    worker is recycled when it has lived for ``least_life_seconds``, or sooner if most
    of what it uses has come since its start, and no more than ``recycles_per_hour`` of
    its siblings and itself are. With ``dry_run`` levels are told, and nothing is done.

    Raises:
        LeakguardError: a value makes no sense; one sentence says which.

    """

    thresholds: Mapping[Level, tuple[float, float, float]] = field(default_factory=dict)
    actions: Mapping[Level, tuple[ActionKind, ...]] = field(default_factory=dict)
    cool_down_seconds: Mapping[ActionKind, float] = field(default_factory=dict)
    retry_after_seconds: Mapping[Level, tuple[int, int]] = field(default_factory=dict)
    dwell_seconds: float = 5.0
    forecast_from_ratio: float = 0.5
    admit_one_in: int = 20
    least_life_seconds: float = 60.0
    recycles_per_hour: int = 240
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Fill the mappings up with the defaults, and check."""
        for name, defaults in _DEFAULTS.items():
            given = getattr(self, name)
            if not isinstance(given, Mapping):
                message = f"{name} of a policy is a mapping, not {given!r}"
                raise LeakguardError(message)
            # A frozen record is filled in this way, as dataclasses does it itself.
            object.__setattr__(self, name, {**defaults, **given})
        _check(self)


def rank(level: Level) -> int:
    """Return 0 for ``ok`` to 3 for ``critical``."""
    return LEVELS.index(level)


def threshold_of(policy: Policy, level: Level, floor_ratio: float | None) -> Threshold:
    """Return when a level begins and ends for a process that was never lower.

    What was in use at the start is nothing to act upon, for it will not go away:
    where that is above a threshold, the threshold lies halfway between it and the
    limit; where it is above the limit, nowhere.
    """
    enter, leave, hurry = policy.thresholds[level]
    floor = 0.0 if floor_ratio is None else floor_ratio
    if floor < leave:
        return Threshold(enter, leave, hurry)
    if floor >= enter:
        enter = (1.0 + floor) / 2 if floor < 1.0 else inf
    return Threshold(enter, (floor + enter) / 2, hurry)


#: What each value has to be, and how that is called.
_RULES: Final[tuple[tuple[str, Callable[[Any], bool], str], ...]] = (
    (
        "thresholds",
        lambda three: len(three) == 3 and 0 < three[1] < three[0] and three[2] >= 0,
        "the ratio to enter, a lower one to leave, and seconds",
    ),
    (
        "actions",
        lambda kinds: not isinstance(kinds, str) and set(kinds) <= set(KINDS),
        f"some of {', '.join(KINDS)}",
    ),
    ("cool_down_seconds", lambda seconds: seconds >= 0, "seconds"),
    (
        "retry_after_seconds",
        lambda pair: len(pair) == 2 and 0 <= int(pair[0]) <= int(pair[1]),
        "the fewest and the most whole seconds",
    ),
    ("dwell_seconds", lambda seconds: seconds >= 0, "seconds"),
    ("forecast_from_ratio", lambda ratio: ratio >= 0, "a ratio"),
    (
        "admit_one_in",
        lambda count: isinstance(count, int) and count >= 0,
        "a whole number from 0",
    ),
    ("least_life_seconds", lambda seconds: seconds >= 0, "seconds"),
    (
        "recycles_per_hour",
        lambda count: isinstance(count, int) and count > 0,
        "a whole number from 1",
    ),
)


def _check(policy: Policy) -> None:
    """Raise for the first value that makes no sense."""
    for name, is_good, wanted in _RULES:
        given = getattr(policy, name)
        mapping = given if isinstance(given, Mapping) else {"": given}
        for key, value in mapping.items():
            if key not in _DEFAULTS.get(name, mapping):
                known = ", ".join(_DEFAULTS[name])
                message = f"{name} of a policy are for {known}, not for {key!r}"
                raise LeakguardError(message)
            if not _holds(is_good, value):
                where = f"{name}[{key!r}]" if key else name
                message = f"{where} of a policy is {wanted}, not {value!r}"
                raise LeakguardError(message)
    enters = [policy.thresholds[level][0] for level in LEVELS[1:]]
    if enters != sorted(enters):
        message = f"thresholds of a policy rise from level to level, unlike {enters}"
        raise LeakguardError(message)


def _holds(is_good: Callable[[Any], bool], value: object) -> bool:
    try:
        return is_good(value)
    except (TypeError, ValueError, LookupError):
        return False
