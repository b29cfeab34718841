-- Computes partial rows for the KPIs of hours, of a part of a date or of whole dates: listeners, and plays by age band,
-- artist and track; the column `kind` names the type of row.
-- Reads `events` (user_id, track_id, listen_time), `songs` and `users`.
with plays as (

    select
        cast(listen_time as date) as listen_date,
        cast(hour(listen_time) as smallint) as listen_hour,
        user_id,
        track_id
    from events

),

plays_of_user as (

    select
        listen_date,
        listen_hour,
        user_id,
        count(*) as plays
    from plays
    group by all

),

plays_of_track as (

    select
        listen_date,
        listen_hour,
        track_id,
        count(*) as plays
    from plays
    group by all

),

age_bands (youngest, oldest, age_band) as (

    values
    (0, 17, '<18'),
    (18, 25, '18-25'),
    (26, 35, '26-35'),
    (36, 45, '36-45'),
    (46, 55, '46-55'),
    (56, 65, '56-65'),
    (66, 130, '66+')

),

band_of_user as (

    select
        known_users.user_id,
        age_bands.oldest,
        age_bands.age_band
    from (select * from users semi join plays_of_user using (user_id)) as known_users
    inner join age_bands on known_users.user_age between age_bands.youngest and age_bands.oldest

),

-- A play counts for every artist in the track's list, once each.
artists_of_track as (

    select
        track_id,
        unnest(list_distinct(list_transform(
            string_split(artists, ';'),
            lambda artist: trim(artist, e' \t\r\n\f\x0b')
        ))) as artist
    from songs
    semi join plays_of_track using (track_id)

)

select
    listen_date,
    listen_hour,
    'listeners' as kind,
    null::varchar as name,
    null::integer as oldest,
    cast(sum(plays) as bigint) as plays,
    count(*) as unique_listeners
from plays_of_user
group by listen_date, listen_hour
union all
select
    listen_date,
    listen_hour,
    'age band' as kind,
    age_band as name,
    oldest,
    cast(sum(plays) as bigint) as plays,
    null as unique_listeners
from plays_of_user
inner join band_of_user using (user_id)
group by listen_date, listen_hour, age_band, oldest
union all
select
    listen_date,
    listen_hour,
    'artist' as kind,
    artist as name,
    null as oldest,
    cast(sum(plays) as bigint) as plays,
    null as unique_listeners
from plays_of_track
inner join artists_of_track using (track_id)
where artist <> ''
group by listen_date, listen_hour, artist
union all
select
    listen_date,
    listen_hour,
    'track' as kind,
    track_id as name,
    null as oldest,
    plays,
    null as unique_listeners
from plays_of_track
