"""The audit of transcripts with inspect-scout: ``scout scan examples/leak_scanner.py -T logs/``."""

from diffbench.benchmark.audit.scout import leak_scanner
from inspect_scout import ScanJob, scanjob


@scanjob
def leaks() -> ScanJob:
    """Counts what an investigator saw and must not have seen."""
    return ScanJob(scanners=[leak_scanner()])
