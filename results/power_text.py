"""A plan as a terminal table and as JSON. Nothing here prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..records.strict_json import strict_json
from .model.planning import PlannedStudy, smallest
from .model.scenario import Scenario
from .model.summary import LEVEL, Estimate

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["power_json", "power_table", "power_words"]

_UNITS = {"grade": "grades", "logit": "logits"}


def power_table(scenario: Scenario, studies: Sequence[PlannedStudy], power: float, scale: str) -> Group:
    """All designs, the smallest that suffices marked, and what follows from them in words."""
    from rich.console import Group
    from rich.text import Text

    from ..views.terminal import plain_table

    table = plain_table("Planning")
    for header in ("organisms", "repeats", "findings", "grades", f"width,\n{_UNITS[scale]}", "P(separates)", "+-"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("")
    chosen = smallest(studies, power)
    for study in studies:
        endless = study.repeats is None or study.findings is None
        cells = ["any", "", ""] if endless else _counts(study)
        cells += [f"{study.width[scale]:.2f}", f"{study.separated:.2f}", f"{study.error:.3f}"]
        mark = "smallest" if study is chosen else ""
        table.add_row(*map(Text, (str(study.organisms), *cells, mark)), style="dim" if endless else "")
    return Group(table, *map(Text, power_words(scenario, studies, power, scale)))


def power_words(scenario: Scenario, studies: Sequence[PlannedStudy], power: float, scale: str) -> tuple[str, ...]:
    """The effect, the spreads, the smallest design, and what repeats cannot buy, in sentences."""
    first, second = scenario.methods
    units, judges = _UNITS[scale], studies[0].judges
    spreads = ", ".join(f"{name} {_number(found)}" for name, found in scenario.spreads.items())
    effect = scenario.effects[scale]
    lines = [
        f"{first} less {second}: {_number(effect)} {units}. Standard deviations (logit scale): {spreads}.",
        "The grades leave open which of the two is better, and so does the plan; --effect plans for a difference of a "
        "given size."
        if effect.low < 0 < effect.high
        else "",
        f"Width: of the {LEVEL:.0%} interval of that difference, on average. P(separates): that it excludes 0 on the "
        f"true side, with its Monte-Carlo error over {scenario.draws} studies. Both methods meet all organisms; "
        f"{judges} grade{'s' if judges > 1 else ''} a finding, one investigator. any: endless repeats.",
        _verdict(studies, power),
        _limits(studies, power),
    ]
    return (*scenario.notes, *filter(None, lines))


def power_json(scenario: Scenario, studies: Sequence[PlannedStudy], power: float) -> str:
    """Everything, unrounded; ``repeats`` null stands for endlessly many."""
    chosen = smallest(studies, power)
    told = {
        "methods": scenario.methods,
        "effect": {name: asdict(found) for name, found in scenario.effects.items()},
        "spreads": {name: asdict(found) for name, found in scenario.spreads.items()},
        "power": power,
        "level": LEVEL,
        "simulations": scenario.draws,
        "designs": [asdict(study) for study in studies],
        "smallest": asdict(chosen) if chosen else None,
        "notes": [*scenario.notes, _limits(studies, power)],
    }
    return strict_json(told) + "\n"


def _counts(study: PlannedStudy) -> list[str]:
    findings = study.findings or 0
    return [str(study.repeats), f"{findings:,}", f"{findings * study.judges:,}"]


def _verdict(studies: Sequence[PlannedStudy], power: float) -> str:
    chosen = smallest(studies, power)
    if chosen is None:
        return f"None of these designs separates them with probability {power:g}: try more organisms."
    return (
        f"Smallest design (by findings) that separates them with probability {power:g}: {chosen.organisms} organisms, "
        f"{chosen.repeats} repeat{'s' if chosen.repeats != 1 else ''}, {chosen.findings:,} findings."
    )


def _limits(studies: Sequence[PlannedStudy], power: float) -> str:
    endless = {study.organisms: study.separated for study in studies if study.repeats is None}
    short = [organisms for organisms, separated in endless.items() if separated < power]
    told = "Repeats cannot buy what only more organisms can: methods differ from organism to organism, and repeats "
    told += "average that over no more of them. "
    if not short:
        return told + "Here every number of organisms could reach it with enough repeats."
    limits = ", ".join(f"{endless[organisms]:.2f} with {organisms}" for organisms in short)
    return told + f"However many repeats, the probability ends at {limits} organisms."


def _number(found: Estimate) -> str:
    if found.high - found.low < 0.05 * abs(found.mean) or found.low == found.high:
        return f"{found.mean:.2f}"
    return f"{found.mean:.2f} ({found.low:.2f} to {found.high:.2f})"
