"""The state of a model: names and numbers that go from model to model, and files that are whole or untouched."""

from __future__ import annotations

import copy
import errno
import json
import math
import os
import pickle
import random
import re
import threading

import pytest

# ---- state ---------------------------------------------------------------------------------------------------------


def test_state_goes_from_model_to_model(nn, mlp):
    other = nn.MLP(2, (16, 16, 1))
    result = other.load_state_dict(mlp.state_dict())
    assert result == ([], [])
    assert other.state_dict() == mlp.state_dict()
    assert other([0.5, -1.0]).data == mlp([0.5, -1.0]).data


def test_names_that_do_not_match_are_listed_and_change_nothing(nn):
    neuron = nn.Neuron(2)
    before = neuron.state_dict()
    with pytest.raises(nn.StateError, match=r"missing w\.1, b; unexpected w\.7\. Nothing was changed"):
        neuron.load_state_dict({"w.0": 1.0, "w.7": 2.0})
    assert neuron.state_dict() == before


def test_not_strict_loads_what_matches(nn):
    neuron = nn.Neuron(2)
    kept = neuron.w[1].data
    result = neuron.load_state_dict({"w.0": 1.0, "b": 2, "extra": 5.0}, strict=False)
    assert result.missing_keys == ["w.1"]
    assert result.unexpected_keys == ["extra"]
    assert [p.data for p in neuron.parameters()] == [1.0, kept, 2.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, "1.0", None, True, [1.0], 1j, 10**400], ids=repr)
@pytest.mark.parametrize("strict", [True, False])
def test_only_finite_numbers_are_loaded(nn, bad, strict):
    neuron = nn.Neuron(1)
    before = neuron.state_dict()
    with pytest.raises(nn.StateError, match=r"b is .*, not a finite number"):
        neuron.load_state_dict({"w.0": 9.0, "b": bad}, strict=strict)
    assert neuron.state_dict() == before


@pytest.mark.parametrize("state", [None, [("b", 1.0)], "b", 3])
def test_a_state_is_a_dict(nn, state):
    with pytest.raises(nn.StateError, match="takes a dict"):
        nn.Neuron(1).load_state_dict(state)


def test_two_parameters_with_one_name_are_refused(gg, nn):
    module = nn.Module()
    module.a = {"b": gg.Value(1.0)}
    setattr(module, "a.b", gg.Value(2.0))
    with pytest.raises(nn.StateError, match=r"two parameters are called 'a\.b'"):
        module.state_dict()


def test_models_are_copied_and_pickled(nn, mlp):
    for twin in (copy.deepcopy(mlp), pickle.loads(pickle.dumps(mlp))):
        assert twin.state_dict() == mlp.state_dict()
        twin.parameters()[0].data += 1.0
        assert twin.state_dict() != mlp.state_dict()


# ---- files ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(nn, tmp_path):
    """A neuron and the file it was saved to."""
    neuron = nn.Neuron(2)
    for p, number in zip(neuron.parameters(), [0.1, -1e-300, 12345678.9], strict=True):
        p.data = number
    path = tmp_path / "model.json"
    neuron.save(path)
    return neuron, path


def test_a_file_brings_back_every_bit(nn, mlp, tmp_path):
    mlp.parameters()[0].data = 5e-324
    mlp.parameters()[1].data = -0.0
    mlp.parameters()[2].data = 1 / 3
    mlp.save(tmp_path / "m.json")
    twin = nn.MLP(2, [16, 16, 1])
    assert twin.load(str(tmp_path / "m.json")) is twin
    assert [p.data.hex() for p in twin.parameters()] == [p.data.hex() for p in mlp.parameters()]


def test_the_file_is_as_documented(saved):
    _, path = saved
    assert json.loads(path.read_bytes()) == {
        "format": "glassgrad.model",
        "version": 1,
        "parameters": {"w.0": 0.1, "w.1": -1e-300, "b": 12345678.9},
    }


def test_the_documented_example_loads(nn, root):
    text = (root / "docs" / "model-file.md").read_text(encoding="utf-8")
    example = text.split("```json\n")[1].split("```")[0]
    random.seed(1337)
    neuron = nn.Neuron(2)
    assert json.loads(example)["parameters"] == neuron.state_dict()


