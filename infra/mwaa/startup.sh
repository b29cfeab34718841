# shellcheck shell=bash
# This part is the same in every deployment. infra/bundle.py prepends the part that differs: variables, and a function
# `dbt_requirements` that prints the packages of dbt's environment with their hashes.
#
# MWAA sources this script with bash in each of its containers, before it installs requirements.txt, and passes the
# exported variables to Airflow. So nothing here may change the shell (no `set -e`). To fail, the script calls `exit`:
# MWAA then finds no variables, does not start the container, and rolls back an update of the environment.

export MUSIC_STREAMS_DBT_PROJECT_DIR="$AIRFLOW_HOME/dags/dbt"
export MUSIC_STREAMS_DBT_EXECUTABLE="$AIRFLOW_HOME/dbt/bin/dbt"
export DBT_PROFILES_DIR="$AIRFLOW_HOME/dags/dbt"
export DBT_SEND_ANONYMOUS_USAGE_STATS=false
export DO_NOT_TRACK=1
export GX_ANALYTICS_ENABLED=false
export AIRFLOW__COSMOS__ENABLE_TELEMETRY=False
# With versioning, Cosmos would read the whole dbt project whenever the DAG is parsed.
export AIRFLOW__COSMOS__ENABLE_DAG_VERSIONING=False

# The registry may be slow, or fail for a moment, so pip is retried. MWAA gives the script 300 seconds, so the last try
# must start early enough. pip's cache keeps the packages that an earlier try has fetched. Compiling all modules would
# take a third of pip's time: dbt's first command compiles those that it imports.
install_patiently() {
    local python="$1" list="$2" began=$SECONDS try
    for try in 1 2 3 4; do
        if PIP_USER=0 timeout $((began + 240 - SECONDS)) "$python" -m pip install --quiet --no-input \
            --disable-pip-version-check --no-compile --timeout 20 --retries 2 \
            --require-hashes --only-binary :all: --no-deps --requirement "$list"; then
            return
        fi
        echo "pip failed at try $try, $((SECONDS - began)) s after it began" >&2
        if [ $((SECONDS - began)) -gt 120 ]; then
            return 1
        fi
        sleep 5
    done
    return 1
}

# dbt needs older packages than MWAA's own, so it gets an environment of its own. The list is moved into it last, so an
# environment that holds the list is complete. MWAA sets PIP_USER, which would make pip install outside the environment.
build_dbt_environment() {
    local folder="$1" list="$1.requirements.txt"
    dbt_requirements >"$list" || return
    if cmp -s "$list" "$folder/requirements.txt"; then
        return
    fi
    rm -rf "$folder" &&
        python3 -m venv "$folder" &&
        install_patiently "$folder/bin/python" "$list" &&
        "$folder/bin/python" -m pip check &&
        mv "$list" "$folder/requirements.txt"
}

case "${MWAA_AIRFLOW_COMPONENT:-}" in
scheduler | webserver | migrate-db) ;; # no tasks run there
*)
    if ! build_dbt_environment "$AIRFLOW_HOME/dbt"; then
        echo "error: cannot make dbt's environment in $AIRFLOW_HOME/dbt; what failed stands above." \
            "When pip found no package: can the environment's subnets reach PyPI?" >&2
        exit 1
    fi
    ;;
esac
