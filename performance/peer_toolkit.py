"""Our methods beside the code of science-of-finetuning's diffing toolkit: do the numbers agree, and what do they cost?

    python performance/peer_toolkit.py --toolkit PATH [--organism smol.cake_bake] [--texts 48] [--json FILE]

PATH is a checkout of github.com/science-of-finetuning/diffing-toolkit. What its modules import for dashboards, vLLM,
graders and activation caches is replaced by empty modules; none of it is measured. Both sides run the same two models
on the same tokens, in one process with the same threads, dtype and attention, each in batches of its default size:

- `kl`: its `KLDivergenceDiffingMethod.process_dataset`, given the tokens and without its store of top examples, against
  our whole method, which tokenizes and keeps top texts.
- `adl`: its `extract_first_n_tokens_activations` on both models and the means it takes, without its files, against our
  means at the same positions of the same layer.
- `activation_norms`: the same extraction at our layers, then its `compute_activation_statistics` text by text, without
  its cache on disk, plots, totals and stores, against our whole method.

Agreement comes first: the largest difference of any single number. Times are medians of alternating repeats; `ratio` is
the toolkit's over ours. CPU seconds say more than wall seconds where other work shares the machine.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from diffbench.methods.activation_norms.collector import NormsCollector
from diffbench.methods.activation_norms.config import ActivationNormsConfig
from diffbench.methods.activation_norms.method import ActivationNormsMethod
from diffbench.methods.activations.corpus import Corpus, probe_corpus
from diffbench.methods.activations.encoding import encode_texts
from diffbench.methods.activations.passes import Work, run_pass
from diffbench.methods.adl.config import AdlConfig
from diffbench.methods.adl.differences import PositionMeans, mean_differences
from diffbench.methods.contract import MethodConfig
from diffbench.methods.kl.collector import KlCollector
from diffbench.methods.kl.config import KlConfig
from diffbench.methods.kl.method import KlMethod
from diffbench.models.references import PeftAdapter
from diffbench.models.targets import Pair
from diffbench.organisms.loading import load_pair
from diffbench.organisms.suites import Organism, find_organism
from diffbench.records.progress import untracked

SIZES = ("organism", "texts", "repeats", "threads", "dtype")
TOGETHER = 4
"""Lines of the probe corpus that make one text, so that it is as long as the toolkit's published 128 tokens."""
POSITIONS = 128
PEER = "github.com/science-of-finetuning/diffing-toolkit"
NEEDED = "nnterp 'nnsight<0.8' omegaconf hydra-core loguru datasets (or what the checkout's uv.lock pins)"
BARE = ("diffing", "diffing.methods", "diffing.utils")
"""Packages of the toolkit whose ``__init__`` imports every method; only their modules that are asked for are read."""
LENS = "diffing.methods.activation_difference_lens"
EMPTY = (
    *("dictionary_learning", "openai", "streamlit", "tiny_dashboard", "vllm"),
    *("diffing.utils.agents", "diffing.utils.dashboards", "diffing.utils.graders"),
    *(f"{LENS}.{name}" for name in "agents auto_patch_scope causal_effect steering token_relevance ui".split()),
)
"""Modules that are replaced, with all below them."""
METHODS = ("diffing.methods.kl.method", f"{LENS}.method", "diffing.methods.activation_analysis.method")


class EmptyModule(ModuleType):
    """Gives a class that takes anything for whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda *_, **__: None})


class EmptyModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """While it is entered, an import of a name in ``EMPTY`` or below gives an empty module."""

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self)

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)
        for name in [name for name, module in sys.modules.items() if isinstance(module, EmptyModule)]:
            del sys.modules[name]  # lest other libraries take them for installed

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        known = any(f"{name}.".startswith(f"{root}.") for root in EMPTY)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return EmptyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


@dataclass(frozen=True)
class Peer:
    """The toolkit's modules in the order of ``METHODS`` and its two models."""

    kl: Any
    lens: Any
    norms: Any
    config: Callable[[str], Any]
    """Reads its settings of a method."""
    base: Any
    finetuned: Any

    def method(self, cls: Any, config: str) -> Any:
        """A method of the toolkit with its published settings, on models that are loaded already."""
        made = cls.__new__(cls)  # its __init__ wants the configuration of a whole experiment
        named = SimpleNamespace(model_id="")
        made.method_cfg, made.base_model_cfg, made.finetuned_model_cfg = self.config(config), named, named
        made._base_model, made._finetuned_model, made._tokenizer = self.base, self.finetuned, self.base.tokenizer
        made.logger = SimpleNamespace(info=lambda _: None)
        return made


