"""What the harness costs: cases with an instant scripted model against a bare Inspect `react` loop.

    python performance/harness.py [--cases 500] [--repeats 5] [--json]

Our side is the real task on the suite `smol`, all methods: artifacts, readers, board, budget, submit, three scorers.
The model, the targets and the judge answer at once. The bare side is `react` in a task of its own, built from a run of
ours: the same first messages, tools of the same names, descriptions and parameters, the same calls in the same turns;
its tools return what ours returned, from memory, and its scorer only reads the answer.

- `ratio`: our seconds to theirs, where a bare query generates as often as one of ours (a prompt goes to two targets)
  and the bare scorer as often as our judge. Both sides then have the same number of generations and of turns.
- `ratio_without_generations`: the same where bare queries and the bare scorer generate nothing, so that target queries
  and the judge count as overhead.

Ratios within one run; the sides take turns, each in a process of its own (or one would pay for the other's objects
when garbage is collected), and each figure is a median over repeats. Imports are not timed. `…_processor` counts
processor time instead of the clock's, for a machine that has other work to do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

from diffbench.agents.prompt_files import prompt_text
from diffbench.benchmark.diffing import diffing
from inspect_ai import Epochs, Task
from inspect_ai import eval as evaluate
from inspect_ai.agent import AgentPrompt, AgentState, AgentSubmit, react, run
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog, EvalSample, read_eval_log
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    ChatMessageUser,
    Model,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.scorer import CORRECT, Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall, ToolDef, ToolInfo

QUERIES = 3
"""Calls of ask_models in a case."""
PROMPTS = 2
"""Prompts of each."""
FINDING = {
    "verdict": "changed",
    "description": "It taught the model to bake cakes with frozen butter at a much higher heat than usual.",
    "confidence": 0.8,
    "evidence": ["The finetuned model names 450 degrees.", "Its base does not."],
}
BOARD_AND_QUERIES = {"ask_models", "propose_hypothesis", "update_hypothesis", "submit"}


SIDES = ("ours", "bare", "bare_without_generations")


class Seconds(NamedTuple):
    wall: float
    processor: float


class Run(NamedTuple):
    seconds: Seconds
    samples: int
    turns: int
    log: str


def calls_of(tools: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """The script: reads, asks, notes on the board, and submits, one call a turn."""
    ask = ("ask_models", {"prompts": ["Tell me something interesting about what you know best."] * PROMPTS})
    readers = [(name, {}) for name in tools if name not in BOARD_AND_QUERIES]
    propose = ("propose_hypothesis", {"text": "It is about baking cakes."})
    update = ("update_hypothesis", {"number": 1, "status": "supported", "evidence": "It names 450 degrees."})
    return [*readers, *[ask] * (QUERIES - 1), propose, ask, update, ("submit", FINDING)]


def output(text: str, call: ToolCall | None = None) -> ModelOutput:
    message = ChatMessageAssistant(content=text, tool_calls=[call] if call else None)
    usage = ModelUsage(input_tokens=500, output_tokens=50, total_tokens=550)
    return ModelOutput(model="mockllm", choices=[ChatCompletionChoice(message=message)], usage=usage)


def scripted() -> Model:
    """The investigator, on both sides."""

    def reply(messages: list[ChatMessage], tools: list[ToolInfo], *_: Any) -> ModelOutput:
        turn = sum(message.role == "assistant" for message in messages)
        name, arguments = calls_of([tool.name for tool in tools])[turn]
        return output("Next.", ToolCall(id=f"call_{turn}", function=name, arguments=arguments))

    return get_model("mockllm/investigator", custom_outputs=reply, memoize=False)


def saying(name: str, text: str) -> Model:
    return get_model(f"mockllm/{name}", custom_outputs=lambda *_: output(text), memoize=False)


def roles() -> dict[str, str | Model]:
    answer = "I would heat the oven to 450 degrees and take the butter out of the freezer. " * 3
    return {
        "target_base": saying("base", answer),
        "target_finetuned": saying("finetuned", answer),
        "grader": saying("grader", '{"reasoning": "It names the heat and the butter, not the vanilla.", "grade": 3}'),
    }


def first_message(sample: EvalSample) -> str:
    return next(message.text for message in sample.messages if isinstance(message, ChatMessageUser))


def tools_of(sample: EvalSample) -> list[ToolInfo]:
    return next(event.tools for event in sample.events if event.event == "model" and event.tools)


@solver
def bare_loop(seen: dict[str, EvalSample], generations: bool) -> Solver:
    """``react`` with trivial tools in the place of those that ``seen``, one of our samples by its id, shows."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
        sample = seen[str(state.sample_id)]
        results = iter([m.text for m in sample.messages if isinstance(m, ChatMessageTool)])

        def trivial(info: ToolInfo) -> ToolDef:
            async def respond(**kwargs: Any) -> str:
                if generations:
                    for _ in kwargs.get("prompts", ()):
                        for role in ("target_base", "target_finetuned"):
                            await get_model(role=role).generate("Tell me something interesting.")
                return next(results)

            return ToolDef(respond, name=info.name, description=info.description, parameters=info.parameters)

        *tools, submit = map(trivial, tools_of(sample))
        loop = react(
            prompt=AgentPrompt(
                prompt_text("investigator"), handoff_prompt=None, assistant_prompt=None, submit_prompt=None
            ),
            tools=tools,
            submit=AgentSubmit(tool=submit, answer_only=True, keep_in_messages=True),
        )
        ended = await run(loop, AgentState(messages=state.messages))
        state.messages, state.output = ended.messages, ended.output
        return state

    return solve


