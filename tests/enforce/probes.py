"""Ways to write, and what each level of enforcement says to them: written down before any run.

Every probe has a leased and an unleased directory of its own and changes something in one of
them (or off the volume, or nothing). ENFORCEMENT.md is made from this table (``tests.enforce``).
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import mmap
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

GROUP: Final = 1
"""Another group that the probes' user is in."""

Place = Literal["leased", "unleased", "off", "read"]
Verdict = Literal["allowed", "denied"]


@dataclass(frozen=True, slots=True)
class At:
    """Where one probe works. ``descriptor`` was opened for writing before anything was leased."""

    leased: Path
    unleased: Path
    off: Path
    descriptor: int


Work = Callable[[At], object]
Keep = Callable[[Work], Work]


@dataclass(frozen=True, slots=True)
class Probe:
    """``place``: where it writes. ``needs``: a module that may not be there."""

    name: str
    place: Place
    python: Verdict
    landlock: Verdict
    work: Work
    needs: str

    @property
    def slug(self) -> str:
        return str(getattr(self.work, "__name__", ""))

    def expected(self, level: str) -> Verdict:
        if level == "python":
            return self.python
        return self.landlock if level == "landlock" else "allowed"


PROBES: Final[list[Probe]] = []


def _probe(name: str, place: Place, python: Verdict, landlock: Verdict, needs: str = "") -> Keep:
    def keep(work: Work) -> Work:
        PROBES.append(Probe(name, place, python, landlock, work, needs))
        return work

    return keep


def leased(name: str, needs: str = "") -> Keep:
    return _probe(name, "leased", "allowed", "allowed", needs)


def off(name: str) -> Keep:
    return _probe(name, "off", "allowed", "allowed")


def read(name: str, needs: str = "") -> Keep:
    return _probe(name, "read", "allowed", "allowed", needs)


def unleased(name: str, python: Verdict, landlock: Verdict, needs: str = "") -> Keep:
    return _probe(name, "unleased", python, landlock, needs)


def shell(script: str, *words: Path) -> None:
    subprocess.run(["sh", "-ec", script, "sh", *words], check=True, stderr=subprocess.PIPE)


def write(descriptor: int) -> None:
    os.write(descriptor, b"changed")
    os.close(descriptor)


# ---- beneath the lease


@leased("create, append, overwrite, cut")
def leased_files(at: At) -> None:
    (at.leased / "new").write_text("new")
    with open(at.leased / "f", "a") as file:
        file.write("more")
    (at.leased / "f2").write_text("other")
    os.truncate(at.leased / "new", 1)


@leased("mkdir, symlink, hard link, rename, remove, rmdir")
def leased_names(at: At) -> None:
    (at.leased / "a/b").mkdir(parents=True)
    (at.leased / "link").symlink_to("f")
    os.link(at.leased / "f", at.leased / "hard")
    os.replace(at.leased / "f", at.leased / "a/b/f")
    (at.leased / "f2").unlink()
    shutil.rmtree(at.leased / "d")


@leased("chmod, chown, utime")
def leased_metadata(at: At) -> None:
    os.chmod(at.leased / "f", 0o600)
    os.chown(at.leased / "f", -1, GROUP)
    os.utime(at.leased / "f", (1, 1))


@leased("copytree, a temporary file renamed into place")
def leased_trees(at: At) -> None:
    shutil.copytree(at.unleased / "d", at.leased / "copy", symlinks=True)
    with tempfile.NamedTemporaryFile(dir=at.leased, delete=False) as file:
        file.write(b"x")
    os.replace(file.name, at.leased / "f")


@leased("from a second thread of the process")
def leased_thread(at: At) -> None:
    in_thread(lambda: (at.leased / "f").write_text("changed"))


@leased("a relative name, after chdir")
def leased_relative(at: At) -> None:
    os.chdir(at.leased)
    try:
        Path("f").write_text("changed")
    finally:
        os.chdir("/")