def load_peer(folder: Path, organism: Organism, dtype: torch.dtype) -> Peer:
    """Import the toolkit and load both models the way it does; leaves with a message where that cannot be."""
    origin = organism.origin
    if not isinstance(organism.finetuned, PeftAdapter):
        sys.exit(f"--organism {organism.id}: a {organism.finetuned.kind}; take one that is a LoRA adapter on its base")
    source = folder / "src" / "diffing"
    if not (source / "methods" / "kl" / "method.py").is_file():
        sys.exit(f"--toolkit {folder}: no src/diffing/methods/kl/method.py there; give a checkout of {PEER}")
    for name in BARE:
        module = sys.modules[name] = ModuleType(name)
        module.__path__ = [str(source.joinpath(*name.split(".")[1:]))]
    try:
        loguru, omegaconf, *_ = map(importlib.import_module, ("loguru", "omegaconf", "nnsight", "nnterp", "datasets"))
        with EmptyModules():
            model, *methods = map(importlib.import_module, ("diffing.utils.model", *METHODS))
    except ImportError as error:
        sys.exit(f"--toolkit {folder}: its code cannot be imported: {error}; pip install {NEEDED}")
    loguru.logger.remove()
    path, adapter = origin.full_base.source(origin), organism.finetuned.folder(origin)
    load = partial(model.load_model, path, dtype, None, subfolder="")
    base, finetuned = load(adapter_ids=None), load(adapter_ids=[str(adapter)])
    settings = folder / "configs" / "diffing" / "method"
    return Peer(*methods, lambda name: omegaconf.OmegaConf.load(settings / f"{name}.yaml"), base, finetuned)


def corpus_of(texts: int) -> Corpus:
    """Texts of some lines of the probe corpus each, every text beginning with another line."""
    lines = probe_corpus().texts
    if not 1 <= texts <= len(lines):
        sys.exit(f"--texts {texts}: the probe corpus gives 1 to {len(lines)}")
    starts = [i * TOGETHER + i * TOGETHER // len(lines) for i in range(texts)]
    joined = (" ".join(lines[(start + j) % len(lines)] for j in range(TOGETHER)) for start in starts)
    return Corpus(name=f"peer-{texts}", texts=tuple(joined))


Ids = Sequence[tuple[int, ...]]
Pairs = Iterator[tuple[float, float]]


def peer_kl(peer: Peer, rows: Ids) -> list[list[float]]:
    """Per-token values, taken where the toolkit hands them to its store of examples."""
    kept: list[list[float]] = []

    def keep(scores_per_token_batch: torch.Tensor, attention_mask_batch: torch.Tensor, **_: object) -> None:
        pairs = zip(scores_per_token_batch, attention_mask_batch, strict=True)
        kept.extend(values[mask.bool()].tolist() for values, mask in pairs)

    method = peer.method(peer.kl.KLDivergenceDiffingMethod, "kl")
    method.load_sample_cache = lambda _: SimpleNamespace(sequences=[torch.tensor(ids) for ids in rows])
    stores = [SimpleNamespace(add_batch_examples=taking) for taking in (keep, lambda **_: None)]
    method.process_dataset(SimpleNamespace(id="probe", name="probe"), *stores)
    return kept


def peer_activations(peer: Peer, rows: Ids, layers: list[int]) -> list[dict[int, torch.Tensor]]:
    size, first = peer.config("activation_difference_lens").batch_size, [list(ids[:POSITIONS]) for ids in rows]
    extract = peer.lens.extract_first_n_tokens_activations
    return [extract(model, first, layers, size) for model in (peer.base, peer.finetuned)]


def peer_means(peer: Peer, rows: Ids, layer: int) -> torch.Tensor:
    base, finetuned = (acts[layer] for acts in peer_activations(peer, rows, [layer]))
    # As its compute_differences, which also takes the means of both models.
    return torch.stack([(finetuned - base).mean(dim=0), base.mean(dim=0), finetuned.mean(dim=0)])[0]


def peer_norms(peer: Peer, rows: Ids, layers: list[int]) -> dict[int, list[torch.Tensor]]:
    method = peer.method(peer.norms.ActivationAnalysisDiffingMethod, "activation_analysis")
    base, finetuned = peer_activations(peer, rows, layers)
    found: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}
    for layer in layers:
        collectors = peer.norms.init_collectors([])
        for ids, b, f in zip(rows, base[layer], finetuned[layer], strict=True):
            both, tokens = torch.stack([b, f], dim=1), torch.tensor(ids[:POSITIONS])
            found[layer].append(method.compute_activation_statistics(both, tokens, collectors)[0])
    return found


def watched(pair: Pair, corpus: Corpus, method: Any, config: MethodConfig) -> Any:
    """A whole method of ours, as its ``diff``, for the collector."""
    collector = method.collector(pair, corpus, config)
    run_pass([Work(pair, [collector])], corpus)
    method.content(pair, corpus, config, collector)
    return collector


