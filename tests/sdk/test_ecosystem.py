"""The examples for what people use beside: a hub, safetensors, ``torch.save``, fsspec."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import zipfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.conftest import make_volume
from tests.cli.shell import environment, eventually
from tests.cli.shell import run as volumelease

from .hub_server import COMMIT, REPOSITORY, HubServer
from .workers import EXAMPLES

pytestmark = pytest.mark.timeout(300)

PATIENCE: Final = 120.0
FILES: Final = {"config.json": b"{}", "model.safetensors": b"w" * 200_000, "sub/vocab": b"a b"}


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if find_spec(name) is None]
    return pytest.mark.skipif(
        bool(missing), reason=f"no {', '.join(missing)}: pip install -e '.[ecosystem]'"
    )


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return make_volume(tmp_path / "volume", ttl=6.0)


def start(volume: Path, *words: str | Path, **more: str) -> subprocess.Popen[str]:
    home = volume.parent / "home"
    given = {"VOLUME": str(volume), "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=environment({**given, "PYTHONPATH": f"{EXAMPLES}", **more}) | {"HOME": str(home)},
        cwd=volume.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said_by(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out + err
    return out.strip()


def script(volume: Path, text: str) -> str:
    """What a script says that has the examples at hand, and the volume as ``volume``."""
    words = f"from pathlib import Path\nvolume = Path({str(volume)!r})\n{text}"
    return said_by(start(volume, "-c", words))


# ---- a hub


@needs("huggingface_hub")
def test_one_of_several_cold_workers_downloads_a_model(volume: Path) -> None:
    with HubServer(FILES, {"model.safetensors": 1.0}) as hub:
        example = (EXAMPLES / "hub.py", REPOSITORY)
        workers = [start(volume, *example, HF_ENDPOINT=hub.address) for _ in range(3)]
        found = {said_by(worker) for worker in workers}
        assert hub.downloads == dict.fromkeys(FILES, 1)
    # The hub's own locks exclude within one host: that nobody saw a part is what is ours.
    (cache,) = (volume / "hub").iterdir()
    assert cache.is_symlink()
    (place,) = map(Path, found)
    assert place.name == COMMIT
    assert {name: (place / name).read_bytes() for name in FILES} == FILES
    assert volumelease("verify", volume).returncode == 0


@needs("huggingface_hub")
def test_after_a_worker_that_died_downloading_the_next_one_goes_on(volume: Path) -> None:
    with HubServer(FILES, {"model.safetensors": 4.0}) as hub:
        example = (EXAMPLES / "hub.py", REPOSITORY)
        first = start(volume, *example, HF_ENDPOINT=hub.address)
        eventually(lambda: blobs(volume) == len(FILES) - 1, PATIENCE)
        second = start(volume, *example, HF_ENDPOINT=hub.address)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        assert not list(volume.glob("hub/*"))  # nothing is seen of what is not whole
        place = Path(said_by(second))
        assert hub.downloads == {"config.json": 1, "sub/vocab": 1, "model.safetensors": 2}
    assert (place / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def blobs(volume: Path) -> int:
    """How many files are complete in the caches under construction."""
    return len(list(volume.glob(".volumelease/*/stage/*/*/models--*/snapshots/*/*")))


# ---- checkpoints


@needs("safetensors", "numpy")
def test_a_checkpoint_is_read_whole_while_it_is_replaced(volume: Path) -> None:
    load: Any = import_module("safetensors.numpy").load_file
    path = volume / "step.safetensors"
    writer = start(
        volume,
        "-c",
        f"""
import checkpoints, numpy
from pathlib import Path
from safetensors.numpy import save_file
for step in range(20):
    tensors = {{name: numpy.full(50_000, step) for name in "ab"}}
    checkpoints.save_tensors(Path({str(path)!r}), tensors, save_file)
""",
    )
    seen: list[int] = []
    while writer.poll() is None or not seen:
        if path.exists():
            tensors = load(path)
            values = {int(value) for name in "ab" for value in set(tensors[name].tolist())}
            assert len(values) == 1
            seen.append(values.pop())
    said_by(writer)
    assert seen == sorted(seen)
    assert load(path)["a"][0] == 19


@needs("safetensors", "numpy")
def test_a_step_that_is_behind_leaves_a_checkpoint_alone(volume: Path) -> None:
    script(
        volume,
        """
