-- One row per user from `landed_rows`, the columns of users.csv as text.
select
    trim(user_id, e' \t\r\n\f\x0b') as user_id,
    case when as_number(user_age) between 0 and 130 then cast(floor(as_number(user_age)) as smallint) end as user_age
from landed_rows
where trim(user_id, e' \t\r\n\f\x0b') <> ''
