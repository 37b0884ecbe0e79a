"""The main task: an investigator finds out what a finetune did, helped by a diffing method or not."""

from __future__ import annotations

from diffbench.agents.brief import open_case
from diffbench.agents.kinds import Settings, kind_of
from diffbench.agents.prompt_files import prompt_hashes
from diffbench.benchmark.cases import case_samples
from diffbench.benchmark.ceiling import RunCeiling
from diffbench.benchmark.conditions import swept
from diffbench.benchmark.selection import check_tools, select_methods, select_organisms
from diffbench.graders.scorers import fact_recall, false_alarm, rubric_grade
from diffbench.records.case import Framing
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.viewer import ScoreColorScale, TaskSamplesColumn, TaskSamplesView, ViewerConfig

_SCORES = {"rubric_grade": "grade", "fact_recall": "facts", "false_alarm": "false alarm"}
# The same in all samples; what a case is about stands in its id.
_HIDDEN = ("input", "target")
_LISTED = ("sampleStatus", "sampleId", "epoch", "answer")
_LISTED_LAST = ("tokens", "duration", "error", "limit")
_VIEWER = ViewerConfig(
    task_samples_view=TaskSamplesView(
        name="cases",
        columns=[
            *(TaskSamplesColumn(id=name) for name in _LISTED),
            *(TaskSamplesColumn.score(name) for name in _SCORES),
            *(TaskSamplesColumn(id=name) for name in _LISTED_LAST),
            *(TaskSamplesColumn(id=name, visible=False) for name in _HIDDEN),
        ],
        score_labels=_SCORES,
        score_color_scales={
            "rubric_grade": ScoreColorScale(palette="good-high", min=1, max=5),
            "fact_recall": ScoreColorScale(palette="good-high", min=0, max=1),
            "false_alarm": ScoreColorScale(palette="good-low", min=0, max=1),
        },
        color_scales_enabled=True,
    )
)
"""How ``inspect view`` lists the cases."""


@task
def diffing(
    suite: str = "smol",
    organisms: str | list[str] | None = None,
    methods: str | list[str] | None = None,
    agent: str = "investigator",
    interactions: int = 10,
    tool_budgets: dict[str, int] | None = None,
    framing: Framing | list[Framing] = "neutral",
    blind: bool | list[bool] = False,
    hints: str | list[str] = "none",
    turns: int = 30,
    tokens: int | None = None,
    cost: float | None = None,
    run_tokens: int | None = None,
    run_cost: float | None = None,
    response_tokens: int = 64,
    temperature: float = 0.7,
    judges: str | list[str] | None = None,
    judge_repeats: int = 1,
    seed: int = 0,
) -> Task:
    """Organisms x methods, one case each.

    Model roles: ``grader`` judges findings (without it the keyless grader, a baseline); ``target_base`` and
    ``target_finetuned`` replace the models of a pair (without them each organism's own). The evaluated model is the
    investigator; without ``--model`` it is ``keyless/investigator``, a baseline.

    Args:
        suite: Name of a suite of organisms.
        organisms: Names in the suite, such as ``cake_bake``, or ``all``; the suite's default selection when not given.
        methods: ``blackbox`` and names of diffing methods, several at once as ``adl+kl``; all that are installed when
            not given.
        agent: ``investigator`` picks by method; ``blackbox``, ``method_agent``; ``llm_reader`` sees the overview and
            has no tools and no queries; ``evidence_reader`` uses no model. One of yours as ``package/agent`` or
            ``file.py@agent``: turns, tokens, cost, response_tokens and temperature do not reach it.
        interactions: Prompts an investigator may put to the pair.
        tool_budgets: Interactions that single tools may spend of these, such as ``{steer: 3}``.
        framing: ``neutral``, or ``presuppositional`` (it is told that something narrow was taught); a case for each of
            several, as for ``blind`` and ``hints``.
        blind: Call the models M1 and M2, in an order drawn by the seed.
        hints: ``none``; ``family`` tells what kind of finetuning it is; any sentence is told as it stands.
        turns: Model generations before the finding is asked for.
        tokens: Tokens of the investigator before the finding is asked for; no limit when not given.
        cost: US dollars of a case before the finding is asked for; no limit when not given.
        run_tokens: Tokens of all models in all cases after which no more cases are started; no limit when not given.
        run_cost: US dollars, likewise.
        response_tokens: Longest answer of a target, in tokens.
        temperature: Sampling temperature of the targets.
        judges: Inspect model names that grade each finding; the role ``grader`` when not given.
        judge_repeats: Grades of each judge for each finding.
        seed: Fixes the targets' samples and the order of blind labels.

    Raises:
        MendableError: For an unknown name (close ones are suggested), a value out of range or missing artifacts.
    """
    kind = kind_of(agent)
    settings = Settings(turns, tokens, cost, response_tokens, temperature)
    chosen = select_methods(_names(methods), kind)
    check_tools(tool_budgets or {})
    granted, budgets = (0, {}) if kind.reads_only else (interactions, tool_budgets or {})
    conditions = swept(framing, blind, hints, interactions=granted, tool_budgets=budgets, seed=seed)
    pairs = select_organisms(suite, _names(organisms))
    asked = _names(judges)
    ceiling = RunCeiling(run_tokens, run_cost, cost, asked or ())
    return Task(
        dataset=MemoryDataset([s for one in conditions for s in case_samples(pairs, chosen, one, kind)], name=suite),
        setup=open_case(),
        solver=kind.make(settings),
        scorer=[rubric_grade(asked, judge_repeats), fact_recall(), false_alarm()],
        fail_on_error=False,
        score_on_error=True,
        early_stopping=ceiling if (run_tokens, run_cost, cost) != (None, None, None) else None,
        metadata={"prompts": prompt_hashes()},
        viewer=_VIEWER,
    )


def _names(given: str | list[str] | None) -> list[str] | None:
    """A list from a list or from names with commas between them."""
    parts = given.split(",") if isinstance(given, str) else given
    return None if parts is None else [part.strip() for part in parts]
