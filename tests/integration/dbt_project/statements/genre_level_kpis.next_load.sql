select pg_backend_pid();

BEGIN;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.genre_level_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
        lock table "dev"."sandbox_reporting"."genre_level_kpis", "dev"."sandbox_staging"."stg_genre_level_kpis";

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.genre_level_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    select distinct batch_id from "dev"."sandbox_staging"."stg_genre_level_kpis" where batch_id is null or batch_id <> '20240605T000000Z-00000002' order by batch_id;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.genre_level_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
select * from (
with
staged as (
    select * from "dev"."sandbox_staging"."stg_genre_level_kpis"
),
staged_dates as (
    select
        listen_date,
        sum(listen_count) as plays,
        max(computed_at) as computed_at
    from staged
    group by listen_date
),
loaded_dates as (
    select
        listen_date,
        sum(listen_count) as plays,
        max(computed_at) as computed_at
    from "dev"."sandbox_reporting"."genre_level_kpis"
    group by listen_date
),
taken_dates as (
    select staged_dates.listen_date
    from staged_dates
    left join loaded_dates
        on staged_dates.listen_date = loaded_dates.listen_date
    where
        loaded_dates.listen_date is null
        or (
        staged_dates.plays > loaded_dates.plays
        or (
            staged_dates.plays = loaded_dates.plays
            and staged_dates.computed_at >= loaded_dates.computed_at
        )
    )
),
final as (
    select
        staged.listen_date,
        staged.track_genre,
        staged.listen_count,
        staged.unique_listeners,
        staged.popularity_index,
        staged.average_duration,
        staged.most_popular_track_id,
        staged.most_popular_track_name,
        staged.batch_id,
        staged.computed_at,
        getdate() as loaded_at
    from staged
    inner join taken_dates
        on staged.listen_date = taken_dates.listen_date
)
select * from final
    ) as __dbt_sbq
    where false
    limit 0;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.genre_level_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
select * from (
        select
    cast(null as date)
 as listen_date,
    cast(null as varchar(256))
 as track_genre,
    cast(null as bigint)
 as listen_count,
    cast(null as bigint)
 as unique_listeners,
    cast(null as double precision)
 as popularity_index,
    cast(null as double precision)
 as average_duration,
    cast(null as varchar(64))
 as most_popular_track_id,
    cast(null as varchar(1024))
 as most_popular_track_name,
    cast(null as varchar(64))
 as batch_id,
    cast(null as timestamp)
 as computed_at,
    cast(null as timestamp)
 as loaded_at
    ) as __dbt_sbq
    where false
    limit 0;

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.genre_level_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    create temporary table
    "genre_level_kpis__dbt_tmp"
  (
    listen_date date not null,
    track_genre varchar(256) not null,
    listen_count bigint not null,
    unique_listeners bigint not null,
    popularity_index double precision not null,
    average_duration double precision,
    most_popular_track_id varchar(64) not null,
    most_popular_track_name varchar(1024),
    batch_id varchar(64) not null,
    computed_at timestamp not null,
    loaded_at timestamp not null
    )
    diststyle key distkey (listen_date)
      compound sortkey(listen_date,track_genre);

insert into "genre_level_kpis__dbt_tmp"
    (
    select listen_date, track_genre, listen_count, unique_listeners, popularity_index, average_duration, most_popular_track_id, most_popular_track_name, batch_id, computed_at, loaded_at
    from (
with
staged as (
    select * from "dev"."sandbox_staging"."stg_genre_level_kpis"
),
staged_dates as (
    select
        listen_date,
        sum(listen_count) as plays,
        max(computed_at) as computed_at
    from staged
    group by listen_date
),
loaded_dates as (
    select
        listen_date,
        sum(listen_count) as plays,
        max(computed_at) as computed_at
    from "dev"."sandbox_reporting"."genre_level_kpis"
    group by listen_date
),
taken_dates as (
    select staged_dates.listen_date
    from staged_dates
    left join loaded_dates
        on staged_dates.listen_date = loaded_dates.listen_date
    where
        loaded_dates.listen_date is null
        or (
        staged_dates.plays > loaded_dates.plays
        or (
            staged_dates.plays = loaded_dates.plays
            and staged_dates.computed_at >= loaded_dates.computed_at
        )
    )
),
final as (
    select
        staged.listen_date,
        staged.track_genre,
        staged.listen_count,
        staged.unique_listeners,
        staged.popularity_index,
        staged.average_duration,
        staged.most_popular_track_id,
        staged.most_popular_track_name,
        staged.batch_id,
        staged.computed_at,
        getdate() as loaded_at
    from staged
    inner join taken_dates
        on staged.listen_date = taken_dates.listen_date
)
select * from final
    ) as model_subq
    );

