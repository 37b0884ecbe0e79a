"""Nothing is lost: cases on every provider against local servers that fail in every way, with kills and resumes.

    PYTHONPATH=tests/support python performance/faults.py [--cases 200] [--kills 2] [--rate 0.2] [--json FILE]

An eval set of the embedded suite, a quarter of the cases on each of four providers (chat completions, responses,
messages, a local server), targets and judge behind the same scripted server. A seeded plan spoils requests: 429 with
retry-after, 500, connections dropped before and within an answer, refusals, empty, cut-off and malformed answers. The
process is killed (SIGKILL) as often as asked, each time when a further part of the cases is graded, and started again
with the same command. Then every case is looked for: one finding or recorded refusal, one grade or reason, once.
``--rate 0 --kills 0`` measures what a case costs; tokens are characters over four of the text that was really sent.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from diffbench.results.frame import grades_frame
from fake_providers import FakeProvider, drawn, scripted, serving
from inspect_ai.log import EvalLog, EvalSample, list_eval_logs, read_eval_log

ROOT = Path(__file__).parents[1]
MODELS = ("openai/gpt-4o", "openai/gpt-5", "anthropic/claude-sonnet-4-0", "openai-api/local/investigator")
JUDGE = "openai/gpt-4o"
TARGETS = ("openai-api/local/base", "openai-api/local/finetuned")


def command(logs: Path, cases: int) -> list[str]:
    """The eval set as a user would start it."""
    target, adapted = TARGETS
    return [
        *(str(Path(sys.executable).with_name("inspect")), "eval-set", "benchmark/diffing.py"),
        *("--model", ",".join(MODELS), "--limit", str(cases // len(MODELS)), "--log-dir", str(logs)),
        *("--model-role", f"target_base={target}", "--model-role", f"target_finetuned={adapted}"),
        *("--model-role", f"grader={JUDGE}", "-T", "organisms=all", "--max-tasks", str(len(MODELS))),
        *("--max-samples", "16", "--log-buffer", "1", "--display", "plain"),
    ]


def run(provider: FakeProvider, logs: Path, cases: int, kills: int) -> list[int]:
    """Run the eval set to its end; samples in the logs at each kill."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INSPECT_")}
    environment |= provider.environment | {"HF_HUB_OFFLINE": "1"}
    at_kills = []
    for attempt in range(kills + 1):
        with (logs.parent / f"output-{attempt}.txt").open("w") as output:
            process = subprocess.Popen(  # noqa: S603 - our own command line
                command(logs, cases), cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        if attempt < kills:
            due = cases * (attempt + 1) // (kills + 1)
            while provider.served["judge"] < due and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        code = process.wait()
        if code != (-signal.SIGKILL if attempt < kills else 0):
            raise SystemExit(f"attempt {attempt} ended with {code}:\n{Path(output.name).read_text()[-4000:]}")
        if attempt < kills:
            at_kills.append(len(samples_of(logs)))
    return at_kills


def samples_of(logs: Path) -> list[tuple[EvalLog, EvalSample]]:
    """All samples in the newest log of each task and model."""
    newest = {}
    for info in sorted(list_eval_logs(str(logs)), key=lambda info: info.mtime or 0):
        log = read_eval_log(info)
        newest[log.eval.task_id] = log
    return [(log, sample) for log in newest.values() for sample in log.samples or []]


def count(logs: Path) -> dict[str, Any]:
    """What became of the cases."""
    found = samples_of(logs)
    # From the scores: a log that Inspect recovered from a killed run has no store.
    scores = [sample.scores["rubric_grade"] for _, sample in found if sample.scores]
    about = [score.metadata or {} for score in scores]
    sources = Counter(str(known["finding_source"]) for known in about)
    entries = [entry for known in about for entry in known["grades"]]
    frame = grades_frame(logs).frame
    return {
        "cases": len({(log.eval.model, sample.id, sample.epoch) for log, sample in found}),
        "samples": len(found),
        "errors": sum(sample.error is not None for _, sample in found),
        "findings": sum(score.answer is not None for score in scores),
        "findings_by_source": dict(sources),
        "refusals": sources["refused"],
        "grades": sum(entry["grade"] is not None for entry in entries),
        "reasons": sum(entry["grade"] is None and bool(entry["error"]) for entry in entries),
        "rows_in_frame": len(frame),
        "rows_twice": int(frame.duplicated(["agent_model", "sample", "epoch", "judge", "judge_repeat"]).sum()),
    }


def tokens(provider: FakeProvider, cases: int) -> dict[str, dict[str, float]]:
    """Requests and tokens a case, by role; the investigator's by method too (a conversation opened is a case)."""
    shares: dict[str, tuple[Counter[str], int]] = {}
    for (role, method), counts in sorted(provider.tokens.items()):
        shares.setdefault(role, (Counter(), cases))[0].update(counts)
        if method:
            shares[f"{role}, {method}"] = (counts, counts["opened"])
    kinds = ("requests", "read", "written")
    return {name: {kind: round(counts[kind] / n, 1) for kind in kinds} for name, (counts, n) in shares.items()}


def lost(figures: dict[str, Any], cases: int) -> list[str]:
    """What is wrong with the outcome; nothing, if all is well."""
    found = {
        "cases": figures["cases"],
        "samples": figures["samples"],
        "findings and refusals": figures["findings"] + figures["refusals"],
        "grades and reasons": figures["grades"] + figures["reasons"],
    }
    wrong = [f"{name}: {n}, not {cases}" for name, n in found.items() if n != cases]
    if figures["rows_in_frame"] != figures["grades"] or figures["rows_twice"]:
        wrong.append(f"{figures['rows_in_frame']} rows ({figures['rows_twice']} twice) for {figures['grades']} grades")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200, help="a multiple of four")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--rate", type=float, default=0.2, help="share of requests that meet a fault")
    parser.add_argument(
        "--rounds", type=int, default=2, help="how often the investigator asks the models, two prompts each"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    given = parser.parse_args()
    if given.cases < len(MODELS) or given.cases % len(MODELS):
        parser.error(f"--cases is {given.cases}; give a multiple of {len(MODELS)}, one part a provider")
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(scripted(rounds=given.rounds), drawn(given.seed, given.rate)) as provider,
    ):
        logs = Path(folder) / "logs"
        at_kills = run(provider, logs, given.cases, given.kills)
        figures = count(logs)
    figures |= {
        "samples_logged_at_kills": at_kills,
        "requests": len(provider.asked),
        "faults": dict(sorted(provider.faults.items())),
        "retries": provider.retries,
        "refused_by_server": len(provider.refused),
        "per_case": tokens(provider, given.cases),
        "seconds": round(time.monotonic() - started),
    }
    wrong = lost(figures, given.cases)
    figures["lost"] = wrong
    print(json.dumps(figures, indent=2))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    if wrong:
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    main()
