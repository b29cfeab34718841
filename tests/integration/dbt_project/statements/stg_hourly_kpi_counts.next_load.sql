select pg_backend_pid();

BEGIN;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_hourly_kpi_counts", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
drop table if exists "dev"."sandbox_staging"."stg_hourly_kpi_counts__dbt_tmp";

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_hourly_kpi_counts", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
create table "dev"."sandbox_staging"."stg_hourly_kpi_counts__dbt_tmp"
  (
    listen_date date,
    row_count bigint,
    play_count bigint,
    batch_id varchar(64),
    computed_at timestamp
    );

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_hourly_kpi_counts", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
copy "dev"."sandbox_staging"."stg_hourly_kpi_counts__dbt_tmp"
from 's3://music-streams-dbt-tests/music_streams/output/hourly-kpis/batch_id=20240605T000000Z-00000002/counts.csv'
iam_role 'arn:aws:iam::123456789012:role/copy'
format as csv
ignoreheader 1
timeformat 'auto';

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_hourly_kpi_counts", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
drop table if exists "dev"."sandbox_staging"."stg_hourly_kpi_counts";

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_hourly_kpi_counts", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
alter table "dev"."sandbox_staging"."stg_hourly_kpi_counts__dbt_tmp" rename to "stg_hourly_kpi_counts";

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_hourly_kpi_counts", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    grant select on "dev"."sandbox_staging"."stg_hourly_kpi_counts" to ROLE analysts;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_hourly_kpi_counts", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    comment on table "dev"."sandbox_staging"."stg_hourly_kpi_counts" is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

-- dbt-redshift reads the catalogue

-- dbt-redshift reads the catalogue

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_hourly_kpi_counts", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    comment on column "dev"."sandbox_staging"."stg_hourly_kpi_counts".listen_date is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_hourly_kpi_counts".row_count is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_hourly_kpi_counts".play_count is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_hourly_kpi_counts".batch_id is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_hourly_kpi_counts".computed_at is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

COMMIT;
