-- The KPIs of a date's genres from `partials`, the partial rows of all its parts; see docs/kpis.md.
with plays_of_track as (

    select
        listen_date,
        track_genre,
        track_id,
        min(track_name) as track_name,
        min(duration_ms) as duration_ms,
        cast(sum(plays) as bigint) as plays
    from partials
    where track_id is not null
    group by listen_date, track_genre, track_id

),

most_popular_tracks as (

    select
        listen_date,
        track_genre,
        track_id,
        track_name
    from plays_of_track
    qualify row_number() over (partition by listen_date, track_genre order by plays desc, track_id asc) = 1

),

listeners_of_genre as (

    select
        listen_date,
        track_genre,
        cast(sum(unique_listeners) as bigint) as unique_listeners
    from partials
    where track_id is null
    group by listen_date, track_genre

),

plays_of_genre as (

    select
        listen_date,
        track_genre,
        cast(sum(plays) as bigint) as listen_count,
        -- Summed as decimals, so that the same events give the same bits, whatever their order and their parts.
        cast(sum(duration_ms * plays) as double) as milliseconds,
        sum(plays) filter (where duration_ms is not null) as timed_plays
    from plays_of_track
    group by listen_date, track_genre

)

select
    listen_date,
    track_genre,
    plays_of_genre.listen_count,
    listeners_of_genre.unique_listeners,
    plays_of_genre.listen_count
    / cast(sum(plays_of_genre.listen_count) over (partition by listen_date) as double) as popularity_index,
    case when track_genre <> 'unknown'
        then plays_of_genre.milliseconds / plays_of_genre.timed_plays / 1000
    end as average_duration,
    fit(most_popular_tracks.track_id, 64) as most_popular_track_id,
    fit(most_popular_tracks.track_name, 1024) as most_popular_track_name
from plays_of_genre
inner join listeners_of_genre using (listen_date, track_genre)
inner join most_popular_tracks using (listen_date, track_genre)
