"""The guard where the kernel can't show it a directory: it refuses as ever."""

from __future__ import annotations

from pathlib import Path

from .scripts import python


def test_a_process_without_a_descriptor_left(volume: Path) -> None:
    assert python(
        """
        import resource
        (V / "b/way").mkdir()
        with volume_lease(V / "a"):
            time.sleep(1.1)  # what it remembers of directories is old
            (V / "a/link").symlink_to(V / "b/f")
            held = os.open(V / "b", os.O_RDONLY)
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            taken = []
            try:
                while True: taken.append(os.open("/dev/null", os.O_RDONLY))
            except OSError: pass
            tried = {
                "rename": lambda: os.rename(V / "b/f", V / "b/g"),
                "into": lambda: os.rename(V / "a/link", V / "b/g"),
                "mkdir": lambda: os.mkdir(V / "b/new"),
                "rmdir": lambda: os.rmdir(V / "b/way/"),
                "remove": lambda: os.remove(V / "b/f"),
                "by a descriptor": lambda: os.remove("f", dir_fd=held),
                "truncate": lambda: os.truncate(V / "a/link", 0),
            }
            refused = [name for name, work in tried.items() if denied(work)]
            os.mkdir(V / "a/new")
            for one in taken: os.close(one)
        print(*tried.keys() - set(refused))
        print(*sorted(os.listdir(V / "b")), (V / "b/f").read_text())
        """,
        volume,
    ) == ["", "f way f"]


def test_a_current_directory_whose_path_is_too_long(volume: Path) -> None:
    assert python(
        """
        def dig(top):
            os.chdir(top)
            for _ in range(25):
                os.mkdir("n" * 200)
                os.chdir("n" * 200)
        with volume_lease(V / "a"):
            dig(V / "a")
            Path("inside").touch()
            os.mkdir("too")
        with volume_lease(V):
            dig(V / "b")
            Path("there").touch()
        with volume_lease(V / "a"):
            tried = {
                "open": lambda: open("x", "w"),
                "mkdir": lambda: os.mkdir("y"),
                "remove": lambda: os.remove("there"),
            }
            print(*[name for name, work in tried.items() if denied(work)], *os.listdir())
        """,
        volume,
    ) == ["open mkdir remove there"]
