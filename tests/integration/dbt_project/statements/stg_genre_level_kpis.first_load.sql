select pg_backend_pid();

BEGIN;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_genre_level_kpis", "batch_id": "20240604T000000Z-00000001", "invocation_id": "…", "airflow_run_id": ""} */
drop table if exists "dev"."sandbox_staging"."stg_genre_level_kpis__dbt_tmp";

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_genre_level_kpis", "batch_id": "20240604T000000Z-00000001", "invocation_id": "…", "airflow_run_id": ""} */
create table "dev"."sandbox_staging"."stg_genre_level_kpis__dbt_tmp"
  (
    listen_date date,
    track_genre varchar(256),
    listen_count bigint,
    unique_listeners bigint,
    popularity_index double precision,
    average_duration double precision,
    most_popular_track_id varchar(64),
    most_popular_track_name varchar(1024),
    rows_of_date bigint,
    plays_of_date bigint,
    dates_of_batch bigint,
    batch_id varchar(64),
    computed_at timestamp
    );

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_genre_level_kpis", "batch_id": "20240604T000000Z-00000001", "invocation_id": "…", "airflow_run_id": ""} */
copy "dev"."sandbox_staging"."stg_genre_level_kpis__dbt_tmp"
from 's3://music-streams-dbt-tests/music_streams/output/genre_level_kpis/batch_id=20240604T000000Z-00000001/manifest.json'
iam_role 'arn:aws:iam::123456789012:role/copy'
format as parquet
manifest;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_genre_level_kpis", "batch_id": "20240604T000000Z-00000001", "invocation_id": "…", "airflow_run_id": ""} */
drop table if exists "dev"."sandbox_staging"."stg_genre_level_kpis";

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_genre_level_kpis", "batch_id": "20240604T000000Z-00000001", "invocation_id": "…", "airflow_run_id": ""} */
alter table "dev"."sandbox_staging"."stg_genre_level_kpis__dbt_tmp" rename to "stg_genre_level_kpis";

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_genre_level_kpis", "batch_id": "20240604T000000Z-00000001", "invocation_id": "…", "airflow_run_id": ""} */
    grant select on "dev"."sandbox_staging"."stg_genre_level_kpis" to ROLE analysts;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_genre_level_kpis", "batch_id": "20240604T000000Z-00000001", "invocation_id": "…", "airflow_run_id": ""} */
    comment on table "dev"."sandbox_staging"."stg_genre_level_kpis" is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

-- dbt-redshift reads the catalogue

-- dbt-redshift reads the catalogue

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.stg_genre_level_kpis", "batch_id": "20240604T000000Z-00000001", "invocation_id": "…", "airflow_run_id": ""} */
    comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".listen_date is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".track_genre is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".listen_count is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".unique_listeners is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".popularity_index is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".average_duration is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".most_popular_track_id is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".most_popular_track_name is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".rows_of_date is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".plays_of_date is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".dates_of_batch is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".batch_id is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_staging"."stg_genre_level_kpis".computed_at is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

COMMIT;
