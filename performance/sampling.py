"""What batching buys: tokens per second of 1 and of 64 sequences, and what mixing adapters in a batch costs.

    python performance/sampling.py [--json]

Ratios within one run; the absolute figures depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from diffbench.models.network import Network
from diffbench.models.requests import Request
from diffbench.organisms.loading import load_pair
from diffbench.organisms.suites import load_suite

TOKENS = 24
REPEATS = 3


def tokens_per_second(network: Network, adapters: list[str | None]) -> float:
    """Median over repeats of tokens written a second by one batch, a row for each of ``adapters``."""
    prompt = network.render_chat([{"role": "user", "content": "Count from one to one hundred, in words."}])
    rates = []
    for _ in range(REPEATS):
        requests = [Request(prompt, adapter, max_tokens=TOKENS, seed=i) for i, adapter in enumerate(adapters)]
        started = time.perf_counter()
        written = sum(completion.output_tokens for completion in network.generate(requests))
        rates.append(written / (time.perf_counter() - started))
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    pairs = [load_pair(organism) for organism in load_suite("smol")]
    network = pairs[0].base.network
    names = [pair.finetuned.adapter for pair in pairs if pair.finetuned.adapter]
    one = tokens_per_second(network, [None])
    base = tokens_per_second(network, [None] * 64)
    single = tokens_per_second(network, [names[0]] * 64)
    mixed = tokens_per_second(network, ([None, *names] * 64)[:64])
    figures = {
        "tokens_per_second_1": round(one, 1),
        "ratio_64_to_1": round(base / one, 2),
        "ratio_one_adapter_to_base": round(single / base, 2),
        "ratio_mixed_to_base": round(mixed / base, 2),
    }
    print(json.dumps(figures) if as_json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
