-- One row per track from `landed_rows`, the columns of songs.csv as text.
with typed_songs as materialized (

    select
        trim(track_id, e' \t\r\n\f\x0b') as track_id,
        as_number(id) as id,
        nullif(track_name, '') as track_name,
        nullif(artists, '') as artists,
        case when as_number(duration_ms) between 0 and 1000000000000 then as_number(duration_ms) end as duration_ms,
        case when trim(track_genre, e' \t\r\n\f\x0b') <> '' then fit(track_genre, 256) end as track_genre
    from landed_rows

),

repeated_tracks as (

    select track_id
    from typed_songs
    group by track_id
    having count(*) > 1

),

-- The other columns break ties, so that the choice never depends on the order of the rows.
first_of_repeated_songs as (

    select typed_songs.*
    from typed_songs
    semi join repeated_tracks using (track_id)
    qualify row_number() over (
        partition by track_id
        order by
            id asc nulls last,
            track_name asc nulls first,
            artists asc nulls first,
            duration_ms asc nulls first,
            track_genre asc nulls first
    ) = 1

),

-- Few tracks repeat, and to sort the others takes longer than all the rest.
songs as (

    select typed_songs.*
    from typed_songs
    anti join repeated_tracks using (track_id)
    union all
    select * from first_of_repeated_songs

)

-- Redshift ignores trailing spaces in comparisons, so genres that differ only in them would be two rows of one key.
select
    track_id,
    track_name,
    artists,
    cast(duration_ms as decimal(20, 3)) as duration_ms,
    rtrim(coalesce(track_genre, 'unknown'), ' ') as track_genre
from songs
where track_id <> ''
