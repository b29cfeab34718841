{#- The rows and plays of each date, and the number of dates, equal the Glue job's counts in every loaded row. -#}
{% test matches_its_audit_columns(model) %}

with

-- if the rows of a date have different counts, the date has several rows here, and so the number of dates is too large
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
