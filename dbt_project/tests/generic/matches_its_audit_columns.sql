{#- Per date as many rows and plays, and as many dates, as every loaded row says that the Glue job has written. -#}
{% test matches_its_audit_columns(model) %}

with

-- a date whose rows disagree stands here twice, and so makes a date too many
loaded as (

    select
        listen_date,
        rows_of_date,
        plays_of_date,
        dates_of_batch,
        count(*) as rows_loaded,
        sum(listen_count) as plays_loaded
    from {{ model }}
    group by listen_date, rows_of_date, plays_of_date, dates_of_batch

),

counted as (

    select
        *,
        count(*) over () as dates_loaded
    from loaded

)

select *
from counted
where
    rows_of_date is null
    or plays_of_date is null
    or dates_of_batch is null
    or plays_loaded is null
    or rows_loaded <> rows_of_date
    or plays_loaded <> plays_of_date
    or dates_loaded <> dates_of_batch

{% endtest %}
