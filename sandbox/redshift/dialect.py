"""What Redshift's SQL becomes on PostgreSQL, and what is refused.

Edits are made on masked text, never inside literals, quoted names or comments. What is neither known to work alike on
both nor handled here is refused: PostgreSQL accepts much that Redshift does not.
"""

import re
from dataclasses import dataclass

from sandbox.redshift.copy_command import CopyCommand, parse_copy
from sandbox.redshift.errors import NOT_SUPPORTED, RefusedError
from sandbox.redshift.sql_text import NAME, QUALIFIED_NAME, SqlText, literal, mask


@dataclass(frozen=True)
class Statement:
    """A statement as the client sent it, and what PostgreSQL runs for it.

    For a COPY that is an empty statement, so that prepared statements and portals work as usual. `commits`: it ends the
    transaction that it is in.
    """

    original: str
    sql: str
    copy: CopyCommand | None = None
    commits: bool = False


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{alternative})" for alternative in alternatives), re.IGNORECASE | re.DOTALL)


_CREATE_TABLE = _pattern(r"create\s+(?:(?:local\s+)?temp(?:orary)?\s+)?table\b")
_TRUNCATE = _pattern(rf"truncate\s+(?:table\s+)?{QUALIFIED_NAME}$")
_STATEMENTS = _pattern(
    r"\(*\s*(?:select|with)\b",
    r"(?:insert|update|delete|analyze|comment|grant|revoke|set|reset|show)\b",
    r"explain\b(?!\s*(?:analyze|verbose|\())",
    rf"merge\s+into\s+{QUALIFIED_NAME}\s+using\b",
    r"(?:start\s+transaction|(?:begin|commit|end|rollback|abort)(?:\s+(?:work|transaction))?)$",
    rf"lock\s+(?:table\s+)?{QUALIFIED_NAME}(?:\s*,\s*{QUALIFIED_NAME})*$",
    _CREATE_TABLE.pattern,
    _TRUNCATE.pattern,
    r"create\s+(?:or\s+replace\s+)?view\b",
    r"(?:create|drop)\s+schema\b",
    r"drop\s+(?:table|view)\b",
    rf"alter\s+table\s+{QUALIFIED_NAME}\s+(?:rename|add\s+column|drop\s+column|owner\s+to)\b",
    r"$",
)
_POSTGRESQL_ONLY = _pattern(
    r"\bon\s+conflict\b",
    r"\breturning\b",
    r"\bdistinct\s+on\s*\(",
    r"\bfilter\s*\(\s*where\b",
    r"\b(?:from|join)\s*\(\s*values\b",
    r"\bfor\s+(?:no\s+key\s+)?(?:update|share)\b",
    r"\btablesample\b",
    r"\blateral\b",
    r"\bas\s+(?:not\s+)?materialized\b",
    r"::\s*(?:json|jsonb|uuid|bytea|inet|xml|money)\b",
    r"::\s*\w+\s*\[",
    r"\barray\s*\[",
    r"\b(?:string_agg|array_agg|unnest|generate_series|generate_subscripts|format|gen_random_uuid|age|make_\w+)\s*\(",
    r"\b(?:to_json|json_agg|json_build\w*|json_object_agg|json_each\w*|jsonb_\w+|row_to_json|xml\w+)\s*\(",
    r"\b(?:regexp_matches|regexp_split_to_\w+|quote_nullable|encode|convert_to|overlay|justify_\w+)\s*\(",
    r"\b(?:clock_timestamp|statement_timestamp|transaction_timestamp|pg_sleep|nextval|currval|width_bucket)\s*\(",
)
_NOT_IN_MERGE = _pattern(r"\bmatched\s+and\b", r"\bmatched\s+by\b", r"\bdo\s+nothing\b", r"\bremove\s+duplicates\b")

