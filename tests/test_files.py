"""A file appears whole or not at all, and an error leaves what was there and nothing beside it."""

from pathlib import Path

import pytest

from ahsar.files import replacing, write_whole


def test_text_and_bytes_are_written_into_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    assert write_whole(path, "θ\n") == path and path.read_bytes() == "θ\n".encode()
    write_whole(path, b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n" and list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "a.bin", b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half of the new")
        file.flush()
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_an_error_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="a"):
        write_whole(tmp_path / "a", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