DAMAGE = {
    "empty": (lambda text: "", "damaged"),
    "truncated": (lambda text: text[: len(text) // 2], "damaged"),
    "binary": (lambda text: "\x00\x01", "damaged"),
    "another kind": (lambda text: text.replace("glassgrad.model", "glassgrad.graph"), "not a model file"),
    "a list": (lambda text: "[1, 2]", "not a model file"),
    "a newer version": (lambda text: text.replace('"version": 1', '"version": 2'), "got int 2"),
    "a version that is true": (
        lambda text: text.replace('"version": 1', '"version": true'),
        "got bool True",
    ),
    "no version": (lambda text: text.replace('"version": 1,', ""), "got NoneType None"),
    "no parameters": (lambda text: text.replace('"parameters"', '"params"'), '"parameters" must be'),
    "a list of parameters": (lambda text: text[: text.index("{", 1)] + "[1]}", '"parameters" must be'),
    "a name twice": (lambda text: text.replace('"w.1"', '"w.0"'), "'w.0' appears twice"),
    "another name": (lambda text: text.replace('"w.1"', '"w.2"'), "missing w.1; unexpected w.2"),
    "nan": (lambda text: text.replace("0.1", "NaN"), "NaN is not a number"),
    "infinite": (lambda text: text.replace("0.1", "1e999"), "w.0 is float inf"),
    "a text": (lambda text: text.replace("0.1", '"0.1"'), "w.0 is str '0.1'"),
    "huge integer": (lambda text: text.replace("0.1", "9" * 5000), "damaged"),
    "nested too deep": (lambda text: "[" * 100_000, "damaged"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused_and_change_nothing(nn, saved, damage):
    neuron, path = saved
    change, message = DAMAGE[damage]
    path.write_text(change(path.read_text()))
    before = neuron.state_dict()
    with pytest.raises(nn.StateError) as caught:
        neuron.load(path)
    assert message in str(caught.value)
    assert "model.json" in str(caught.value)
    assert neuron.state_dict() == before


def test_a_file_cut_at_any_byte_is_refused(nn, saved):
    neuron, path = saved
    content = path.read_bytes().rstrip()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(nn.StateError):
            neuron.load(path)


def test_bytes_that_are_no_utf8_are_refused(nn, saved):
    neuron, path = saved
    path.write_bytes(b"\xff\xfe" + path.read_bytes())
    with pytest.raises(nn.StateError, match="damaged"):
        neuron.load(path)


def test_a_missing_file_is_an_os_error(nn, tmp_path):
    with pytest.raises(FileNotFoundError):
        nn.Neuron(1).load(tmp_path / "none.json")


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["replace", "fsync"])
def test_an_interrupted_save_leaves_the_old_file_and_nothing_else(nn, saved, monkeypatch, failure, where):
    neuron, path = saved
    before = path.read_bytes()
    neuron.b.data = -1.0

    def fail(*_args):
        raise failure

    monkeypatch.setattr(os, where, fail)
    with pytest.raises(type(failure)):
        neuron.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["model.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_pipes_devices_and_folders_are_not_replaced(nn, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    reader, writer = os.pipe()
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path / "folder", f"/dev/fd/{writer}"):
        with pytest.raises(nn.StateError, match=f"cannot save to '{path}': it is a folder, pipe or device"):
            nn.Neuron(2).save(path)
    os.close(reader)
    os.close(writer)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "link", "pipe"]


def test_errors_of_saving_name_the_path_that_was_asked_for(nn, saved, monkeypatch):
    neuron, path = saved
    missing = path.parent / "nowhere" / "m.json"
    with pytest.raises(FileNotFoundError) as caught:
        neuron.save(missing)
    assert (caught.value.filename, caught.value.filename2) == (str(missing), None)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=re.escape(f"No space left on device: {str(path)!r}")):
        neuron.save(path)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_model_that_is_not_finite_is_not_saved(nn, saved, bad):
    neuron, path = saved
    before = path.read_bytes()
    neuron.w[1].data = bad
    with pytest.raises(nn.StateError, match=rf"w\.1 is {bad}"):
        neuron.save(path)
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")
def test_permissions_and_links_survive(saved, tmp_path):
    neuron, path = saved
    path.chmod(0o640)
    link = tmp_path / "latest.json"
    link.symlink_to(path)
    neuron.b.data = 7.0
    neuron.save(link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert json.loads(path.read_text())["parameters"]["b"] == 7.0


def test_threads_that_save_to_one_path_leave_a_whole_file(nn, tmp_path):
    path = tmp_path / "shared.json"
    models = [nn.MLP(2, [8, 1]) for _ in range(4)]
    threads = [threading.Thread(target=lambda m=m: [m.save(path) for _ in range(5)]) for m in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loaded = nn.MLP(2, [8, 1]).load(path).state_dict()
    assert loaded in [m.state_dict() for m in models]
    assert [file.name for file in tmp_path.iterdir()] == ["shared.json"]