import checkpoints, numpy
from safetensors.numpy import save_file
for step in (1, 3, 2):
    shards = {f"model-{n}": {"w": numpy.full(10, step)} for n in range(2)}
    checkpoints.save_step(volume / "run", step, shards, save_file)
""",
    )
    place = volume / "run"
    assert place.is_symlink()
    assert json.loads((place / "state.json").read_text())["step"] == 3
    assert len(list(place.glob("model-*.safetensors"))) == 2


def test_what_fails_while_it_is_saved_leaves_what_was_there(volume: Path) -> None:
    said = script(
        volume,
        """
import checkpoints, pickle
path = volume / "thing.pkl"
checkpoints.save_object(path, "old", pickle.dump)
def save(thing, file):
    file.write(b"half of it")
    raise RuntimeError("the GPU is gone")
try:
    checkpoints.save_object(path, "new", save)
except RuntimeError as error:
    print(error)
""",
    )
    assert said == "the GPU is gone"
    assert pickle.loads((volume / "thing.pkl").read_bytes()) == "old"


def test_a_writer_like_torchs_saves_into_an_open_file(volume: Path) -> None:
    """``torch.save`` takes what is no path and has ``write`` for a file; its zip writer gives it
    one memoryview after the other, and ``flush`` at the end, and asks for nothing else."""
    script(
        volume,
        """
import checkpoints, os, zipfile
class OnlyThese:
    def __init__(self, file):
        assert not isinstance(file, (str, os.PathLike))
        self.file = file
    def write(self, data):
        return self.file.write(memoryview(data))
    def flush(self):
        self.file.flush()
def save(thing, file):
    with zipfile.ZipFile(OnlyThese(file), "w") as archive:
        for name, data in thing.items():
            archive.writestr(name, data)
checkpoints.save_object(volume / "m.pt", {"archive/data.pkl": b"p" * 10**6, "a/0": b"t"}, save)
""",
    )
    with zipfile.ZipFile(volume / "m.pt") as archive:
        assert archive.testzip() is None
        assert archive.read("archive/data.pkl") == b"p" * 10**6


@needs("numpy")
def test_a_writer_that_seeks_saves_into_an_open_file(volume: Path) -> None:
    said = script(
        volume,
        """
import checkpoints, numpy
save = lambda arrays, file: numpy.savez(file, **arrays)
checkpoints.save_object(volume / "m.npz", {"w": numpy.arange(1000)}, save)
print(numpy.load(volume / "m.npz")["w"].sum())
""",
    )
    assert said == "499500"


@pytest.mark.skipif(find_spec("torch") is None, reason="no torch here: pip install torch")
def test_torch_itself_saves_into_an_open_file(volume: Path) -> None:
    said = script(
        volume,
        """
import checkpoints, torch
checkpoints.save_object(volume / "m.pt", {"w": torch.arange(1000)}, torch.save)
print(int(torch.load(volume / "m.pt")["w"].sum()))
""",
    )
    assert said == "499500"


# ---- fsspec


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("one")
    (folder / "sub/b.txt").write_text("two")
    return folder


@needs("fsspec")
def test_a_file_of_a_store_is_fetched_once(volume: Path, store: Path) -> None:
    said = script(
        volume,
        f"""
import remote_files
print(remote_files.cached("file://{store}/a.txt").read_text())
Path("{store}/a.txt").write_text("changed")
print(remote_files.cached("file://{store}/a.txt").read_text())
""",
    )
    assert said.split() == ["one", "one"]


@needs("fsspec")
def test_a_directory_of_a_store_is_mirrored_whole(volume: Path, store: Path) -> None:
    script(volume, f"import remote_files\nremote_files.mirror('file://{store}', 'texts')")
    place = volume / "mirrors/texts"
    assert place.is_symlink()
    found = {str(one.relative_to(place)): one.read_text() for one in place.glob("**/*.txt")}
    assert found == {"a.txt": "one", "sub/b.txt": "two"}


@needs("fsspec")
def test_what_fsspec_writes_is_published_when_it_is_closed(volume: Path) -> None:
    script(volume, "import remote_files\nremote_files.write(volume / 'out.bin', b'data')")
    assert (volume / "out.bin").read_bytes() == b"data"
