-- The verdict on each row of stream files: `reason` is null for a good one, else why it is rejected.
-- Takes `stream_rows`: file (its number), user_id, track_id, listen_time as text, fault (why the line is no row), raw_line.
-- Parameters: blanks (characters that do not count around a field), latest (the last moment an event may have).
-- Rows of nothing but separators are blank lines, which are no rows.
with trimmed_rows as (

    select
        file,
        nullif(trim(user_id, $blanks), '') as user_id,
        nullif(trim(track_id, $blanks), '') as track_id,
        nullif(trim(listen_time, $blanks), '') as listen_time,
        fault,
        raw_line
    from stream_rows

),

timed_rows as (

    select
        *,
        try_cast(listen_time as timestamp) as moment
    from trimmed_rows

),

judged_rows as (

    select
        *,
        case
            when fault is not null then fault
            when user_id is null then 'user_id is missing'
            when track_id is null then 'track_id is missing'
            when listen_time is null then 'listen_time is missing'
            -- A time is written in one way: it reads as it was written once it has been understood.
            when moment is null or strlen(listen_time) <> 19 or cast(moment as varchar) <> listen_time
                then 'listen_time is not a timestamp'
            when moment > $latest then 'listen_time is in the future'
        end as reason
    from timed_rows
    where not (
        user_id is null and track_id is null and listen_time is null and trim(raw_line, $blanks || ',') = ''
    )

)

select
    file,
    user_id,
    track_id,
    case when reason is null then moment end as listen_time,
    reason,
    case when reason is not null then raw_line end as raw_line
from judged_rows
