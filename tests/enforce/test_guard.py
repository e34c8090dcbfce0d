"""The Python guard as its users meet it: each test a process, for a hook can't be removed."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import picture_of
from tests.cli.shell import ROOT, Running, command_line, eventually
from volumelease.enforce.places import appearances
from volumelease.paths.locate import VolumeRoot
from volumelease.paths.mounts import parse_mounts

from .scripts import python


def test_a_refusal_names_the_holder_and_the_way_out(volume: Path) -> None:
    who = {"RUNPOD_POD_ID": "ab12", "RUNPOD_ENDPOINT_ID": "sd-xl"}
    with Running("hold", volume / "b", "--", "sleep", "60", env=who):
        eventually(lambda: picture_of(volume).holders())
        (line,) = python(
            """
            with volume_lease(V / "a"):
                error = denied(lambda: open(V / "b/f", "w"))
            assert isinstance(error, PermissionError) and error.errno == 13
            assert error.filename == error.path == str(V / "b/f") and error.token > 0
            print(error)
            """,
            volume,
        )
    assert re.fullmatch(
        rf"\[Errno 13\] open for writing {volume}/b/f needs a lease\. Held by worker ab12 of "
        rf"endpoint sd-xl since \d\d:\d\d:\d\d UTC \(token \d+\)\. Wrap it in "
        rf'volume_lease\("{volume}/b"\), or wait',
        line,
    )


def test_what_nobody_holds_is_to_be_leased(volume: Path) -> None:
    (line,) = python(
        'with volume_lease(V / "a"): print(denied((V / "b/f").unlink))',
        volume,
    )
    assert line == (
        f"[Errno 13] removing {volume}/b/f needs a lease. Nobody holds it. "
        f'Wrap it in volume_lease("{volume}/b")'
    )


def test_a_write_after_the_loss_is_refused_and_tells_of_it(volume: Path) -> None:
    first, second, third = python(
        """
        try:
            with volume_lease(V / "a") as lease:
                (V / "a/before").touch()
                lease._hosted.session.pulse.lose("the test said so")
                print(type(denied(lambda: open(V / "a/after", "w"))).__name__)
                print(denied(lambda: os.rename(V / "a/before", V / "a/moved")))
        except LeaseLost:
            print(*sorted(os.listdir(V / "a")))
        """,
        volume,
    )
    assert first == "LeaseLost"
    assert second.startswith(f"renaming {volume}/a/before: the lease on {volume}/a (token ")
    assert "was lost: the test said so" in second
    assert third == "before"


def test_a_shared_lease_and_a_released_one_cover_no_write(volume: Path) -> None:
    said = python(
        """
        with volume_lease(V / "a", shared=True): print(denied(lambda: open(V / "a/x", "w")))
        with volume_lease(V / "a") as lease:
            (V / "a/x").touch()
            lease.downgrade()
            print(denied(lambda: open(V / "a/x", "w")) is not None)
        print(denied(lambda: open(V / "a/x", "w")) is not None)
        with volume_lease(V / "a") as lease:
            lease.release()
            print(denied(lambda: open(V / "a/x", "w")) is not None)
        """,
        volume,
    )
    assert "that is exclusive; the one that covers it is shared" in said[0]
    assert said[1:] == ["True"] * 3


def test_every_thread_task_and_borrower_may_write_what_the_process_has_leased(
    volume: Path,
) -> None:
    assert python(
        """
        import asyncio, threading
        def write(name): (V / "a" / name).write_text("x")
        async def main():
            async with volume_lease(V / "a") as lease:
                await asyncio.to_thread(write, "task")
                thread = threading.Thread(target=write, args=("thread",)); thread.start()
                thread.join()
                async def borrow():
                    async with lease.lend(): write("lent")
                await asyncio.create_task(borrow())
                async with volume_lease(V / "a/deep"): write("nested")
                write("still")
        asyncio.run(main())
        print(*sorted(os.listdir(V / "a")))
        """,
        volume,
    ) == ["lent nested still task thread"]


def test_the_way_to_what_is_leased_may_be_made(volume: Path) -> None:
    said = python(
        """
        with volume_lease(V / "new/deep/place"):
            os.makedirs(V / "new/deep/place")
            print(denied(lambda: os.mkdir(V / "new/other")) is not None)
            print(denied(lambda: os.rmdir(V / "new")) is not None)
        """,
        volume,
    )
    assert said == ["True", "True"]


def test_what_is_ours_is_left_alone_and_drafts_are_written(volume: Path) -> None:
    said = python(
        """
        with volume_lease(V / "a") as lease:
            with lease.stage(V / "a/model") as draft:
                draft.mkdir(); (draft / "w").write_text("1"); os.rename(draft / "w", draft / "v")
            print(denied(lambda: open(V / "a/model/v", "a")))
            (V / "a/data").mkdir(); (V / "a/data/f").write_text("1")  # known as a directory now
            (V / "a/data").rename(V / "a/old")
            with lease.stage(V / "a/data") as draft:
                draft.mkdir()
            print(denied(lambda: open(V / "a/data/f", "w")) is not None)
            print(denied(lambda: os.rename(V / ".volumelease", V / "a/gone")))
        """,
        volume,
    )
    assert f"the published {volume}/a/model, and a version never changes: publish" in said[0]
    assert said[1] == "True"
    assert said[2].endswith("What is in .volumelease belongs to volumelease: name another place")


def test_warn_says_it_once_for_each_place_and_refuses_nothing(volume: Path) -> None:
    said = python(
        """
        from volumelease.enforce.levels import denied_writes, of_this_process
        with volume_lease(V / "a"):
            for _ in range(3): (V / "b/f").write_text("x")
            (V / "b/g").write_text("x")
            print(denied_writes(), of_this_process(os.environ))
        """,
        volume,
        env={"VOLUMELEASE_GUARD": "warn"},
    )
    assert said[0] == "4 none"
    assert len(said) == 3, said
    assert f"open for writing {volume}/b/f needs a lease. Nobody holds it" in said[1]
    assert said[1].endswith("(VOLUMELEASE_GUARD=warn: it goes on)")


def test_a_log_file_on_the_volume_does_not_make_a_warning_of_a_warning(volume: Path) -> None:
    python(
        """
        import logging
        handler = logging.FileHandler(V / "b/log", delay=True)
        logging.getLogger("volumelease").addHandler(handler)
        with volume_lease(V / "a"): (V / "b/f").write_text("x")
        """,
        volume,
        env={"VOLUMELEASE_GUARD": "warn"},
    )
    assert (volume / "b/log").read_text().count("needs a lease") == 1


def test_nothing_is_guarded_before_the_first_lease_or_when_it_is_off(volume: Path) -> None:
    script = """
        (V / "b/f").write_text("x")
        print("volumelease.enforce.guard" in sys.modules, end=" ")
        with volume_lease(V / "a"):
            print(denied(lambda: (V / "b/f").write_text("x")) is None, end=" ")
        print("volumelease.enforce.guard" in sys.modules)
    """
    assert python(script, volume) == ["False False True"]
    assert python(script, volume, env={"VOLUMELEASE_GUARD": "off"}) == ["False True False"]


def test_starting_a_child_is_told_once_and_only_while_something_is_leased(volume: Path) -> None:
    said = python(
        """
        import subprocess
        with volume_lease(V / "a"): pass
        subprocess.run(["true"])
        with volume_lease(V / "a") as lease:
            lease.run(["true"])
            print("now", file=sys.stderr)
            subprocess.run(["true"]); subprocess.run(["true"]); os.system("true")
        """,
        volume,
    )
    assert len(said) == 2, said
    assert said[0] == "stderr: now"
    assert "subprocess.Popen (true) starts a process that the guard does not reach" in said[1]


def test_a_forked_child_keeps_to_what_its_parent_had_leased_and_stops_with_it(
    volume: Path,
) -> None:
    said = python(
        """
        reading, writing = os.pipe()
        with volume_lease(V / "a"):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
            else:
                print(denied(lambda: (V / "a/f").touch()), end=" ")
                print(denied(lambda: (V / "b/f").touch()) is not None, flush=True)
                if os.fork(): os._exit(0)
                os.close(1); os.close(2)  # whoever reads them waits for this process, too
                os.read(reading, 1)
                eventually = time.monotonic() + 20
                while not denied(lambda: (V / "a/f").touch()):
                    assert time.monotonic() < eventually
                Path(sys.argv[2]).touch()
                os._exit(0)
        os.write(writing, b"x")
        """,
        volume,
        volume.parent / "stopped",
    )
    assert said[0] == "None True"
    eventually((volume.parent / "stopped").exists)


def test_what_does_not_touch_the_volume_is_let_through_wherever_one_stands(volume: Path) -> None:
    assert python(
        """
        import sqlite3
        with volume_lease(V / "a"):
            os.chdir(V / "b")
            elsewhere = os.open(V.parent, os.O_RDONLY)
            for name in ("x", Path("y"), b"z"):
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=elsewhere))
            os.mkdir("d", dir_fd=elsewhere)
            os.rename("x", "d/x", src_dir_fd=elsewhere, dst_dir_fd=elsewhere)
            for name in (":memory:", "", "file::memory:?cache=shared", "file:f?mode=memory"):
                sqlite3.connect(name, uri=True).close()
            os.close(os.open("f", os.O_RDONLY | os.O_NOFOLLOW))
            os.symlink("elsewhere", V / "a/dangling")
            (V / "a/dangling").write_text("x")
            os.symlink(V.parent / "d/x", V / "a/out")
            (V / "a/out").write_text("x")
            for no_path in ("nul\\0", 2.5, None):
                try: open(no_path, "w")
                except (TypeError, ValueError): pass
            print(*sorted(os.listdir(V / "a")))
        """,
        volume,
    ) == ["dangling elsewhere out"]


def test_a_lease_of_the_whole_volume_covers_it(volume: Path) -> None:
    said = python(
        """
        with volume_lease(V):
            (V / "b/f").unlink(); (V / "new").mkdir(); (V / "Stra\u00dfe").touch()
            print(denied(lambda: (V / ".volumelease/x").touch()) is not None)
        with volume_lease(V / "a/e\u0301"):
            (V / "a/e\u0301").mkdir(); (V / "a/e\u0301/f").touch()
        """,
        volume,
    )
    assert said == ["True"]


@pytest.mark.parametrize("options", [(), ("--shared",), ("--sandbox",)])
def test_a_command_of_hold_may_write_what_hold_has_leased_for_it(
    volume: Path, options: tuple[str, ...]
) -> None:
    script = """
        with volume_lease(V / "b/deep"):
            (V / "b/deep").mkdir()
            print(denied(lambda: (V / "a/f").touch()) is None, end=" ")
            print(denied(lambda: (V / "b/f").touch()) is None)
    """
    held = command_line("hold", *options, volume / "a", "--")
    if options == ("--sandbox",):
        script = 'print((V / "a/f").touch()); print(os.environ["VOLUMELEASE_MODE"])'
        assert python(script, volume, before=held)[:2] == ["None", "exclusive"]
    else:
        assert python(script, volume, before=held)[0] == f"{not options} False"


def test_bytecode_that_may_not_be_written_does_not_stop_an_import(volume: Path) -> None:
    (volume / "b/package_there.py").write_text("answer = 42")
    script = """
        with volume_lease(V / "a"):
            sys.path.append(str(V / "b"))
            import package_there
            print(package_there.answer)
    """
    said = python(script, volume, env={"PYTHONDONTWRITEBYTECODE": ""})
    assert said == ["42"]
    assert not (volume / "b/__pycache__").exists()


def test_the_end_of_the_interpreter_is_quiet(volume: Path) -> None:
    script = """
        class Late:
            def __del__(self, open=open, place=str(V.parent / "late")): open(place, "w").close()
        late = Late()
        sys.late = late
        with volume_lease(V / "a"): pass
    """
    assert python(script, volume) == []
    assert (volume.parent / "late").exists()


def test_pip_installs_onto_a_leased_path_and_nowhere_else(volume: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small/__init__.py", "answer = 42\n")
        archive.writestr(
            "small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n"
        )
        archive.writestr(
            "small-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("small-1.0.dist-info/RECORD", "")
    said = python(
        """
        from pip._internal.cli.main import main
        quiet = ["--quiet", "--no-index", "--no-input", "--disable-pip-version-check"]
        with volume_lease(V / "a"):
            print(main(["install", *quiet, "--target", str(V / "a/site"), sys.argv[2]]))
            sys.path.append(str(V / "a/site"))
            import small
            print(small.answer, os.path.exists(V / "a/site/small/__pycache__"))
        """,
        volume,
        wheel,
    )
    assert said[:2] == ["0", "42 True"]
    assert all("starts a process" in line for line in said[2:]), said


def test_tests_of_this_project_pass_on_a_leased_path_under_the_guard(volume: Path) -> None:
    said = python(
        """
        import pytest
        os.chdir(sys.argv[2])
        with volume_lease(V / "a"):
            print(pytest.main([
                # Volumes on a volume: only such a directory may hold them.
                f"--basetemp={V}/a/volumelease-demo-0123abcd", "-q", "-p", "no:cacheprovider",
                "-k", "not on_no_volume", "tests/paths", "tests/test_files.py",
            ]))
        """,
        volume,
        ROOT,
    )
    assert [line for line in said if line.endswith("ExitCode.OK") or line == "0"], said


MOUNTS = b"""\
20 1 8:1 / / rw - ext4 /dev/vda rw
21 20 0:50 /team /runpod-volume rw - fuse mfs rw
22 20 0:50 /team/models /mnt/models rw - fuse mfs rw
23 20 0:50 / /mnt/all rw - fuse mfs rw
24 20 0:51 / /other rw - fuse mfs rw
"""


def test_a_volume_is_found_wherever_it_is_mounted() -> None:
    mounts = parse_mounts(MOUNTS)
    home = next(mount for mount in mounts if mount.mount_point == "/runpod-volume")
    root = VolumeRoot("/runpod-volume", "/runpod-volume", home, initialised=True)
    assert appearances(root, mounts) == {
        "/runpod-volume": "",
        "/mnt/models": "models",
        "/mnt/all/team": "",
    }


def test_a_first_lease_while_another_thread_imports_logging(volume: Path) -> None:
    """It is among the modules already, and has no names yet: as the bell's thread, which imports
    a client of Redis, leaves it on a busy machine."""
    script = """
        import importlib, threading
        from importlib.machinery import PathFinder
        class Slow:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name != "logging": return None
                spec = PathFinder.find_spec(name, path)
                run = spec.loader.exec_module
                def slowly(module):
                    begun.set()
                    while "volumelease.enforce.guard" not in sys.modules: time.sleep(0.01)
                    time.sleep(1.0)
                    run(module)
                spec.loader.exec_module = slowly
                return spec
        begun = threading.Event()
        assert "logging" not in sys.modules
        sys.meta_path.insert(0, Slow)
        other = threading.Thread(target=importlib.import_module, args=("logging",))
        other.start()
        begun.wait()
        with volume_lease(V / "a"): print("had it")
        other.join()
    """
    assert python(script, volume) == ["had it"]