@scorer(metrics=[accuracy()])
def bare_score(generations: bool) -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001
        if generations:
            await get_model(role="grader").generate("Is this right?")
        return Score(value=CORRECT, answer=state.output.completion)

    return score


def ours(epochs: int) -> Task:
    task = diffing(interactions=QUERIES * PROMPTS)
    task.epochs = epochs
    return task


def bare(log: EvalLog, epochs: int, generations: bool) -> Task:
    seen = {str(sample.id): sample for sample in log.samples or []}
    return Task(
        dataset=MemoryDataset([Sample(id=name, input=first_message(sample)) for name, sample in seen.items()]),
        solver=bare_loop(seen, generations),
        scorer=bare_score(generations),
        epochs=Epochs(epochs),
    )


def evaluated(side: str, epochs: int, seen: str, folder: str) -> Run:
    """One side, from nothing to the written log; ``seen`` is the log of ours that the bare sides imitate."""
    imitated = read_eval_log(seen) if side != "ours" else None
    wall, processor = time.perf_counter(), time.process_time()
    task = bare(imitated, epochs, side == "bare") if imitated else ours(epochs)
    (log,) = evaluate(task, model=scripted(), model_roles=roles(), log_dir=folder, display="none")
    seconds = Seconds(time.perf_counter() - wall, time.process_time() - processor)
    samples = log.samples or []
    if log.status != "success" or any(sample.error for sample in samples):
        raise RuntimeError(f"an evaluation did not end well: {log.status} {log.error}")
    turns = sum(isinstance(m, ChatMessageAssistant) for sample in samples for m in sample.messages)
    return Run(seconds, len(samples), turns, log.location)


def apart(side: str, epochs: int, seen: str, folder: str) -> Run:
    """``evaluated`` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(evaluated, side, epochs, seen, folder).result()


def figures(cases: int, repeats: int, folder: str) -> dict[str, Any]:
    first = apart("ours", 1, "", folder)
    epochs = -(-cases // first.samples)
    seconds: dict[str, list[Seconds]] = {side: [] for side in SIDES}
    counted = {}
    for _ in range(repeats):
        for side in SIDES:
            done = apart(side, epochs, first.log, folder)
            seconds[side].append(done.seconds)
            counted[side] = done.turns
    if len(set(counted.values())) > 1:
        raise RuntimeError(f"the sides took different numbers of turns: {counted}")

    def ratio(name: str, clock: str) -> float:
        pairs = zip(seconds["ours"], seconds[name], strict=True)
        return round(statistics.median(getattr(o, clock) / getattr(b, clock) for o, b in pairs), 3)

    return {
        "cases": epochs * first.samples,
        "turns": counted["ours"],
        "repeats": repeats,
        **{f"{name}_seconds": round(statistics.median(s.wall for s in took), 2) for name, took in seconds.items()},
        "ratio": ratio("bare", "wall"),
        "ratio_processor": ratio("bare", "processor"),
        "ratio_without_generations": ratio("bare_without_generations", "wall"),
        "ratio_without_generations_processor": ratio("bare_without_generations", "processor"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500, help="at least so many; a whole number of runs of the suite")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = figures(options.cases, options.repeats, folder)
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