@leased("a shell and what it starts")
def leased_shell(at: At) -> None:
    shell('echo x > "$1/new"; mv "$1/f2" "$1/f3"; (setsid sh -c "echo y >> \'$1/f\'")', at.leased)


@leased("SQLite")
def leased_sqlite(at: At) -> None:
    database(at.leased / "data.db")


@leased("safetensors", "safetensors.numpy")
def leased_safetensors(at: At) -> None:
    save_tensors(at.leased / "model.safetensors")


@leased("h5py", "h5py")
def leased_h5py(at: At) -> None:
    save_h5(at.leased / "data.h5")


# ---- reads, and what is not on the volume


@read("reading a file, its metadata, its directory, through mmap")
def reading(at: At) -> None:
    assert (at.unleased / "f").read_text() == "f"
    assert os.listdir(at.unleased)
    assert stat.S_ISREG(os.stat(at.unleased / "f").st_mode)
    with open(at.unleased / "f", "rb") as file:
        assert mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)[:1] == b"f"
    os.close(os.open("f", os.O_RDONLY, dir_fd=os.open(at.unleased, os.O_PATH)))


@read("reading with SQLite (mode=ro)")
def reading_sqlite(at: At) -> None:
    connection = sqlite3.connect(f"file:{at.unleased}/f.db?mode=ro", uri=True)
    assert connection.execute("select * from t").fetchall() == [(1,)]
    connection.close()


@read("reading safetensors", "safetensors.numpy")
def reading_safetensors(at: At) -> None:
    load = importlib.import_module("safetensors.numpy").load_file
    assert load(at.unleased / "f.safetensors") == {}


@read("copying from the volume to elsewhere with a shell")
def reading_shell(at: At) -> None:
    shell('cat "$1/f" > /dev/null; ls "$1" | cat > /dev/null', at.unleased)


@off("create, rename, mkdir, remove, sqlite in a directory beside the volume")
def off_files(at: At) -> None:
    (at.off / "a").write_text("x")
    os.rename(at.off / "a", at.off / "b")
    (at.off / "e/f").mkdir(parents=True)
    shutil.rmtree(at.off / "d")
    database(at.off / "data.db")


@off("temporary files there, /dev/null, pipes, a relative name")
def off_devices(at: At) -> None:
    with tempfile.TemporaryFile(dir=at.off) as file:
        file.write(b"x")
    Path(os.devnull).write_text("x")
    reading, writing = os.pipe()
    write(writing)
    os.close(reading)
    os.chdir(at.off)
    Path("new").write_text("x")
    os.close(os.open("newer", os.O_WRONLY | os.O_CREAT))
    os.chdir("/")


@off("a shell")
def off_shell(at: At) -> None:
    shell('echo x > "$1/new"; mv "$1/new" "$1/newer"; echo y > /dev/null', at.off)


# ---- elsewhere on the volume: files


@unleased("open for writing", "denied", "denied")
def overwrite(at: At) -> None:
    (at.unleased / "f").write_text("changed")


@unleased("open for appending", "denied", "denied")
def append(at: At) -> None:
    with open(at.unleased / "f", "a") as file:
        file.write("more")


@unleased("open for reading and writing", "denied", "denied")
def update(at: At) -> None:
    with open(at.unleased / "f", "r+b") as file:
        file.write(b"changed")


@unleased("create", "denied", "denied")
def create(at: At) -> None:
    (at.unleased / "new").touch()


@unleased("create, the path as bytes, with doubled slashes and ..", "denied", "denied")
def spelled(at: At) -> None:
    path = f"{at.leased}//../../{at.unleased.parent.name}/{at.unleased.name}/./new"
    os.close(os.open(os.fsencode(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL))


@unleased("truncate", "denied", "denied")
def truncate(at: At) -> None:
    os.truncate(at.unleased / "f", 0)


@unleased("write through mmap", "denied", "denied")
def through_mmap(at: At) -> None:
    with open(at.unleased / "f", "r+b") as file:
        mmap.mmap(file.fileno(), 0)[:1] = b"z"


@unleased("copytree", "denied", "denied")
def copytree(at: At) -> None:
    shutil.copytree(at.leased, at.unleased / "copy")


@unleased("a log handler", "denied", "denied")
def logged(at: At) -> None:
    handler = logging.FileHandler(at.unleased / "f")
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "changed", None, None))
    handler.close()


