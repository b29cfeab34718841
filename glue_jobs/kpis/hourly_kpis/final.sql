-- The KPIs of hours from `partials`, the partial rows of all parts of their date; see docs/kpis.md.
with listeners as (

    select
        listen_date,
        listen_hour,
        cast(sum(plays) as bigint) as listen_count,
        cast(sum(unique_listeners) as bigint) as unique_listeners
    from partials
    where kind = 'listeners'
    group by listen_date, listen_hour

),

plays_of_name as (

    select
        listen_date,
        listen_hour,
        kind,
        name,
        min(oldest) as oldest,
        cast(sum(plays) as bigint) as plays
    from partials
    where kind <> 'listeners'
    group by listen_date, listen_hour, kind, name

),

tracks as (

    select
        listen_date,
        listen_hour,
        count(*) as distinct_tracks
    from plays_of_name
    where kind = 'track'
    group by listen_date, listen_hour

),

top_artists as (

    select
        listen_date,
        listen_hour,
        name as artist,
        plays
    from plays_of_name
    where kind = 'artist'
    qualify row_number() over (partition by listen_date, listen_hour order by plays desc, name asc) = 1

),

most_engaged_age_groups as (

    select
        listen_date,
        listen_hour,
        name as age_band
    from plays_of_name
    where kind = 'age band'
    qualify row_number() over (partition by listen_date, listen_hour order by plays desc, oldest asc) = 1

)

select
    listen_date,
    listen_hour,
    listeners.listen_count,
    listeners.unique_listeners,
    listeners.listen_count / cast(listeners.unique_listeners as double) as listens_per_listener,
    fit(top_artists.artist, 1024) as top_artist,
    top_artists.plays as top_artist_listen_count,
    tracks.distinct_tracks / cast(listeners.listen_count as double) as diversity_index,
    most_engaged_age_groups.age_band as most_engaged_age_group
from listeners
inner join tracks using (listen_date, listen_hour)
left join top_artists using (listen_date, listen_hour)
left join most_engaged_age_groups using (listen_date, listen_hour)
