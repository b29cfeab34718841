"""A zip of wheels holds what is listed, for Glue's Python, or an error names the file that is to blame."""

import hashlib
import io
import shutil
import zipfile
from pathlib import Path

import pytest

from infra import glue_wheels
from infra.glue_wheels import WheelError

WHEELS = {
    "duckdb-2.0.1-cp312-abi3-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl": b"duckdb",
    "six-1.17.0-py2.py3-none-any.whl": b"six",
}
OF_A_MAC = "duckdb-2.0.1-cp312-abi3-macosx_11_0_arm64.whl"


def listed(wheels: dict[str, bytes]) -> str:
    return "".join(
        f"{name.split('-')[0]}=={name.split('-')[1]} \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"
        for name, content in wheels.items()
    )


def laid_out(folder: Path, wheels: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in wheels.items():
        (folder / name).write_bytes(content)
    return folder


def test_the_files_of_the_zip_are_the_wheels_and_their_pins(tmp_path: Path) -> None:
    files = glue_wheels.check(laid_out(tmp_path, WHEELS), listed(WHEELS))
    pins = {"wheels/requirements.txt": b"duckdb==2.0.1\nsix==1.17.0\n"}
    assert files == pins | {f"wheels/{name}": content for name, content in WHEELS.items()}


@pytest.mark.parametrize(
    ("wheels", "blamed"),
    [
        ({"six-1.17.0-py2.py3-none-any.whl": b"tampered"}, r"/six-1\.17\.0-.* has the hash [0-9a-f]{64}, which"),
        ({"six-1.16.0-py2.py3-none-any.whl": b"six"}, r"/six-1\.16\.0-.* is not listed in wheels\.txt"),
        ({"seven-1.17.0-py2.py3-none-any.whl": b"seven"}, r"/seven-1\.17\.0-.* is not listed in wheels\.txt"),
        ({"six-1.17.0.tar.gz": b"six"}, r"/six-1\.17\.0\.tar\.gz is no wheel"),
    ],
)
def test_a_file_that_is_not_what_is_listed_is_named(tmp_path: Path, wheels: dict[str, bytes], blamed: str) -> None:
    with pytest.raises(WheelError, match=blamed) as refusal:
        glue_wheels.check(laid_out(tmp_path, wheels), listed(WHEELS))
    assert f"delete {tmp_path} and deploy again" in str(refusal.value)


def test_a_wheel_of_another_platform_is_named_though_its_hash_is_listed(tmp_path: Path) -> None:
    wheels = {OF_A_MAC: b"duckdb"}
    with pytest.raises(WheelError, match=rf"/{OF_A_MAC} is not for Glue's Python 3\.13 on Linux x86_64: delete"):
        glue_wheels.check(laid_out(tmp_path, wheels), listed(wheels))


def test_a_missing_wheel_is_named(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match="lacks the wheels of duckdb, six"):
        glue_wheels.check(tmp_path, listed(WHEELS))


def test_what_pip_cannot_get_is_reported_in_its_words_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror").mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "mirror")}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WheelError, match=r"No matching distribution found for duckdb==2\.0\.1(.|\n)*PIP_INDEX_URL"):
        glue_wheels.fetch(listed(WHEELS), tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_wheels_of_a_mirror_with_other_hashes_are_refused_by_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out(tmp_path, dict.fromkeys(WHEELS, b"tampered"))
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WheelError, match=r"DO NOT MATCH THE HASHES(.|\n)*duckdb==2\.0\.1"):
        glue_wheels.fetch(listed(WHEELS), tmp_path / "kept")


def test_what_was_fetched_is_checked_again_and_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = {name: real_wheel(*name.split("-")[:2]) for name in WHEELS}
    mirror = laid_out(tmp_path / "mirror", wheels)
    laid_out(mirror, {OF_A_MAC: real_wheel("duckdb", "2.0.1")})
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(mirror)}.items():
        monkeypatch.setenv(name, value)

    first = glue_wheels.fetch(listed(wheels), tmp_path / "kept")

    assert {f"wheels/{name}" for name in WHEELS} == first.keys() - {"wheels/requirements.txt"}
    shutil.rmtree(mirror)
    assert glue_wheels.fetch(listed(wheels), tmp_path / "kept") == first
    (kept,) = (tmp_path / "kept").iterdir()
    (kept / "six-1.17.0-py2.py3-none-any.whl").write_bytes(b"rotten")
    with pytest.raises(WheelError, match="has the hash"):
        glue_wheels.fetch(listed(wheels), tmp_path / "kept")


def real_wheel(name: str, version: str) -> bytes:
    """What pip takes for a wheel of a package without files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        about = f"{name}-{version}.dist-info"
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return content.getvalue()
