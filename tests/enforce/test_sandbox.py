"""Programs in the sandbox: ``hold --sandbox`` and ``lease.run``."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import command_line, environment, error_of, run

from .ground import NOBODY, run_as
from .scripts import python, without_landlock
from .test_levels import landlock_missing

pytestmark = pytest.mark.skipif(bool(landlock_missing()), reason=landlock_missing())


def hold(volume: Path, script: str, *options: str, paths: tuple[str, ...] = ("a",)) -> str:
    """What a shell in the sandbox said on stdout."""
    leased = [volume / path for path in paths]
    result = run("hold", "--sandbox", *options, *leased, "--", "sh", "-c", script, cwd=volume)
    assert "enforcement: level landlock" in result.stderr, result.stderr
    return result.stdout


def test_it_says_what_the_command_is_kept_to(volume: Path) -> None:
    show = "echo $VOLUMELEASE_ENFORCEMENT"
    result = run("hold", "--sandbox", volume / "a", "--", "sh", "-c", show)
    assert result.stdout == "landlock\n"
    assert (
        f"volumelease: enforcement: level landlock: the command can write on {volume} only below "
        f"{volume}/a; and make nothing new right in " in result.stderr
    )
    assert str(volume.parent) in result.stderr.split("right in ")[1]


def test_a_path_that_is_not_there_is_made(volume: Path) -> None:
    script = "echo x > new/deep/f && cat new/deep/f; echo x > new/g 2>&- || echo no"
    assert hold(volume, script, paths=("new/deep",)) == "x\nno\n"


def test_a_single_file_can_be_written_and_not_replaced(volume: Path) -> None:
    script = "echo y > b/f; cat b/f; rm b/f 2>&- || echo no; echo z > b/g 2>&- || echo no"
    assert hold(volume, script, paths=("b/f",)) == "y\nno\nno\n"


def test_several_paths_and_the_whole_volume(volume: Path) -> None:
    assert hold(volume, "echo y > b/f && mv b/f a/g && echo done", paths=("a", "b")) == "done\n"
    assert hold(volume, "echo y > b/f && mkdir b/c && echo done", paths=("",)) == "done\n"


def test_under_a_lease_on_the_whole_volume_the_log_and_what_is_published_can_not_be_written(
    volume: Path,
) -> None:
    done = run("populate", volume / "a/model", "--", "sh", "-c", "mkdir {} && echo x > {}/w")
    assert done.returncode == 0, done.stderr
    script = (
        "echo y > a/model/w 2>&- || echo no; cat a/model/w; "
        "touch .volumelease/x 2>&- || echo no; mkdir c 2>&- || echo no"
    )
    words = ("hold", "--sandbox", volume, "--", "sh", "-c", script)
    result = run(*words, cwd=volume)
    assert result.stdout == "no\nx\nno\nno\n"
    assert f", {volume}\n" in result.stderr.split("nothing new right in ")[1]


def test_where_leases_are_raised_to_the_whole_volume_the_command_is_kept_to_what_was_asked_for(
    volume: Path,
) -> None:
    script = (
        "echo y > a/f && echo done; echo y > b/f 2>&- || echo no; touch .volumelease/x || echo no"
    )
    words = ("hold", "--sandbox", volume / "a", "--", "sh", "-c", script)
    result = run(*words, cwd=volume, env={"VOLUMELEASE_SCOPE": "volume"})
    assert result.stdout == "done\nno\nno\n"
    assert f"only below {volume}/a;" in result.stderr


def test_under_a_shared_lease_nothing_can_be_written(volume: Path) -> None:
    assert hold(volume, "cat b/f; echo x > a/f 2>&- || echo no", "--shared") == "fno\n"


def test_a_published_version_can_not_be_written(volume: Path) -> None:
    done = run("populate", volume / "a/model", "--", "sh", "-c", "mkdir {} && echo x > {}/w")
    assert done.returncode == 0, done.stderr
    script = "echo y > a/model/w 2>&- || echo no; cat a/model/w"
    assert hold(volume, script, paths=("a/model",)) == "no\nx\n"
    assert hold(volume, script) == "no\nx\n"


def test_what_is_deleted_and_made_anew_can_not_be_written(volume: Path) -> None:
    wait = f"while [ ! -e {volume.parent}/again ]; do sleep 0.1; done"
    script = f"echo go; {wait}; echo x > a/f 2>&- || echo no"
    words = command_line("hold", "--sandbox", volume / "a", "--", "sh", "-c", script)
    with subprocess.Popen(
        words, cwd=volume, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        (volume / "a").rmdir()
        (volume / "a").mkdir()
        (volume.parent / "again").touch()
        assert process.stdout.read() == "no\n"


def test_a_second_mount_of_the_volume_is_closed_too(volume: Path) -> None:
    other = volume.parent / "other"
    other.mkdir()
    script = f'mount --bind {volume} {other} && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh"]
    inside = f"cat {other}/b/f; echo x > {other}/b/f || echo no; echo x > {other}/a/f && echo yes"
    held = command_line("hold", "--sandbox", volume / "a", "--", "sh", "-c", inside)
    done = subprocess.run(
        words + held, env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.stdout == "fno\nyes\n", done.stderr


def test_status_in_the_sandbox_says_so(volume: Path) -> None:
    words = [sys.executable, "-m", "volumelease", "status", "--json", str(volume)]
    result = run("hold", "--sandbox", volume / "a", "--", *words)
    assert json.loads(result.stdout)["enforcement"] == "landlock"


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (1, "moved: EXDEV, cut: 0, elsewhere: EACCES, leased: 0"),
        (2, "moved: 0, cut: 0, elsewhere: EACCES, leased: 0"),
        (3, "moved: 0, cut: EACCES, elsewhere: EACCES, leased: 0"),
        (99, "moved: 0, cut: EACCES, elsewhere: EACCES, leased: 0"),
    ],
)
def test_older_kernels_deny_what_they_can(volume: Path, version: int, said: str) -> None:
    script = """
        import errno
        from volumelease.enforce import landlock, sandbox
        landlock.abi = lambda: int(sys.argv[2])
        (V / "a/d").mkdir(); (V / "a/x").touch()
        plan = sandbox.Plan((str(V),), (str(V / "a"),))
        landlock.confine(sandbox.ruleset(plan))
        def attempt(name, work):
            try: work()
            except OSError as error: return f"{name}: {errno.errorcode[error.errno]}"
            return f"{name}: 0"
        print(
            attempt("moved", lambda: os.rename(V / "a/x", V / "a/d/x")),
            attempt("cut", lambda: os.truncate(V / "b/f", 0)),
            attempt("elsewhere", lambda: open(V / "b/f", "w")),
            attempt("leased", lambda: open(V / "a/y", "w")),
            sep=", ",
        )
    """
    assert python(script, volume, str(version)) == [said]


# ---- where there is no Landlock


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSYS, "this kernel has no Landlock (Linux 5.13 or later), or a seccomp profile"),
        (errno.EPERM, "a seccomp profile of this container forbids Landlock"),
        (errno.EOPNOTSUPP, "Landlock is switched off in this kernel"),
    ],
)
def test_without_landlock_it_says_so_and_goes_on_or_exits_with_78(
    volume: Path, code: int, reason: str
) -> None:
    def held(*options: str) -> subprocess.CompletedProcess[str]:
        show = ["sh", "-c", "echo $VOLUMELEASE_ENFORCEMENT; echo x > b/f"]
        words = command_line("hold", *options, volume / "a", "--", *show)
        return subprocess.run(
            without_landlock(code) + words,
            cwd=volume,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    lower = held("--sandbox")
    assert (lower.returncode, lower.stdout) == (0, "none\n")
    assert f"volumelease: enforcement: level none instead of landlock: {reason}" in lower.stderr
    (volume / "b/f").write_text("as it was")
    for level in ("landlock", "python"):
        refused = held("--require", level)
        assert refused.returncode == 78
        what, advice = error_of(refused)
        assert what.startswith(f"level {level} is required, and can't be had here: {reason}")
        assert "doctor" in advice
    assert (volume / "b/f").read_text() == "as it was"


def test_a_level_that_does_not_exist_yet_is_refused(volume: Path) -> None:
    result = run("hold", "--require", "supervised", volume / "a", "--", "true")
    assert result.returncode == 78
    error_of(result)


def test_doctor_says_what_was_denied_and_what_could_not_be(volume: Path) -> None:
    def checks(before: list[str], env: dict[str, str] | None = None) -> dict[str, dict[str, str]]:
        words = before + command_line("doctor", "--json", volume)
        done = subprocess.run(
            words, env=environment(env or {}), capture_output=True, text=True, check=False
        )
        return {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    found = checks([])
    assert found["landlock"]["outcome"] == found["guard"]["outcome"] == "ok"
    assert "the kernel refused a child's write" in found["landlock"]["detail"]
    found = checks(without_landlock(errno.EPERM), {"VOLUMELEASE_GUARD": "warn"})
    assert found["landlock"]["outcome"] == found["guard"]["outcome"] == "warn"
    assert "seccomp" in found["landlock"]["detail"]


def test_doctor_and_status_work_as_nobody(volume: Path) -> None:
    for path in (volume, *volume.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    for parent in volume.parents:
        if parent.owner() != "root" or parent.stat().st_mode & 0o077 == 0:
            os.chmod(parent, 0o755)
    done = run_as(NOBODY, "-m", "volumelease", "doctor", "--json", volume)
    found = {check["name"]: check["outcome"] for check in json.loads(done.stdout)["checks"]}
    assert (found["guard"], found["landlock"]) == ("ok", "ok"), done.stdout
    done = run_as(NOBODY, "-m", "volumelease", "status", "--json", volume)
    assert json.loads(done.stdout)["enforcement"] == "python"


# ---- lease.run


def test_a_child_of_python_keeps_to_the_leased_paths_and_drafts(volume: Path) -> None:
    said = python(
        """
        with volume_lease(V / "a") as lease:
            with lease.stage(V / "a/model") as draft:
                lease.run(["sh", "-ec", 'mkdir "$0"; echo x > "$0/w"', str(draft)], check=True)
            done = lease.run(
                ["sh", "-c", "cat; echo $VOLUMELEASE_TOKEN $VOLUMELEASE_PATHS; echo x > ../b/f"],
                cwd=V / "a", input="in ", text=True, capture_output=True,
            )
            print(done.stdout == f"in {lease.token} {V}/a\\n", "ermission denied" in done.stderr)
            print((V / "a/model/w").read_text(), (V / "b/f").read_text())
            try: lease.run(["false"], check=True)
            except Exception as error: print(error)
            try: lease.run(["no such program"])
            except FileNotFoundError as error: print("not found")
        with volume_lease(V / "a", shared=True) as lease:
            print(lease.run(["sh", "-c", 'echo x 2>&- > "$0/a/f"', str(V)], stderr=-3).returncode)
        try: lease.run(["true"])
        except LeaseLost as error: print(error.reason)
        """,
        volume,
    )
    assert said == [
        "True True",
        "x",
        " f",
        "Command '['false']' returned non-zero exit status 1.",
        "not found",
        "2",
        "released",
    ]


def test_a_program_is_ended_with_its_lease_its_timeout_and_its_process(volume: Path) -> None:
    said = python(
        """
        import signal, subprocess, threading
        MARK = b"sleep\\0" + sys.argv[2].encode() + b"\\0"
        def pids(): return [p for p in os.listdir("/proc") if p.isdigit() and mine(p)]
        def mine(pid):
            try: return Path("/proc", pid, "cmdline").read_bytes() == MARK
            except OSError: return False
        def program(): return ["sh", "-c", f"trap '' TERM; exec sleep {sys.argv[2]}"]
        with volume_lease(V / "a") as lease:
            try: lease.run(program(), timeout=0.5)
            except subprocess.TimeoutExpired as error: print(round(error.timeout, 1), pids())
        if not os.fork():
            with volume_lease(V / "a") as lease:
                threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
                lease.run(program())
        os.wait()
        for _ in range(200):
            if pids(): time.sleep(0.05)
        print(pids())
        try:
            with volume_lease(V / "b") as lease:
                def lose():
                    lease._hosted.session.pulse.lose("the test said so")
                    lease._hosted._wake(None)
                threading.Timer(0.5, lose).start()
                lease.run(program())
        except LeaseLost as error: print(error.reason, pids())
        """,
        volume,
        f"60.{os.getpid()}",
    )
    assert [line for line in said if not line.startswith("stderr")] == [
        "0.5 []",
        "[]",
        "the test said so []",
    ]


def test_without_landlock_lease_run_says_so_once_or_raises(volume: Path) -> None:
    script = """
        from volumelease import EnforcementMissing
        with volume_lease(V / "a") as lease:
            for _ in range(2): lease.run(["true"], check=True)
            for level in ("python", "landlock", "supervised"):
                try: lease.run(["true"], require=level)
                except EnforcementMissing as error: print(error.level, error)
    """
    said = python(script, volume, before=without_landlock(errno.EPERM))
    told = [line for line in said if line.startswith("stderr")]
    assert len(told) == 1, said
    assert "enforcement: level none for what lease.run starts: a seccomp profile" in told[0]
    assert [line.split()[0] for line in said[:3]] == ["python", "landlock", "supervised"]
