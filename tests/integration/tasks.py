"""Names of Glue jobs and of the tasks that belong to them."""

CURATION, GENRE, HOURLY = "curate-user-streams", "genre_level_kpis", "hourly-kpis"
TRIGGER = {
    CURATION: "trigger_spark_curate_user_streams_job_task",
    GENRE: "trigger_spark_genre_level_kpis_job_task",
    HOURLY: "trigger_spark_hourly_kpis_job_task",
}
WAIT = {
    CURATION: "wait_for_spark_curate_user_streams_job_completion_task",
    GENRE: "wait_for_spark_genre_level_kpis_job_completion_task",
    HOURLY: "wait_for_spark_hourly_kpis_job_completion_task",
}
# The first and the second task that dbt has for a table.
LOAD, MERGE = (
    {
        GENRE: f"write_genre_level_kpis_to_redshift.{genre_level}_model_build",
        HOURLY: f"write_hourly_kpis_to_redshift.{hourly}_model_build",
    }
    for genre_level, hourly in (("stg_genre_level_kpis", "stg_hourly_kpis"), ("genre_level_kpis", "hourly_kpis"))
)
