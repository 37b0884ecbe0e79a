"""A sheet of monospaced text with coloured tokens, bars and charts, which grows downwards."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import IO, TYPE_CHECKING, TypeAlias

from .text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLUMNS", "Sheet", "width"]

COLUMNS = 124
MOST_LINES = 1_400.0
"""Lines of a sheet; matplotlib draws nothing of 65,536 pixels or more."""

_POINTS = 10.0
_COLUMN = 0.602 * _POINTS / 72
"""Advance of a character of DejaVu Sans Mono in inches."""
_LINE = 1.45 * _POINTS / 72
_MARGIN = 2.0
_DPI = 130
_FONT = "DejaVu Sans Mono"
"""Comes with matplotlib."""

Colour: TypeAlias = str | tuple[float, ...]


@dataclass(frozen=True)
class _Piece:
    """A run of characters at one place."""

    x: float
    y: float
    text: str
    colour: Colour
    bold: bool
    underline: bool
    size: float
    fill: Colour | None


@dataclass
class Sheet:
    """Places text by columns and lines; the cursor only moves right and down."""

    x: float = 0.0
    y: float = 0.0
    _pieces: list[_Piece] = field(default_factory=list)
    _boxes: list[tuple[float, float, float, Colour]] = field(default_factory=list)
    _charts: list[tuple[float, int, Callable[[Axes], None]]] = field(default_factory=list)

    def place(
        self,
        text: str,
        colour: Colour = "black",
        bold: bool = False,
        underline: bool = False,
        fill: Colour | None = None,
    ) -> None:
        """Put a token behind the last one; what does not fit begins a line, what fits in none is cut into several."""
        rest = _drawable(text)
        while rest:
            if self.x and self.x + min(width(rest), COLUMNS) > COLUMNS:
                self.newline()
            part = _head(rest, int(COLUMNS - self.x))
            self._add(self.x, part, colour, bold, underline, fill=fill)
            self.x += width(part)
            rest = rest[len(part) :]

    def write(
        self, text: str, colour: Colour = "black", bold: bool = False, size: float = 1.0, indent: int = 0
    ) -> None:
        """Put paragraphs on lines of their own, broken between words."""
        for line in _wrapped(text, int((COLUMNS - indent) / size)):
            self._add(indent, line, colour, bold, size=size)
            self.skip(size)

    def cell(
        self,
        x: float,
        wide: float,
        text: str,
        colour: Colour = "black",
        bold: bool = False,
        underline: bool = False,
        right: bool = False,
    ) -> int:
        """Put text into ``wide`` columns from ``x`` on, cut to fit; returns the columns that it takes."""
        shown = _drawable(text).replace("\n", " ")
        if width(shown) > wide:
            shown = f"{_head(shown, max(1, int(wide) - 1))}…"
        self._add(x + (wide - width(shown) if right else 0), shown, colour, bold, underline)
        return width(shown)

    def columns(self, cells: Sequence[Sequence[str]], wide: int) -> None:
        """Put texts beside each other, the first of each column in bold."""
        top = bottom = self.y
        for i, texts in enumerate(cells):
            self.y = top
            for number, text in enumerate(texts):
                for line in _wrapped(text, wide - 3):
                    self._add(i * wide, line, "black" if number else "#57606a", number == 0)
                    self.y += 1
                self.y += 0.3
            bottom = max(bottom, self.y)
        self.x, self.y = 0.0, bottom

    def box(self, x: float, wide: float, colour: Colour) -> None:
        """Fill a stretch of the line."""
        self._boxes.append((x, self.y, wide, colour))

    def chart(self, lines: int, draw: Callable[[Axes], None]) -> None:
        """Leave room for a chart, which ``draw`` draws."""
        self._charts.append((self.y, lines, draw))
        self.skip(lines)

    def newline(self) -> None:
        """Go to the beginning of the next line."""
        self.skip(1)

    def skip(self, lines: float) -> None:
        """Go down."""
        self.x, self.y = 0.0, self.y + lines

    def save(self, file: IO[bytes]) -> None:
        """Draw all of it as a PNG; a sheet that is too tall is cut, and says so."""
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        if self.y > MOST_LINES:
            self.y = MOST_LINES
            self._pieces = [piece for piece in self._pieces if piece.y < MOST_LINES - 1]
            self.write("… cut here; all of it is on the page of HTML", bold=True)
        tall = (self.y + 2 * _MARGIN) * _LINE
        with rc_context({"font.family": _FONT, "font.size": _POINTS * 0.9}):
            figure = Figure(figsize=((COLUMNS + 2 * _MARGIN) * _COLUMN, tall), dpi=_DPI, facecolor="white")
            FigureCanvasAgg(figure)
            self._draw(figure)
            figure.savefig(file, format="png")

    def _draw(self, figure: Figure) -> None:
        from matplotlib.patches import Rectangle

        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-_MARGIN, COLUMNS + _MARGIN)
        axes.set_ylim(self.y + _MARGIN, -_MARGIN)
        for x, y, wide, colour in self._boxes:
            axes.add_patch(Rectangle((x, y + 0.1), wide, 0.8, facecolor=colour, linewidth=0))
        for piece in self._pieces:
            span = width(piece.text) * piece.size
            if piece.fill is not None:
                axes.add_patch(Rectangle((piece.x, piece.y + 0.04), span, 0.92, facecolor=piece.fill, linewidth=0))
            axes.text(
                piece.x,
                piece.y + 0.75 * piece.size,
                piece.text,
                fontsize=_POINTS * piece.size,
                fontweight="bold" if piece.bold else "normal",
                color=piece.colour,
                va="baseline",
                parse_math=False,
            )
            if piece.underline:
                axes.plot([piece.x, piece.x + span], [piece.y + 0.92] * 2, color=piece.colour, linewidth=1)
        height = self.y + 2 * _MARGIN
        for y, lines, draw in self._charts:
            if y + lines <= self.y:
                # Room at the left for the axis' numbers, below for its label, at the right for the legend.
                draw(figure.add_axes((0.09, 1 - (y + _MARGIN + lines - 3) / height, 0.55, (lines - 4) / height)))

    def _add(
        self,
        x: float,
        text: str,
        colour: Colour,
        bold: bool,
        underline: bool = False,
        size: float = 1.0,
        fill: Colour | None = None,
    ) -> None:
        self._pieces.append(_Piece(x, self.y, text, colour, bold, underline, size, fill))


def width(text: str) -> int:
    """Columns that a text takes; ideographs take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in {"W", "F"} else 1 for c in text
    )


def _head(text: str, columns: int) -> str:
    """The longest beginning of at most so many columns, never less than one character."""
    end, taken = 0, 0
    while end < len(text) and (end == 0 or taken + width(text[end]) <= columns):
        taken += width(text[end])
        end += 1
    return text[:end]


def _wrapped(text: str, columns: int) -> list[str]:
    lines = []
    for paragraph in _drawable(text).split("\n"):
        line = ""
        for word in paragraph.split(" "):
            candidate = f"{line} {word}" if line else word
            while width(candidate) > columns:
                if line:
                    lines.append(line)
                    candidate, line = word, ""
                    continue
                part = _head(candidate, columns)
                lines.append(part)
                candidate = candidate[len(part) :]
            line = candidate
        lines.append(line)
    return lines


def _drawable(text: str) -> str:
    """``text`` with escapes for what the font lacks, which would be drawn as an empty box."""
    known = _characters()
    shown = printable(text).replace("\t", "    ")
    return "".join(c if c == "\n" or ord(c) in known else c.encode("unicode_escape").decode("ascii") for c in shown)


@cache
def _characters() -> frozenset[int]:
    """Code points of the font."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family=_FONT))).get_charmap())
