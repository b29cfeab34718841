-- Macros that the SQL of the KPI jobs calls.

-- Parses a number in ASCII digits (`5`, `-0.5`, `1.8e5`), rounded to a thousandth; null for any other text.
create or replace macro as_number(text) as
    case
        when regexp_full_match(
            trim(text, e' \t\r\n\f\x0b'),
            '[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?'
        )
            then try_cast(trim(text, e' \t\r\n\f\x0b') as decimal(38, 3))
    end;

-- Removes NUL and U+FFFF from a text, and cuts it to the longest beginning that fits a Redshift `varchar(max_bytes)`,
-- whose length counts bytes of UTF-8.
create or replace macro fit(text, max_bytes) as
    case
        when strlen(replace(replace(text, chr(0), ''), chr(65535), '')) <= max_bytes
            then replace(replace(text, chr(0), ''), chr(65535), '')
        else
            left(
                replace(replace(text, chr(0), ''), chr(65535), ''),
                cast(list_max(list_filter(
                    range(max_bytes // 4, max_bytes + 1),
                    lambda length: strlen(left(replace(replace(text, chr(0), ''), chr(65535), ''), length)) <= max_bytes
                )) as bigint)
            )
    end;
