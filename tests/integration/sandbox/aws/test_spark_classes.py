"""The archive of Spark's classes really is what Spark starts from."""

import subprocess
import sys
from pathlib import Path

from sandbox.aws.spark_classes import prepare
from sandbox.aws.spark_settings import DEFAULTS, java_home, spark_environment, write_spark_conf

SCRIPT = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(spark.range(3).count())
spark.stop()
"""


def test_spark_starts_from_the_archive_in_folders_of_any_name(tmp_path: Path) -> None:
    archive = prepare()
    assert archive.exists()
    conf = write_spark_conf(tmp_path / "my conf", "http://127.0.0.1:1", tmp_path / "my scratch")
    defaults = conf / DEFAULTS
    assert str(archive) in defaults.read_text()
    # Java then refuses to start without the archive, rather than doing without it.
    defaults.write_text(defaults.read_text().replace("-Xshare:auto", "-Xshare:on"))
    environment = {"PATH": "/usr/bin:/bin", **spark_environment(conf, java_home())}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "3\n"), run.stderr
    assert run.stderr == "", "nothing to warn about"


def test_an_archive_that_is_there_is_not_made_again() -> None:
    made = prepare().stat()
    assert prepare().stat() == made
