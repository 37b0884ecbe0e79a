"""What methods cost: against the bare forward passes they need, alone against together, and in memory.

    python performance/methods.py [--organism smol.cake_bake] [--texts 80] [--memory-texts 500 5000] [--content]
        [--json FILE]

Times are ratios within one run on the same texts, each the median of alternating repeats:

- `pass_to_bare`: a method's pass against plain forward passes of both models on the same tokens, in the same batches:
  up to the deepest layer it reads, or with the logits of all real tokens when it reads those.
- `shared_to_sum`: one pass for all methods against the sum of their passes.
- `peak_memory`: of processes of their own that run the shared pass on few and on many texts (and as many chats).

With `--content` also what each method does after its pass (lenses, decompositions, sampling); that is the same with
shared and with single passes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from diffbench.methods.activations.corpus import Corpus, probe_corpus
from diffbench.methods.activations.encoding import chunks, padded
from diffbench.methods.activations.lens import final_hidden, residual, unembed
from diffbench.methods.activations.passes import BATCH_SIZE, CHUNK_TOKENS, Collector, Need, Work, run_pass, visible
from diffbench.methods.contract import PassMethod
from diffbench.methods.memory import PeakMemory
from diffbench.methods.registry import config_for, find_method, list_methods
from diffbench.models.targets import Pair
from diffbench.organisms.loading import load_pair
from diffbench.organisms.suites import find_organism

REPEATS = 3


def corpus_of(texts: int) -> Corpus:
    """The first texts, and as many chats, of the probe corpus; from its start again when they are more."""
    probe = probe_corpus()
    lines, chats = (tuple(rows[i % len(rows)] for i in range(texts)) for rows in (probe.texts, probe.chats))
    return Corpus(name=f"probe-{texts}", texts=lines, chats=chats)


def pass_methods() -> list[PassMethod]:
    return [method for method in map(find_method, list_methods()) if isinstance(method, PassMethod)]


def collectors(pair: Pair, corpus: Corpus, methods: Iterable[PassMethod]) -> list[Collector]:
    suite = suite_of(pair)
    return [method.collector(pair, corpus, config_for(method, suite)) for method in methods]


def suite_of(pair: Pair) -> str:
    return find_organism(pair.name).suite


def bare(pair: Pair, corpus: Corpus, need: Need) -> None:
    """Plain forward passes of both models on what ``need`` sees, and nothing else."""
    for chunk in chunks(visible(corpus, pair.base, [need]), BATCH_SIZE):
        ids, mask = padded(chunk, pair.base.network)
        for target in pair:
            if not need.logits:
                residual(target, ids, mask, max(need.layers))
                continue
            hidden = final_hidden(target, ids, mask)[mask.bool()]
            for start in range(0, len(hidden), CHUNK_TOKENS):
                unembed(target, hidden[start : start + CHUNK_TOKENS])


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def tokens(pair: Pair, corpus: Corpus, needs: list[Need]) -> int:
    return sum(len(item.ids) for item in visible(corpus, pair.base, needs))


def times(pair: Pair, corpus: Corpus, methods: list[PassMethod], repeats: int) -> dict[str, Any]:
    """Medians over repeats in which bare passes, single passes and the shared pass take turns."""

    def watch(chosen: list[PassMethod]) -> None:
        run_pass([Work(pair, collectors(pair, corpus, chosen))], corpus)

    needs = [collector.need for collector in collectors(pair, corpus, methods)]
    watch(methods)  # once to warm up
    bares: list[list[float]] = [[] for _ in methods]
    singles: list[list[float]] = [[] for _ in methods]
    shared = []
    for _ in range(repeats):
        for i, (method, need) in enumerate(zip(methods, needs, strict=True)):
            bares[i].append(seconds(lambda need=need: bare(pair, corpus, need)))
            singles[i].append(seconds(lambda method=method: watch([method])))
        shared.append(seconds(lambda: watch(methods)))
    together = statistics.median(shared)
    rows = {}
    for method, need, plain, single in zip(methods, needs, bares, singles, strict=True):
        seen, took = tokens(pair, corpus, [need]), statistics.median(single)
        rows[method.name] = {
            "tokens": seen,
            "bare_seconds": round(statistics.median(plain), 3),
            "pass_seconds": round(took, 3),
            "pass_to_bare": round(took / statistics.median(plain), 3),
            "tokens_per_second": round(seen / took, 1),
        }
    seen, total = tokens(pair, corpus, needs), sum(statistics.median(single) for single in singles)
    return {
        "methods": rows,
        "all": {
            "tokens": seen,
            "pass_seconds": round(together, 3),
            "sum_of_single_passes": round(total, 3),
            "shared_to_sum": round(together / total, 3),
            "tokens_per_second": round(seen / together, 1),
        },
    }


def content_seconds(pair: Pair, corpus: Corpus, methods: list[PassMethod]) -> dict[str, float]:
    """Seconds of what each method does after the pass, once."""
    watching = collectors(pair, corpus, methods)
    run_pass([Work(pair, watching)], corpus)
    return {
        method.name: round(
            seconds(lambda m=method, c=collector: m.content(pair, corpus, config_for(m, suite_of(pair)), c)), 3
        )
        for method, collector in zip(methods, watching, strict=True)
    }


def measure_memory(organism: str, texts: int) -> None:
    """What the child process does: prints the resident memory before the shared pass and its peak, in MiB."""
    pair = load_pair(find_organism(organism))
    corpus, methods = corpus_of(texts), pass_methods()
    # Once on a little, so that what libraries allocate on first use counts as there before.
    little = corpus_of(2)
    run_pass([Work(pair, collectors(pair, little, methods))], little)
    with PeakMemory(every=0.01) as before:
        time.sleep(0.05)
    with PeakMemory(every=0.01) as during:
        run_pass([Work(pair, collectors(pair, corpus, methods))], corpus)
    figures = {
        "before_mib": before.peak_mib,
        "peak_mib": during.peak_mib,
        "grown_mib": during.peak_mib - before.peak_mib,
    }
    print(json.dumps({"texts": texts, **{name: round(value, 1) for name, value in figures.items()}}))


def memory(organism: str, sizes: Iterable[int]) -> dict[str, Any]:
    """Peak memory on few and on many texts, each in a process of its own."""
    rows = []
    for texts in sizes:
        command = [
            sys.executable,
            __file__,
            "--organism",
            organism,
            "--measure-memory",
            str(texts),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - this very file
        rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
    few, many = rows
    return {"few": few, "many": many, "many_to_few": round(many["peak_mib"] / few["peak_mib"], 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--organism", default="smol.cake_bake")
    parser.add_argument("--texts", type=int, default=80, help="texts, and as many chats")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument(
        "--memory-texts", type=int, nargs=2, metavar=("FEW", "MANY"), help="default: a quarter of --texts, and all"
    )
    parser.add_argument(
        "--content", action="store_true", help="also what methods do after the pass; samples for minutes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as JSON")
    parser.add_argument("--measure-memory", type=int, metavar="TEXTS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_memory:
        measure_memory(options.organism, options.measure_memory)
        return
    pair, corpus, methods = load_pair(find_organism(options.organism)), corpus_of(options.texts), pass_methods()
    figures = {"organism": options.organism, "texts": options.texts, **times(pair, corpus, methods, options.repeats)}
    if options.content:
        figures["content_seconds"] = content_seconds(pair, corpus, methods)
    sizes = options.memory_texts or (max(1, options.texts // 4), options.texts)
    figures["peak_memory"] = memory(options.organism, sizes)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
