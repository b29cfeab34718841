"""moto's Glue with the job runs of `GlueRuns`, and with the calls on jobs that moto 5.2.5 lacks."""

from collections.abc import Callable
from typing import Any, ClassVar

from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.glue import urls
from moto.glue.exceptions import (
    ConcurrentRunsExceededException,
    GlueClientError,
    InvalidInputException,
    JobRunNotFoundException,
)
from moto.glue.models import FakeJob, GlueBackend, glue_backends
from moto.glue.responses import GlueResponse

from sandbox.aws.glue_runs import (
    DEFAULT_TIMEOUT_MINUTES,
    ConcurrentRunsExceededError,
    GlueRuns,
    Job,
    Run,
    RunFinishedError,
)

# The fields of CreateJob and UpdateJob that moto stores; JobRunQueuingEnabled is stored separately.
DEFINITION = (
    "Description",
    "LogUri",
    "Role",
    "ExecutionProperty",
    "Command",
    "DefaultArguments",
    "NonOverridableArguments",
    "Connections",
    "MaxRetries",
    "AllocatedCapacity",
    "Timeout",
    "MaxCapacity",
    "SecurityConfiguration",
    "NotificationProperty",
    "GlueVersion",
    "NumberOfWorkers",
    "WorkerType",
    "CodeGenConfigurationNodes",
    "ExecutionClass",
    "SourceControlDetails",
)
DESCRIBED = (
    "AllocatedCapacity",
    "MaxCapacity",
    "NumberOfWorkers",
    "WorkerType",
    "SecurityConfiguration",
    "GlueVersion",
)


class RunningGlueBackend(GlueBackend):
    """moto's Glue with real runs."""

    runs: ClassVar[GlueRuns]

    @property
    def _url_module(self) -> Any:
        return urls  # moto would look for them beside the class's own module

    @property
    def url_paths(self) -> dict[str, Callable[..., Any]]:
        return dict.fromkeys(super().url_paths, RunningGlueResponse.dispatch)

    def define_job(self, name: str, definition: dict[str, Any], tags: dict[str, str] | None) -> None:
        """Creates the job or replaces its definition; `definition` has the keys of CreateJob."""
        fields: dict[str, Any] = {camelcase_to_underscores(key): definition.get(key) for key in DEFINITION}
        created_on = self.jobs[name].created_on if name in self.jobs else None
        self.create_job(name=name, tags=tags or {}, **fields)
        job: Any = self.jobs[name]
        job.job_run_queuing_enabled = bool(definition.get("JobRunQueuingEnabled"))
        job.created_on = created_on or job.created_on


