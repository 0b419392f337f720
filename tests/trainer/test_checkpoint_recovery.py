from __future__ import annotations

import pytest
import tensorflow as tf

from trainer.checkpoint_recovery import describe_damage, recover, require_sound

DATA = ".data-00000-of-00001"


@pytest.fixture
def folder(tmp_path):
    """`ckpt-1` to `ckpt-3`, each with a variable that holds its number."""
    _manager(tmp_path, 3, steps=(1, 2, 3))
    return tmp_path


def _manager(folder, keep=3, steps=()):
    variable = tf.Variable(tf.zeros([1000]))
    checkpoint = tf.train.Checkpoint(v=variable)
    manager = tf.train.CheckpointManager(
        checkpoint, str(folder), max_to_keep=keep, checkpoint_name="ckpt"
    )
    for step in steps:
        variable.assign(tf.fill([1000], float(step)))
        manager.save(step)
    return manager


def _value(folder):
    return tf.train.load_variable(str(folder), "v/.ATTRIBUTES/VARIABLE_VALUE")[0]


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("suffix", [DATA, ".index"])
@pytest.mark.parametrize("damage", [_cut, _flip, _empty, lambda path: path.unlink()])
def test_a_damaged_newest_is_kept_aside_and_the_one_before_used(folder, suffix, damage):
    assert describe_damage(str(folder / "ckpt-3")) is None
    damage(folder / f"ckpt-3{suffix}")
    assert describe_damage(str(folder / "ckpt-3"))
    kept = {p.name: p.read_bytes() for p in folder.glob("ckpt-3.*")}
    (note,) = recover(folder)
    assert "ckpt-3 is damaged (" in note and "continuing from ckpt-2" in note
    assert _value(folder) == 2.0
    assert not list(folder.glob("ckpt-3.*"))
    for name, content in kept.items():
        assert (folder / f"damaged-{name}").read_bytes() == content
    assert recover(folder) == []
    # The manager goes on: it saves the step again and still removes the oldest.
    manager = _manager(folder, keep=2)
    assert manager.latest_checkpoint == str(folder / "ckpt-2")
    assert [p.rpartition("-")[2] for p in manager.checkpoints] == ["1", "2"]
    _manager(folder, keep=2, steps=[3])
    assert _value(folder) == 3.0
    assert not (folder / "ckpt-1.index").exists()


def test_a_second_damaged_one_does_not_replace_the_first(folder):
    for expected in ("damaged-ckpt-3.index", "damaged-ckpt-3-1.index"):
        _cut(folder / f"ckpt-3{DATA}")
        recover(folder)
        assert (folder / expected).exists()
        _manager(folder, steps=[3])


def test_where_all_are_damaged_they_are_named_and_left(folder):
    for step in (1, 2, 3):
        _cut(folder / f"ckpt-{step}{DATA}")
    before = sorted(p.name for p in folder.iterdir())
    with pytest.raises(ValueError, match=r"ckpt-3: .*; ckpt-2: .*; ckpt-1: .* to start anew"):
        recover(folder)
    assert sorted(p.name for p in folder.iterdir()) == before


def test_what_is_not_required_is_done_without(folder):
    for step in (1, 2, 3):
        _cut(folder / f"ckpt-{step}{DATA}")
    assert len(recover(folder, required=False)) == 3
    assert not list(folder.glob("ckpt-*")) and not (folder / "checkpoint").exists()
    assert len(list(folder.glob("damaged-*.index"))) == 3


@pytest.mark.parametrize("content", [b"", b"garbage {{{", b"\xff\xfe\x80", None])
def test_a_garbled_list_is_made_again_from_the_folder(folder, content):
    if content is None:
        (folder / "checkpoint").unlink()
    else:
        (folder / "checkpoint").write_bytes(content)
    _manager_of_ten = folder / "ckpt-10.index"
    _manager_of_ten.write_bytes(b"never finished")
    notes = recover(folder)
    assert len(notes) == (1 if content is None else 2)
    assert _value(folder) == 3.0
    assert len(_manager(folder).checkpoints) == 3


def test_a_list_without_any_checkpoint_is_an_error(tmp_path):
    (tmp_path / "checkpoint").write_bytes(b"garbage")
    with pytest.raises(ValueError, match="checkpoint: cannot be read"):
        recover(tmp_path)


def test_the_list_decides_which_is_the_newest(folder):
    state = (folder / "checkpoint").read_text()
    older = state.replace('model_checkpoint_path: "ckpt-3"', 'model_checkpoint_path: "ckpt-1"', 1)
    (folder / "checkpoint").write_text(older)
    assert recover(folder) == []
    assert _value(folder) == 1.0


def test_a_first_save_that_was_cut_off_begins_anew(tmp_path):
    assert recover(tmp_path) == [] and recover(tmp_path / "nowhere") == []
    (tmp_path / "ckpt-1.index").write_bytes(b"half")
    (note,) = recover(tmp_path)
    assert "going on without" in note


def test_an_evaluation_does_not_touch_a_damaged_one(folder):
    require_sound(folder)
    _cut(folder / f"ckpt-3{DATA}")
    before = sorted(p.name for p in folder.iterdir())
    with pytest.raises(ValueError, match=r"is damaged \(ckpt-3: "):
        require_sound(folder)
    assert sorted(p.name for p in folder.iterdir()) == before


@pytest.mark.parametrize("relative", [False, True])
def test_checkpoints_of_another_folder_are_neither_restored_nor_removed(tmp_path, relative):
    """A file `checkpoint` may say anything: TensorFlow would follow it out of the folder."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    _manager(mine, steps=(1, 2))
    _manager(other, steps=(1, 2))
    place = "../other" if relative else other
    lines = [f'model_checkpoint_path: "{place}/ckpt-2"']
    lines += [f'all_model_checkpoint_paths: "{place}/ckpt-{n}"' for n in (1, 2)]
    (mine / "checkpoint").write_text("\n".join(lines))
    assert recover(mine) == []
    assert _manager(mine).latest_checkpoint == str(mine / "ckpt-2")
    _manager(mine, keep=1, steps=(3,))
    assert sorted(path.name for path in mine.glob("*.index")) == ["ckpt-3.index"]
    assert len(list(other.glob("*.index"))) == 2
