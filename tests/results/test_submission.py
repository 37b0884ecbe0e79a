"""Packing logs, checking what others packed, and reading both beside logs."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from diffbench.results.frame import grades_frame
from diffbench.results.packing import write_submission
from diffbench.results.redaction import find_secret
from diffbench.results.submission import SubmissionRefused, read_submission
from hand_logs import hand_log, hand_sample
from inspect_ai.model import ChatMessageUser, GenerateConfig, ModelConfig

# In two parts, so that nobody takes this file for one that leaks a key.
KEY = "sk-" + "proj4abcdefghij0123456789"


@pytest.fixture
def log(tmp_path):
    return hand_log(tmp_path / "logs" / "a.eval")


def pack(log, out, **options):
    write_submission(log, out, **({"name": "Alice"} | options))
    return out


def rows(paths):
    """The grades without the name of their log."""
    return grades_frame(paths).frame.drop(columns="log")


def notes(paths):
    return [(item.log, item.reason) for item in grades_frame(paths).left_out]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_manifest_says_what_is_in_it(log, tmp_path):
    out = pack(log, tmp_path / "s.zip", contact="a@example.org")
    manifest = read_submission(out).manifest
    assert (manifest.name, manifest.contact, manifest.kind) == ("Alice", "a@example.org", "logs")
    assert manifest.methods == ("adl",)
    assert {(use.organism, use.key) for use in manifest.artifacts} == {
        ("smol.cake_bake", "key-cake_bake-adl"),
        ("smol.null_identical", "key-null_identical-adl"),
    }
    [entry] = manifest.logs
    assert (entry.task_id, entry.samples, entry.grades, entry.status) == ("task-1", 2, 4, "success")
    assert entry.sha256 == manifest.members["logs/a.eval"].sha256 == sha256(log.read_bytes())
    assert set(manifest.organisms) == {"smol.cake_bake", "smol.null_identical"}
    assert set(manifest.versions) == {"diffbench", "inspect_ai", "python"}
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["logs/a.eval", "manifest.json"]
        assert archive.read("logs/a.eval") == log.read_bytes()


@pytest.mark.parametrize("grades_only", [False, True])
def test_same_logs_same_bytes(log, tmp_path, grades_only):
    first = pack(log, tmp_path / "1.zip", grades_only=grades_only)
    second = pack(log.parent, tmp_path / "2.zip", grades_only=grades_only)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("grades_only", [False, True])
def test_read_like_the_logs_it_holds(log, tmp_path, grades_only):
    out = pack(log, tmp_path / "s.zip", grades_only=grades_only)
    assert rows(out).equals(rows(log))
    assert set(grades_frame(out).frame["log"]) == {f"{out}/logs/a.eval"}


def test_several_are_merged_with_logs(log, tmp_path):
    other = hand_log(tmp_path / "other" / "b.eval", [hand_sample(method="kl")], task_id="task-2")
    third = hand_log(tmp_path / "third" / "c.eval", [hand_sample(method="pca")], task_id="task-3")
    given = [log, pack(other, tmp_path / "o.zip"), pack(third, tmp_path / "t.zip", grades_only=True)]
    assert rows(given).equals(rows([log, other, third]))
    assert notes(given) == []


def test_same_log_in_two_submissions_counts_once(log, tmp_path):
    logs, grades = pack(log, tmp_path / "l.zip"), pack(log, tmp_path / "g.zip", grades_only=True)
    assert rows([grades, logs]).equals(rows(log))
    assert notes([grades, logs]) == [
        (f"{grades}/logs/a.eval", f"duplicate: the same log as {logs}/logs/a.eval, which is counted instead")
    ]
    assert len(rows([log, grades, logs])) == 4
    assert all(f"the same log as {log}" in reason for _, reason in notes([log, grades, logs]))


@pytest.mark.parametrize("grades_only", [False, True])
def test_newer_attempt_in_a_submission_supersedes(log, tmp_path, grades_only):
    sample = hand_sample(grades=(5, 5), uuid="second attempt")
    retry = hand_log(tmp_path / "retry" / "a.eval", [sample], created="2026-02-01T00:00:00+00:00")
    out = pack(retry, tmp_path / "s.zip", grades_only=grades_only)
    frame = grades_frame([log, out]).frame
    assert frame.query("organism == 'cake_bake'")["grade"].tolist() == [5, 5]
    assert (str(log), f"duplicate: superseded by {out}/logs/a.eval") in notes([log, out])
    old = pack(log, tmp_path / "old.zip", grades_only=grades_only)
    assert rows([old, retry]).equals(rows([log, out]))


def test_grades_alone_tell_what_the_logs_held_besides(tmp_path):
    log = hand_log(tmp_path / "a.eval", [hand_sample(), hand_sample("taboo_gold", grades=())], status="cancelled")
    out = pack(log, tmp_path / "s.zip", grades_only=True, allow_partial=True)
    assert [reason for _, reason in notes(out)] == [reason for _, reason in notes(log)]
    assert len(notes(out)) == 2
    assert all(name == f"{out}/logs/a.eval" for name, _ in notes(out))


def test_logs_that_cannot_be_submitted(log, tmp_path):
    cut = hand_log(tmp_path / "cut.eval", status="error")
    bare = hand_log(tmp_path / "bare.eval", [hand_sample(grades=())])
    (tmp_path / "text.eval").write_text("no log")
    with pytest.raises(
        ValueError, match=r"(?s)3 of 4 logs.*cut.*--allow-partial.*bare.*inspect score.*text.*unreadable"
    ):
        pack([log, cut, bare, tmp_path / "text.eval"], tmp_path / "s.zip")
    assert not (tmp_path / "s.zip").exists()
    pack([log, cut], tmp_path / "s.zip", allow_partial=True)
    assert [entry.status for entry in read_submission(tmp_path / "s.zip").manifest.logs] == ["success", "error"]


def test_files_that_are_refused(log, tmp_path):
    out = pack(log, tmp_path / "s.zip")
    before = out.read_bytes()
    with pytest.raises(ValueError, match="exists; remove it or name another"):
        pack(log, out)
    assert out.read_bytes() == before
    with pytest.raises(ValueError, match=r"end it in \.zip"):
        pack(log, tmp_path / "s.eval")
    foreign = hand_log(tmp_path / "b.eval", [hand_sample("no_such_organism")])
    with pytest.raises(ValueError, match=r"smol\.no_such_organism.*DIFFBENCH_ORGANISMS"):
        pack(foreign, tmp_path / "t.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "s.zip", "b.eval"}


def test_two_logs_of_one_name(log, tmp_path):
    other = hand_log(tmp_path / "other" / "a.eval", [hand_sample(method="kl")], task_id="task-2")
    out = pack([log, other], tmp_path / "s.zip")
    assert [entry.name for entry in read_submission(out).manifest.logs] == ["a.eval", "a-2.eval"]
    assert rows(out).equals(rows([log, other]))


@pytest.mark.parametrize("suffix", ["eval", "json"])
def test_fields_that_hold_secrets_are_emptied(tmp_path, suffix):
    log = hand_log(
        tmp_path / f"a.{suffix}",
        model_args={"api_key": KEY, "device": "cuda"},
        model_base_url="http://me:secret@10.0.0.7/v1",
        model_roles={"grader": ModelConfig(model="openai/gpt", base_url="http://10.0.0.8", args={"token": KEY})},
        model_generate_config=GenerateConfig(temperature=0.5, extra_headers={"Authorization": KEY}),
    )
    out = pack(log, tmp_path / "s.zip")
    [entry] = read_submission(out).manifest.logs
    assert entry.stripped == ("base_url", "extra_headers", "model_args", "model_base_url", "model_roles.args")
    with zipfile.ZipFile(out) as archive:
        packed = tmp_path / "packed" / entry.name
        archive.extract(f"logs/{entry.name}", tmp_path / "packed")
        packed = tmp_path / "packed" / "logs" / entry.name
    content = unpacked(packed)
    assert b'"temperature"' in content
    for secret in (KEY, "cuda", "10.0.0"):
        assert secret.encode() in unpacked(log)
        assert secret.encode() not in content
    assert rows(out).equals(rows(log))
    assert "duplicate" in notes([out, log])[0][1]


def unpacked(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return b"\n".join(archive.read(name) for name in archive.namelist())


def test_secret_in_a_transcript_is_refused_but_not_shown(tmp_path):
    log = hand_log(tmp_path / "a.eval", [hand_sample(messages=[ChatMessageUser(content=f"use {KEY} please")])])
    with pytest.raises(ValueError, match=r"a\.eval, samples/smol\.cake_bake.*API key.*--grades-only") as caught:
        pack(log, tmp_path / "s.zip")
    assert KEY not in str(caught.value)
    out = pack(log, tmp_path / "s.zip", grades_only=True)
    assert KEY.encode() not in out.read_bytes()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (KEY, True),
        ("hf" + "_" + "a" * 34, True),
        ("gh" + "p_" + "A1" * 18, True),
        ("AKIA" + "ABCDEFGHIJKLMNOP", True),
        ("-----BEGIN RSA " + "PRIVATE KEY-----", True),
        ("Authorization: Bearer " + "abc.def-123456789012345", True),
        ('"api_key": "' + "hunter2hunter2" + '"', True),
        ("https://me:" + "pass@example.org/x", True),
        ("a sk-learn-based-classification-pipeline", False),
        ("the risk-adjusted-return-of-2024-portfolios", False),
        ("bearer of uncharacteristically bad news", False),
        ("see https://example.org:8080/a@b and hf_transfer", False),
    ],
)
def test_secrets_by_their_form(text, secret):
    assert (find_secret(f"some {text} here".encode()) is not None) == secret


def rewritten(source: Path, target: Path, change) -> Path:
    """A copy whose members went through ``change(dict of name -> content)``."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def manifest_with(**fields):
    def change(members):
        members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | fields).encode()

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update({"logs/a.eval": m["logs/a.eval"][:-1] + b"x"}), "does not match its hash"),
        (lambda m: m.pop("logs/a.eval"), "disagree on logs/a.eval"),
        (lambda m: m.update({"logs/b.eval": b"x"}), "disagree on logs/b.eval"),
        (lambda m: m.pop("manifest.json"), "has no manifest.json"),
        (lambda m: m.update({"manifest.json": b"{"}), "manifest.json"),
        (lambda m: m.update({"../evil.eval": b"x"}), r"member '\.\./evil\.eval'; allowed"),
        (lambda m: m.update({"/etc/evil.eval": b"x"}), "member '/etc/evil.eval'; allowed"),
        (lambda m: m.update({"logs/../../evil.eval": b"x"}), r"member 'logs/\.\./\.\./evil\.eval'; allowed"),
        (lambda m: m.update({"logs\\evil.eval": b"x"}), "evil.eval'; allowed"),
        (lambda m: m.update({"C:evil.eval": b"x"}), "member 'C:evil.eval'; allowed"),
        (manifest_with(format_version=2), "has format version 2; this diffbench reads 1"),
        (manifest_with(surprise=1), "surprise: Extra inputs are not permitted"),
    ],
)
def test_changed_submissions_are_refused(log, tmp_path, change, said):
    bad = rewritten(pack(log, tmp_path / "s.zip"), tmp_path / "bad.zip", change)
    with pytest.raises(SubmissionRefused, match=said):
        read_submission(bad)
    # Beside a good log it is a note, not the end.
    frame = grades_frame([log, bad])
    assert len(frame.frame) == 4
    [note] = [item for item in frame.left_out if item.log == str(bad)]
    assert "bad.zip" in note.reason
    assert not list(tmp_path.parent.rglob("evil.eval"))