@unleased("in a second thread", "denied", "denied")
def thread(at: At) -> None:
    in_thread(lambda: (at.unleased / "f").write_text("changed"))


# ---- by other ways


@unleased("through a symlink in the leased directory", "denied", "denied")
def through_symlink(at: At) -> None:
    os.symlink(at.unleased / "f", at.leased / "link")
    (at.leased / "link").write_text("changed")


@unleased("through a symlink off the volume", "denied", "denied")
def through_symlink_off(at: At) -> None:
    os.symlink(at.unleased, at.off / "link")
    (at.off / "link/f").write_text("changed")


@unleased("through /proc/self/root", "denied", "denied")
def through_root(at: At) -> None:
    Path(f"/proc/self/root{at.unleased}/f").write_text("changed")


@unleased("by opening /proc/self/fd of an O_PATH descriptor", "denied", "denied")
def reopened(at: At) -> None:
    here = os.open(at.unleased / "f", os.O_PATH)
    write(os.open(f"/proc/self/fd/{here}", os.O_WRONLY))


@unleased("a relative name, after chdir", "denied", "denied")
def relative(at: At) -> None:
    os.chdir(at.unleased)
    try:
        Path("f").write_text("changed")
    finally:
        os.chdir("/")


@unleased("os.open of a relative name, after chdir", "allowed", "denied")
def relative_os_open(at: At) -> None:
    os.chdir(at.unleased)
    try:
        write(os.open("f", os.O_WRONLY))
    finally:
        os.chdir("/")


@unleased("os.open relative to a directory descriptor", "allowed", "denied")
def by_directory(at: At) -> None:
    directory = os.open(at.unleased, os.O_RDONLY | os.O_DIRECTORY)
    write(os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=directory))


@unleased("through a descriptor that was open before the lease", "allowed", "allowed")
def open_before(at: At) -> None:
    write(at.descriptor)


# ---- names


@unleased("remove", "denied", "denied")
def remove(at: At) -> None:
    (at.unleased / "f").unlink()


@unleased("rmtree (by directory descriptors)", "denied", "denied")
def rmtree(at: At) -> None:
    shutil.rmtree(at.unleased / "d")


@unleased("rename a leased file over", "denied", "denied")
def rename_over(at: At) -> None:
    os.rename(at.leased / "f", at.unleased / "f")


@unleased("rename into the leased directory", "denied", "denied")
def rename_away(at: At) -> None:
    os.rename(at.unleased / "f", at.leased / "stolen")


@unleased("rename within", "denied", "denied")
def rename_within(at: At) -> None:
    os.replace(at.unleased / "f", at.unleased / "f2")


@unleased("shutil.move", "denied", "denied")
def moved(at: At) -> None:
    shutil.move(at.leased / "f", at.unleased / "moved")


@unleased("hard link into the leased directory, written there", "denied", "denied")
def hard_link(at: At) -> None:
    os.link(at.unleased / "f", at.leased / "hard")
    (at.leased / "hard").write_text("changed")


@unleased("mkdir", "denied", "denied")
def mkdir(at: At) -> None:
    (at.unleased / "new").mkdir()


@unleased("rmdir", "denied", "denied")
def rmdir(at: At) -> None:
    (at.unleased / "empty").rmdir()


@unleased("symlink", "denied", "denied")
def symlink(at: At) -> None:
    (at.unleased / "new").symlink_to("f")


@unleased("mkfifo", "allowed", "denied")
def mkfifo(at: At) -> None:
    os.mkfifo(at.unleased / "new")


