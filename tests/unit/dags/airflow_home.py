"""Import this before Airflow: it gives Airflow a home of its own, else it would write into the developer's."""

import atexit
import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="airflow-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ.setdefault("AIRFLOW_HOME", _home)
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__COSMOS__CACHE_DIR", f"{_home}/cosmos")
os.environ.setdefault("AIRFLOW__COSMOS__ENABLE_TELEMETRY", "False")