_QUERY_OF_TABLE = _pattern(r"\bas\s*(?:\(\s*)*(?:select|with)\b")
_NOT_IN_TABLE = _pattern(
    r"(?<=[\w\x02])\s+(?:serial|bigserial|jsonb?|uuid|bytea|money|inet|xml)\b",
    r"\[",
    r"\bcheck\s*\(",
    r"\b(?:partition\s+by|inherits|tablespace|on\s+commit|using|generated|collate)\b",
    r"\bwith\s*\(",
)
_CONSTRAINT = rf"(?:\bconstraint\s+{NAME}\s+)?"
_TABLE_EDITS = [
    (_pattern(old), new)
    for old, new in (
        (r"\bdiststyle\s+(?:all|even|key|auto)\b", ""),
        (r"\bdistkey\s*\([^)]*\)", ""),
        (r"\b(?:(?:compound|interleaved)\s+)?sortkey\s*(?:\([^)]*\)|auto\b)", ""),
        (r"\b(?:distkey|sortkey)\b", ""),
        (r"\bbackup\s+(?:yes|no)\b", ""),
        (r"\bencode\s+\w+", ""),
        # Keys are informational: nothing of them is enforced but a primary key's NOT NULL.
        (rf",\s*{_CONSTRAINT}unique\s*\([^)]*\)", ""),
        (rf",\s*{_CONSTRAINT}foreign\s+key\s*\([^)]*\)\s*references\s+{QUALIFIED_NAME}\s*(?:\([^)]*\))?", ""),
        (rf"(,\s*{_CONSTRAINT})primary\s+key\s*\(([^)]*)\)", r"\1check ((\2) is not null)"),
        (rf"{_CONSTRAINT}\bunique\b", ""),
        (rf"{_CONSTRAINT}\breferences\s+{QUALIFIED_NAME}\s*(?:\([^)]*\))?", ""),
        (r"\bprimary\s+key\b", "not null"),
        # The sizes that Redshift gives to types without one.
        (r"(?<=[\w\x02])(\s+)(?:varchar|character\s+varying|nvarchar|text)\b(?!\s*\()", r"\1varchar(256)"),
        (r"(?<=[\w\x02])(\s+)(?:numeric|decimal)\b(?!\s*\()", r"\1numeric(18,0)"),
    )
]
_EDITS = [
    (_pattern(old), new)
    for old, new in (
        (r"\b(varchar|character\s+varying|nvarchar)\s*\(\s*max\s*\)", r"varchar(65535)"),
        (r"(::\s*|\bas\s+)(?:numeric|decimal)\b(?!\s*\()", r"\1numeric(18,0)"),
        (r"\bsysdate\b", "pg_catalog.sysdate()"),
        (r"\bnvl\s*\(", "coalesce("),
        (r"\b(dateadd|datediff|date_part)\s*\(\s*([a-z]+)\s*,", r"\1('\2',"),
        (r"\)\s*with\s+no\s+schema\s+binding$", ")"),
        (r"^((?:set|reset|show)\s+)query_group\b", r"\1redshift.query_group"),
    )
]


def translate(sql: str) -> Statement:
    """What to run for one statement of a client; what is refused becomes a statement that fails with the reason."""
    try:
        text = mask(sql)
        if text.code[:4].lower() == "copy":
            return Statement(sql, "", parse_copy(text))
        return Statement(sql, text.restore(_edited(text)), commits=bool(_TRUNCATE.match(text.code)))
    except RefusedError as refusal:
        return Statement(sql, refusal_statement(refusal))


def refusal_statement(refusal: RefusedError) -> str:
    """A statement that fails with the refusal's text."""
    return f"select pg_catalog.sandbox_refuse({literal(refusal.text)}, {literal(refusal.sqlstate)})"


def _edited(text: SqlText) -> str:
    code = text.code
    if not _STATEMENTS.match(code):
        raise RefusedError(
            f"the sandbox's warehouse does not know statements like: {text.restore(code)[:200]}", NOT_SUPPORTED
        )
    _refuse_if(_POSTGRESQL_ONLY.search(code))
    if code[:5].lower() == "merge":
        _refuse_if(_NOT_IN_MERGE.search(code))
    if _CREATE_TABLE.match(code):
        code = _table_without_redshifts_attributes(code)
    for old, new in _EDITS:
        code = old.sub(new, code)
    return code


def _table_without_redshifts_attributes(code: str) -> str:
    query = _QUERY_OF_TABLE.search(code)
    start_of_query = query.start() if query else len(code)
    definition = code[:start_of_query]
    _refuse_if(_NOT_IN_TABLE.search(definition))
    for old, new in _TABLE_EDITS:
        definition = old.sub(new, definition)
    return definition + code[start_of_query:]


def _refuse_if(found: re.Match[str] | None) -> None:
    if found:
        raise RefusedError(f"not supported on Redshift, or not known to the sandbox: {found[0].strip()}", NOT_SUPPORTED)