@unleased("mknod", "allowed", "denied")
def mknod(at: At) -> None:
    os.mknod(at.unleased / "new", stat.S_IFREG | 0o600)


@unleased("bind a unix socket", "allowed", "denied")
def bind(at: At) -> None:
    os.chdir(at.unleased)  # a name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket")
    finally:
        os.chdir("/")


# ---- metadata


@unleased("chmod", "denied", "allowed")
def chmod(at: At) -> None:
    os.chmod(at.unleased / "f", 0o600)


@unleased("chown", "denied", "allowed")
def chown(at: At) -> None:
    os.chown(at.unleased / "f", -1, GROUP)


@unleased("utime", "denied", "allowed")
def utime(at: At) -> None:
    os.utime(at.unleased / "f", (1, 1))


@unleased("setxattr", "denied", "allowed")
def setxattr(at: At) -> None:
    os.setxattr(at.unleased / "f", "user.z", b"1")


# ---- other programs, and code that is not Python


@unleased("C: creat through ctypes", "allowed", "denied")
def c_creat(at: At) -> None:
    if ctypes.CDLL(None).creat(os.fsencode(at.unleased / "new"), 0o644) < 0:
        raise PermissionError("creat")


@unleased("a forked child", "denied", "denied")
def forked(at: At) -> None:
    child = os.fork()
    if child == 0:
        try:
            (at.unleased / "f").write_text("changed")
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise PermissionError("the child could not")


@unleased("a child: shell", "allowed", "denied")
def child_shell(at: At) -> None:
    shell('echo changed > "$1/f"', at.unleased)


@unleased("a child: mv and rm", "allowed", "denied")
def child_tools(at: At) -> None:
    shell('mv "$1/f" "$1/g"; rm "$1/f2"', at.unleased)


@unleased("a child: another Python", "allowed", "denied")
def child_python(at: At) -> None:
    script = "import sys; open(sys.argv[1], 'w').close()"
    words = [sys.executable, "-S", "-c", script, str(at.unleased / "f")]
    subprocess.run(words, check=True, stderr=subprocess.PIPE)


@unleased("a grandchild in a session of its own (double fork)", "allowed", "denied")
def grandchild(at: At) -> None:
    shell(
        'setsid sh -c "sh -ec \'echo changed > \\"\\$1\\"\' sh \\"\\$1\\"" sh "$1/f"', at.unleased
    )


@unleased("SQLite: connect", "denied", "denied")
def sqlite(at: At) -> None:
    database(at.unleased / "data.db")


@unleased("SQLite: ATTACH", "allowed", "denied")
def sqlite_attach(at: At) -> None:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("attach ? as other", (str(at.unleased / "data.db"),))
        connection.execute("create table other.t (x)")
        connection.commit()
    finally:
        connection.close()


@unleased("safetensors", "allowed", "denied", "safetensors.numpy")
def safetensors(at: At) -> None:
    save_tensors(at.unleased / "model.safetensors")


@unleased("h5py", "allowed", "denied", "h5py")
def h5py(at: At) -> None:
    save_h5(at.unleased / "data.h5")


@unleased("numpy.save", "denied", "denied", "numpy")
def numpy_save(at: At) -> None:
    numpy = importlib.import_module("numpy")
    numpy.save(at.unleased / "a.npy", numpy.zeros(3))


# ---- what several do


def in_thread(work: Callable[[], object]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            failed.append(error)

    started = threading.Thread(target=run)
    started.start()
    started.join()
    if failed:
        raise failed[0]


def database(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        connection.execute("create table t (x)")
        connection.execute("insert into t values (1)")
        connection.commit()
    finally:
        connection.close()


def save_tensors(path: Path) -> None:
    numpy = importlib.import_module("numpy")
    importlib.import_module("safetensors.numpy").save_file({"x": numpy.zeros(3)}, path)


def save_h5(path: Path) -> None:
    os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
    with importlib.import_module("h5py").File(path, "w") as file:
        file["x"] = [1, 2, 3]