-- dbt-redshift reads the catalogue

-- dbt-redshift reads the catalogue

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.genre_level_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
delete from "dev"."sandbox_reporting"."genre_level_kpis"
    where listen_date in (select listen_date from "genre_level_kpis__dbt_tmp")
    and not exists (
        select 1
        from "genre_level_kpis__dbt_tmp" as taken
        where
            taken.listen_date = "dev"."sandbox_reporting"."genre_level_kpis".listen_date and
            taken.track_genre = "dev"."sandbox_reporting"."genre_level_kpis".track_genre
    );

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.genre_level_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
      -- back compat for old kwarg name
    merge into "dev"."sandbox_reporting"."genre_level_kpis"
        using "genre_level_kpis__dbt_tmp" as DBT_INTERNAL_SOURCE
        on (
                    DBT_INTERNAL_SOURCE.listen_date = "dev"."sandbox_reporting"."genre_level_kpis".listen_date
                ) and (
                    DBT_INTERNAL_SOURCE.track_genre = "dev"."sandbox_reporting"."genre_level_kpis".track_genre
                )
    when matched then update set
        "listen_date" = DBT_INTERNAL_SOURCE."listen_date",
        "track_genre" = DBT_INTERNAL_SOURCE."track_genre",
        "listen_count" = DBT_INTERNAL_SOURCE."listen_count",
        "unique_listeners" = DBT_INTERNAL_SOURCE."unique_listeners",
        "popularity_index" = DBT_INTERNAL_SOURCE."popularity_index",
        "average_duration" = DBT_INTERNAL_SOURCE."average_duration",
        "most_popular_track_id" = DBT_INTERNAL_SOURCE."most_popular_track_id",
        "most_popular_track_name" = DBT_INTERNAL_SOURCE."most_popular_track_name",
        "batch_id" = DBT_INTERNAL_SOURCE."batch_id",
        "computed_at" = DBT_INTERNAL_SOURCE."computed_at",
        "loaded_at" = DBT_INTERNAL_SOURCE."loaded_at"
    when not matched then insert (
        "listen_date",
        "track_genre",
        "listen_count",
        "unique_listeners",
        "popularity_index",
        "average_duration",
        "most_popular_track_id",
        "most_popular_track_name",
        "batch_id",
        "computed_at",
        "loaded_at"
    )
    values (
        DBT_INTERNAL_SOURCE."listen_date",
        DBT_INTERNAL_SOURCE."track_genre",
        DBT_INTERNAL_SOURCE."listen_count",
        DBT_INTERNAL_SOURCE."unique_listeners",
        DBT_INTERNAL_SOURCE."popularity_index",
        DBT_INTERNAL_SOURCE."average_duration",
        DBT_INTERNAL_SOURCE."most_popular_track_id",
        DBT_INTERNAL_SOURCE."most_popular_track_name",
        DBT_INTERNAL_SOURCE."batch_id",
        DBT_INTERNAL_SOURCE."computed_at",
        DBT_INTERNAL_SOURCE."loaded_at"
    );

-- dbt-redshift reads the catalogue

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.genre_level_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    comment on table "dev"."sandbox_reporting"."genre_level_kpis" is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

-- dbt-redshift reads the catalogue

-- dbt-redshift reads the catalogue

/* {"app": "dbt", "dbt_version": "…", "target_name": "sandbox", "node_id": "model.music_streams.genre_level_kpis", "batch_id": "20240605T000000Z-00000002", "invocation_id": "…", "airflow_run_id": ""} */
    comment on column "dev"."sandbox_reporting"."genre_level_kpis".listen_date is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."genre_level_kpis".track_genre is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."genre_level_kpis".listen_count is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."genre_level_kpis".unique_listeners is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."genre_level_kpis".popularity_index is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."genre_level_kpis".average_duration is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."genre_level_kpis".most_popular_track_id is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."genre_level_kpis".most_popular_track_name is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."genre_level_kpis".batch_id is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."genre_level_kpis".computed_at is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

comment on column "dev"."sandbox_reporting"."genre_level_kpis".loaded_at is $dbt_comment_literal_block$…$dbt_comment_literal_block$;

COMMIT;
