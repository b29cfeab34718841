{#- Per date, as many rows and plays as the Glue job counted; and no date more, none fewer. -#}
{% test matches_counts(model, counts) %}

with

loaded as (

    select
        listen_date,
        count(*) as row_count,
        sum(listen_count) as play_count
    from {{ model }}
    group by listen_date

),

counted as (

    select
        listen_date,
        row_count,
        play_count
    from {{ counts }}

)

select
    coalesce(loaded.listen_date, counted.listen_date) as listen_date,
    loaded.row_count as rows_loaded,
    counted.row_count as rows_counted,
    loaded.play_count as plays_loaded,
    counted.play_count as plays_counted
from loaded
full outer join counted
    on loaded.listen_date = counted.listen_date
where
    loaded.listen_date is null
    or counted.listen_date is null
    or loaded.row_count <> counted.row_count
    or loaded.play_count <> counted.play_count

{% endtest %}
