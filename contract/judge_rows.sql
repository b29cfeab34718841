-- Judges each row of stream files: `reason` is null for a good row, otherwise it says why the row is rejected.
-- Reads `stream_rows`: file (its number), user_id, track_id, listen_time as text without the blanks around it, fault
-- (why the line is not a row), raw_line. A line of nothing but separators is blank, and is left out.
-- Parameters: blanks (the characters that count as blank), latest (the last moment an event may have).
with present_fields as (

    select
        file,
        nullif(user_id, '') as user_id,
        nullif(track_id, '') as track_id,
        nullif(listen_time, '') as listen_time,
        fault,
        raw_line
    from stream_rows

),

timed_rows as (

    select
        *,
        try_cast(listen_time as timestamp) as moment
    from present_fields

),

judged_rows as (

    select
        *,
        case
            when fault is not null then fault
            when user_id is null then 'user_id is missing'
            when track_id is null then 'track_id is missing'
            when listen_time is null then 'listen_time is missing'
            -- Only one format is accepted: the parsed time, written as text again, must equal the input.
            when moment is null or strlen(listen_time) <> 19 or cast(moment as varchar) <> listen_time
                then 'listen_time is not a timestamp'
            when moment > $latest then 'listen_time is in the future'
        end as reason
    from timed_rows
    -- A `case`, because `and` would trim every line.
    where case
        when user_id is null and track_id is null and listen_time is null then trim(raw_line, $blanks || ',') <> ''
        else true
    end

)

select
    file,
    user_id,
    track_id,
    case when reason is null then moment end as listen_time,
    reason,
    case when reason is not null then raw_line end as raw_line
from judged_rows