def test_links_and_repeated_names_are_refused(log, tmp_path):
    out = pack(log, tmp_path / "s.zip")
    link = zipfile.ZipInfo("logs/link.eval")
    link.external_attr = 0o120777 << 16
    for number, info in enumerate([link, zipfile.ZipInfo("logs/a.eval")]):
        bad = tmp_path / f"{number}.zip"
        bad.write_bytes(out.read_bytes())
        with zipfile.ZipFile(bad, "a") as archive:
            archive.writestr(info, "/etc/passwd")
    with pytest.raises(SubmissionRefused, match=r"logs/link\.eval'; allowed"):
        read_submission(tmp_path / "0.zip")
    with pytest.raises(SubmissionRefused, match=r"logs/a\.eval more than once"):
        read_submission(tmp_path / "1.zip")


def test_size_limit_and_files_that_are_none(log, tmp_path):
    out = pack(log, tmp_path / "s.zip")
    with pytest.raises(SubmissionRefused, match="read are at most 100"):
        read_submission(out, limit=100)
    (tmp_path / "t.zip").write_text("no zip")
    with pytest.raises(SubmissionRefused, match="no whole submission"):
        read_submission(tmp_path / "t.zip")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(out.read_bytes()[: out.stat().st_size // 2])
    with pytest.raises(SubmissionRefused, match="no whole submission"):
        read_submission(cut)
    with pytest.raises(FileNotFoundError, match="diffbench submit"):
        read_submission(tmp_path / "none.zip")


def test_packed_grades_that_do_not_add_up(log, tmp_path):
    out = pack(log, tmp_path / "s.zip", grades_only=True)
    [entry] = json.loads(zipfile.ZipFile(out).read("manifest.json"))["logs"]
    bad = rewritten(out, tmp_path / "bad.zip", manifest_with(logs=[entry | {"grades": 9}]))
    with pytest.raises(ValueError, match=r"(?s)no grade could be read.*4 grades of a\.eval, not 9"):
        grades_frame(bad)


def test_folders_are_searched_for_submissions_too(log, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    pack(log, folder / "s.zip")
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.writestr("cat.jpg", b"meow")
    assert rows(folder).equals(rows(log))
    assert any("cat.jpg" in reason for _, reason in notes(folder))
