-- Computes partial rows for the KPIs of genres, of a part of a date or of whole dates: plays by track, and listeners by
-- genre.
-- Reads `events` (user_id, track_id, listen_time) and `songs`.
with plays_of_track as (

    select
        cast(listen_time as date) as listen_date,
        track_id,
        count(*) as plays
    from events
    group by all

),

known_songs as (

    select
        track_id,
        track_name,
        duration_ms,
        track_genre
    from songs
    semi join plays_of_track using (track_id)

),

genre_of_track as (

    select
        plays_of_track.listen_date,
        plays_of_track.track_id,
        plays_of_track.plays,
        known_songs.track_name,
        known_songs.duration_ms,
        coalesce(known_songs.track_genre, 'unknown') as track_genre
    from plays_of_track
    left join known_songs using (track_id)

),

listeners_of_genre as (

    select distinct
        genre_of_track.listen_date,
        genre_of_track.track_genre,
        events.user_id
    from events
    inner join genre_of_track
        on
            events.track_id = genre_of_track.track_id
            and cast(events.listen_time as date) = genre_of_track.listen_date

)

select
    listen_date,
    track_genre,
    track_id,
    track_name,
    duration_ms,
    plays,
    null::bigint as unique_listeners
from genre_of_track
union all
select
    listen_date,
    track_genre,
    null as track_id,
    null as track_name,
    null as duration_ms,
    null as plays,
    count(*) as unique_listeners
from listeners_of_genre
group by listen_date, track_genre