def apart(pairs: Iterable[tuple[float, float]]) -> dict[str, float]:
    """How far the toolkit's numbers are from ours, which come second."""
    both = list(pairs)
    worst = max(abs(theirs - ours) for theirs, ours in both)
    return {"numbers": len(both), "largest": max(abs(ours) for _, ours in both), "max_abs_difference": worst}


def kl_pairs(theirs: list[list[float]], ours: KlCollector) -> Pairs:
    for row in ours.by_mean.ranked():
        yield from zip(theirs[row.item.index], row.values, strict=True)


def mean_pairs(theirs: torch.Tensor, ours: PositionMeans) -> Pairs:
    mine = torch.stack([ours.difference(position) for position in ours.base])
    yield from zip(theirs.flatten().tolist(), mine.flatten().tolist(), strict=True)


def norm_pairs(theirs: dict[int, list[torch.Tensor]], ours: NormsCollector) -> Pairs:
    for layer, gathered in ours.layers.items():
        for row in gathered.by_max.ranked():
            yield from zip(theirs[layer][row.item.index][row.columns].tolist(), row.values["difference"], strict=True)


def compare(theirs: Callable[[], Any], ours: Callable[[], Any], repeats: int) -> dict[str, dict[str, float]]:
    """Medians of alternating repeats, in wall and in CPU seconds."""
    clocks = {"wall_seconds": time.perf_counter, "cpu_seconds": time.process_time}
    taken: dict[str, list[list[float]]] = {name: [[], []] for name in clocks}
    for turn in range(2 * repeats):
        started = {name: clock() for name, clock in clocks.items()}
        (theirs, ours)[turn % 2]()
        for name, clock in clocks.items():
            taken[name][turn % 2].append(clock() - started[name])
    figures = {}
    for name, sides in taken.items():
        peer, mine = map(statistics.median, sides)
        figures[name] = {"toolkit": round(peer, 2), "ours": round(mine, 2), "ratio": round(peer / mine, 2)}
    return figures


def measure(pair: Pair, peer: Peer, corpus: Corpus, repeats: int) -> dict[str, Any]:
    """Agreement, then time, of each method; the run for the agreement is also the warm-up."""
    rows = [item.ids for item in encode_texts(pair.base.network, corpus, KlConfig().max_tokens)]
    if min(map(len, rows)) < POSITIONS:
        sys.exit(f"a text has {min(map(len, rows))} tokens, the toolkit wants {POSITIONS} of each; raise TOGETHER")
    kl, lens = KlConfig(top_texts=len(rows)), AdlConfig(positions=POSITIONS, max_tokens=POSITIONS)
    norms = ActivationNormsConfig(max_tokens=POSITIONS, top_texts=len(rows))
    layer, *layers = (int(share * len(pair.base.network.layers)) for share in (lens.layer, *norms.layers))
    whole, our_norms = partial(watched, pair, corpus), ActivationNormsMethod()
    our_means = partial(mean_differences, pair, corpus, lens, untracked)
    sides: dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[Any, Any], Pairs]]] = {
        "kl": (partial(peer_kl, peer, rows), partial(whole, KlMethod(), kl), kl_pairs),
        "adl": (partial(peer_means, peer, rows, layer), our_means, mean_pairs),
        "activation_norms": (partial(peer_norms, peer, rows, layers), partial(whole, our_norms, norms), norm_pairs),
    }
    figures: dict[str, Any] = {"tokens": {"kl": sum(map(len, rows)), "others": POSITIONS * len(rows)}, "agreement": {}}
    for name, (theirs, ours, pairs) in sides.items():
        figures["agreement"][name] = apart(pairs(theirs(), ours()))
        print(f"agreement {name}: {figures['agreement'][name]}", flush=True)
    for name, (theirs, ours, _) in sides.items():
        figures[name] = compare(theirs, ours, repeats)
        print(f"time {name}: {figures[name]}", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toolkit", type=Path, required=True, metavar="PATH", help=f"a checkout of {PEER}")
    parser.add_argument("--organism", default="smol.cake_bake")
    parser.add_argument("--texts", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    organism = find_organism(options.organism)
    pair = load_pair(organism, options.dtype)
    peer = load_peer(options.toolkit, organism, getattr(torch, options.dtype))
    asked = ["git", "-C", str(options.toolkit), "rev-parse", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    run = {"toolkit": commit or "unknown", **{name: getattr(options, name) for name in SIZES}}
    print(run, flush=True)
    figures = {**run, **measure(pair, peer, corpus_of(options.texts), options.repeats)}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
