with

led as (

    select
        listen_hour,
        most_engaged_age_group,
        count(*) as days_led
    from {{ ref('hourly_kpis') }}
    where most_engaged_age_group is not null
    group by listen_hour, most_engaged_age_group

)

select
    listen_hour,
    most_engaged_age_group,
    days_led,
    cast(round(1.0 * days_led / sum(days_led) over (partition by listen_hour), 3) as double precision) as share_of_days
from led
