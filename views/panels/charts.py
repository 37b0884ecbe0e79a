"""Panels of numbers: lines, bars, intervals, stacked shares, dots."""

from __future__ import annotations

from dataclasses import dataclass

from .numbers import require_finite

__all__ = ["Bar", "Bars", "Dot", "Dots", "Interval", "Intervals", "Lines", "Series", "Stack", "Stacks"]


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    values: tuple[float | None, ...]
    """One a place on the horizontal axis; None for a gap."""


@dataclass(frozen=True)
class Lines:
    """Lines over the same places.

    Raises:
        ValueError: For a series of another length than ``x``, a value that is no finite number, or one that a
            logarithmic axis cannot show.
    """

    title: str
    x_label: str
    y_label: str
    x: tuple[str, ...]
    series: tuple[Series, ...]
    log: bool = False
    """Whether the vertical axis is logarithmic."""
    note: str = ""
    ends: tuple[float, float] | None = None
    """Ends of the vertical axis, which then is not logarithmic; None for round numbers around the values."""
    values: bool = True
    """Whether the numbers are shown as a table too; False where a table beside the chart holds them."""

    def __post_init__(self) -> None:
        for series in self.series:
            if len(series.values) != len(self.x):
                raise ValueError(
                    f"series {series.name!r} of {self.title!r} has {len(series.values)} values for {len(self.x)} places"
                )
            require_finite(f"{self.title}, {series.name}", series.values)
            if self.log and any(value is not None and value <= 0 for value in series.values):
                raise ValueError(
                    f"series {series.name!r} of {self.title!r} has a value of 0 or below, which a logarithmic axis "
                    "cannot show; set log=False"
                )


@dataclass(frozen=True)
class Bar:
    """One bar."""

    label: str
    value: float


@dataclass(frozen=True)
class Bars:
    """Labelled values from 0 on, in the order in which they are drawn.

    Raises:
        ValueError: For a value below 0 or that is no finite number.
    """

    title: str
    value_label: str
    bars: tuple[Bar, ...]
    percent: bool = False
    """Whether 0.5 is written as 50%."""
    shown: int = 30
    """Bars that are not folded away."""
    note: str = ""

    def __post_init__(self) -> None:
        require_finite(self.title, (bar.value for bar in self.bars))
        if any(bar.value < 0 for bar in self.bars):
            raise ValueError(f"bars {self.title!r} have a value below 0; bars begin at 0")

    @property
    def longest(self) -> float:
        """The largest value, 1 where all are 0."""
        return max((bar.value for bar in self.bars), default=0.0) or 1.0

    def written(self, bar: Bar) -> str:
        """The value of a bar."""
        return f"{bar.value:.1%}" if self.percent else f"{bar.value:.3g}"


@dataclass(frozen=True)
class Interval:
    """An estimate."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    """Ends of its interval; None where there is none."""
    text: str = ""
    """The numbers as they are written beside it."""
    hollow: bool = False
    """Whether its mark is only outlined; what that means, the ``value_label`` says."""


@dataclass(frozen=True)
class Intervals:
    """Estimates below each other on one axis, as in a forest plot; what lies beyond its ends is drawn at them.

    Raises:
        ValueError: For a value that is no finite number.
    """

    title: str
    value_label: str
    intervals: tuple[Interval, ...]
    ends: tuple[float, float]
    """Ends of the axis."""
    note: str = ""

    def __post_init__(self) -> None:
        for one in self.intervals:
            require_finite(f"{self.title}, {one.label}", (one.value, one.low, one.high))


@dataclass(frozen=True)
class Stack:
    """A whole and its parts."""

    label: str
    shares: tuple[float, ...]
    """0 to 1, one a part."""
    text: str = ""
    """What is written beside the label."""
    expected: tuple[float, ...] | None = None
    """Shares to compare with, drawn thinner below."""


@dataclass(frozen=True)
class Stacks:
    """Wholes and their parts in order, as bars that fill the width.

    Raises:
        ValueError: For another number of shares than parts, a negative one, or shares that are more than the whole.
    """

    title: str
    parts: tuple[str, ...]
    """Names of the parts, from low to high."""
    stacks: tuple[Stack, ...]
    note: str = ""

    def __post_init__(self) -> None:
        for stack in self.stacks:
            for shares in filter(None, (stack.shares, stack.expected)):
                require_finite(f"{self.title}, {stack.label}", shares)
                if len(shares) != len(self.parts) or min(shares) < 0 or sum(shares) > 1 + 1e-6:
                    raise ValueError(
                        f"stack {stack.label!r} of {self.title!r} has the shares {shares} for {len(self.parts)} parts; "
                        "give one a part, none below 0, in all 1 at most"
                    )


@dataclass(frozen=True)
class Dot:
    """A point, with an interval of ``y`` where both its ends are given."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    text: str = ""
    """What it is."""


@dataclass(frozen=True)
class Dots:
    """Points in a plane.

    Raises:
        ValueError: For a value that is no finite number.
    """

    title: str
    x_label: str
    y_label: str
    dots: tuple[Dot, ...]
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]
    diagonal: bool = False
    """Whether a line leads from corner to corner, on which ``x`` and ``y`` agree."""
    note: str = ""

    def __post_init__(self) -> None:
        for dot in self.dots:
            require_finite(self.title, (dot.x, dot.y, dot.low, dot.high))