class RunningGlueResponse(GlueResponse):
    """The calls on jobs and their runs."""

    @property
    def _backend(self) -> RunningGlueBackend:
        backend = self.glue_backend
        assert isinstance(backend, RunningGlueBackend)
        return backend

    def create_job(self) -> ActionResult:
        name = self.parameters["Name"]
        known = self._backend.jobs.get(name)
        if known and _definition(_described(known)) != _definition(self.parameters):
            raise GlueClientError(
                "IdempotentParameterMismatchException",
                f"Job with name: {name} already submitted with different configuration",
            )
        if not known:
            self._backend.define_job(name, self.parameters, self.parameters.get("Tags"))
        return ActionResult({"Name": name})

    def update_job(self) -> ActionResult:
        name = self.parameters["JobName"]
        self._backend.get_job(name)
        self._backend.define_job(name, self.parameters["JobUpdate"], None)
        return ActionResult({"JobName": name})

    def get_job(self) -> ActionResult:
        return ActionResult({"Job": _described(self._backend.get_job(self.parameters["JobName"]))})

    def get_jobs(self) -> ActionResult:
        jobs, token = self._backend.get_jobs(
            next_token=self.parameters.get("NextToken"), max_results=self.parameters.get("MaxResults")
        )
        return ActionResult({"Jobs": [_described(job) for job in jobs], "NextToken": token})

    def start_job_run(self) -> ActionResult:
        request = self.parameters
        if request.get("AllocatedCapacity") and request.get("MaxCapacity"):
            raise InvalidInputException("StartJobRun", "Please set only Allocated Capacity or Max Capacity")
        job = _job(self._backend.get_job(request["JobName"]), request)
        try:
            run = self._backend.runs.start(job, previous_run_id=request.get("JobRunId"))
        except ConcurrentRunsExceededError as error:
            raise ConcurrentRunsExceededException(str(error)) from error
        return ActionResult({"JobRunId": run.id})

    def get_job_run(self) -> ActionResult:
        run = self._backend.runs.get(self.parameters["JobName"], self.parameters["RunId"])
        if run is None:
            raise JobRunNotFoundException(self.parameters["RunId"])
        return ActionResult({"JobRun": _reported(run)})

    def get_job_runs(self) -> ActionResult:
        name = self.parameters["JobName"]
        runs = self._backend.runs.of_job(name)
        if not runs:
            self._backend.get_job(name)  # raises if the job does not exist
        try:
            first = int(self.parameters.get("NextToken") or 0)
        except ValueError as error:
            raise InvalidInputException("GetJobRuns", "NextToken is not one of ours") from error
        after = first + int(self.parameters.get("MaxResults") or 200)
        page = {"JobRuns": [_reported(run) for run in runs[first:after]]}
        return ActionResult(page | ({"NextToken": str(after)} if after < len(runs) else {}))

    def batch_stop_job_run(self) -> ActionResult:
        name = self.parameters["JobName"]
        stopped = []
        errors = []
        for run_id in self.parameters["JobRunIds"]:
            entry: dict[str, Any] = {"JobName": name, "JobRunId": run_id}
            run = self._backend.runs.get(name, run_id)
            if run is None:
                detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": f"Job run {run_id} not found."}
                errors.append(entry | {"ErrorDetail": detail})
                continue
            try:
                self._backend.runs.stop(run)
                stopped.append(entry)
            except RunFinishedError as error:
                detail = {"ErrorCode": "InvalidJobRunStateTransitionException", "ErrorMessage": str(error)}
                errors.append(entry | {"ErrorDetail": detail})
        return ActionResult({"SuccessfulSubmissions": stopped, "Errors": errors})


def install(runs: GlueRuns) -> None:
    """Makes this process's Glue run its jobs; call it before moto's first request."""
    RunningGlueBackend.runs = runs
    glue_backends.backend = RunningGlueBackend


def _described(job: FakeJob) -> dict[str, Any]:
    return job.as_dict() | {"JobRunQueuingEnabled": getattr(job, "job_run_queuing_enabled", False)}


def _definition(parameters: dict[str, Any]) -> dict[str, Any]:
    definition = {key: parameters.get(key) or None for key in (*DEFINITION, "JobRunQueuingEnabled")}
    return definition | {"ExecutionClass": definition["ExecutionClass"] or "STANDARD"}


def _job(job: FakeJob, request: dict[str, Any]) -> Job:
    """Returns the job with the overrides of StartJobRun."""
    defined = _described(job)
    script = defined["Command"].get("ScriptLocation", "")
    arguments = {
        "--TempDir": f"s3://{script.removeprefix('s3://').split('/')[0]}/temporary/",
        **defined["DefaultArguments"],
        **(request.get("Arguments") or {}),
        **(defined["NonOverridableArguments"] or {}),
    }
    return Job(
        name=job.name,
        script_location=script,
        arguments=arguments,
        role=defined["Role"] or "",
        timeout_minutes=request.get("Timeout") or defined["Timeout"] or DEFAULT_TIMEOUT_MINUTES,
        max_concurrent_runs=(defined["ExecutionProperty"] or {}).get("MaxConcurrentRuns", 1),
        # StartJobRun: without it a run "will not be considered for queueing", whatever the job's setting.
        queuing=bool(request.get("JobRunQueuingEnabled")),
        described={key: request.get(key) or defined[key] for key in DESCRIBED},
    )


def _reported(run: Run) -> dict[str, Any]:
    shown = {
        "Id": run.id,
        "Attempt": 0,
        "PreviousRunId": run.previous_run_id,
        "JobName": run.job.name,
        "JobMode": "SCRIPT",
        "JobRunQueuingEnabled": run.job.queuing,
        "StartedOn": run.started_on,
        "LastModifiedOn": run.last_modified_on,
        "CompletedOn": run.completed_on,
        "JobRunState": run.state,
        "Arguments": run.arguments,
        "ErrorMessage": run.error_message,
        "PredecessorRuns": [],
        "ExecutionTime": run.execution_seconds,
        "Timeout": run.job.timeout_minutes,
        "LogGroupName": "/aws-glue/jobs",
        **run.job.described,
    }
    return {key: value for key, value in shown.items() if value is not None}
