"""Translates Redshift's SQL to PostgreSQL's, and refuses statements that it cannot translate exactly.

It edits masked text, never literals, quoted names or comments. It refuses constructs that it cannot translate, unless
they are known to work alike on both. not_in_redshift.toml lists those that PostgreSQL accepts and Redshift does not.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from sandbox.redshift.copy_command import CopyCommand, parse_copy
from sandbox.redshift.errors import NOT_SUPPORTED, SYNTAX_ERROR, RefusedError
from sandbox.redshift.not_in_redshift import CONSTRUCTS
from sandbox.redshift.sql_text import LITERAL, NAME, QUALIFIED_NAME, SqlText, arguments, around, closing, literal, mask


@dataclass(frozen=True)
class Statement:
    """A statement as the client sent it, and the statement that PostgreSQL runs instead.

    For a COPY PostgreSQL runs an empty statement, so that prepared statements and portals work as usual. `commits`
    means that the statement ends its transaction.
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
    r"(?:insert|update|delete|analyze|comment|grant|revoke|set|reset)\b",
    r"show\s+\w+$",
    r"explain\b(?!\s*(?:analyze|verbose|\())",
    rf"merge\s+into\s+{QUALIFIED_NAME}\s+using\b",
    r"(?:start\s+transaction|(?:begin|commit|end|rollback|abort)(?:\s+(?:work|transaction))?)$",
    rf"lock\s+(?:table\s+)?{QUALIFIED_NAME}(?:\s*,\s*{QUALIFIED_NAME})*$",
    _CREATE_TABLE.pattern,
    _TRUNCATE.pattern,
    r"create\s+(?:or\s+replace\s+)?view\b",
    r"(?:create|drop)\s+schema\b",
    rf"(?:create|drop)\s+(?:role|group)\s+{NAME}$",
    rf"create\s+user\s+{NAME}\s+password\s+disable$",
    rf"alter\s+user\s+{NAME}\s+(?:set\s+statement_timeout\s+to|session\s+timeout)\s+\d+$",
    r"drop\s+(?:table|view)\b",
    rf"alter\s+table\s+{QUALIFIED_NAME}\s+(?:rename|add\s+column|drop\s+column|owner\s+to)\b",
    r"$",
)
_GRANT = _pattern(r"(?:grant|revoke)\b")
# PostgreSQL has only roles, and its statements name them without the word role or group.
_GRANTEE = _pattern(r"(\b(?:to|from)\s+|,\s*)(?:role|group)\s+")
_REMOVE_DUPLICATES = _pattern(r"merge\b.*\bremove\s+duplicates$")

_ALTER_TABLE = _pattern(r"alter\s+table\b")
_QUERY_OF_TABLE = _pattern(r"\bas\s*(?:\(\s*)*(?:select|with)\b")
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
        # Keys are informational: Redshift enforces only the NOT NULL of a primary key.
        (rf",\s*{_CONSTRAINT}unique\s*\([^)]*\)", ""),
        (rf",\s*{_CONSTRAINT}foreign\s+key\s*\([^)]*\)\s*references\s+{QUALIFIED_NAME}\s*(?:\([^)]*\))?", ""),
        (rf"(,\s*{_CONSTRAINT})primary\s+key\s*\(([^)]*)\)", r"\1check ((\2) is not null)"),
        (rf"{_CONSTRAINT}\bunique\b", ""),
        (rf"{_CONSTRAINT}\breferences\s+{QUALIFIED_NAME}\s*(?:\([^)]*\))?", ""),
        (r"\bprimary\s+key\b", "not null"),
        # The default sizes of Redshift's types.
        (r"(?<=[\w\x02])(\s+)(?:varchar|character\s+varying|nvarchar|text)\b(?!\s*\()", r"\1varchar(256)"),
        (r"(?<=[\w\x02])(\s+)(?:numeric|decimal)\b(?!\s*\()", r"\1numeric(18,0)"),
        # n in varchar(n) counts bytes.
        (
            rf"((?:[(,]|\badd\s+column)\s*({NAME})\s+)(?:varchar|character\s+varying|nvarchar)\s*\(\s*(\d+)\s*\)",
            r"\1varchar(\3) check (coalesce(octet_length(\2), 0) <= \3 or pg_catalog.sandbox_too_long())",
        ),
    )
]
_EDITS = [
    (_pattern(old), new)
    for old, new in (
        (r"\b(varchar|character\s+varying|nvarchar)\s*\(\s*max\s*\)", r"varchar(65535)"),
        (r"(::\s*|\bas\s+)(?:numeric|decimal)\b(?!\s*\()", r"\1numeric(18,0)"),
        (r"(?<!\bas )\bsysdate\b", "pg_catalog.sysdate()"),
        (r"\bnvl\s*\(", "coalesce("),
        (r"\bapproximate\s+(?=count\s*\(\s*distinct\b)", ""),
        (r"\brespect\s+nulls\b", ""),
        (r"\bminus(?=\s*(?:\(\s*)*(?:select|with)\b)", "except"),
        (r"\b(dateadd|datediff|date_part)\s*\(\s*([a-z_]+)\s*,", r"\1('\2',"),
        (r"(?<![\w.\x02])date_part\s*\(", "pg_redshift.pgdate_part("),
        (r"\bextract\s*\(\s*([a-z_]+)\s+from\b", r"pg_redshift.date_part('\1',"),
        (rf"\bextract\s*\(\s*({LITERAL})\s+from\b", r"pg_redshift.date_part(\1,"),
        # Functions that PostgreSQL has, too, but with another meaning.
        (r"(?<![\w.\x02])(avg|date_trunc|regexp_(?:count|instr|substr)|split_part)\s*\(", r"pg_redshift.\1("),
        (r"\bwith\s+no\s+schema\s+binding$", ""),
        (r"\bpassword\s+disable$", "password null"),
        (r"\bsession\s+timeout\s+(\d+)$", r"set idle_in_transaction_session_timeout to '\1s'"),
        (r"^((?:set|reset|show)\s+)query_group\b", r"\1redshift.query_group"),
    )
]

_QUALIFY = _pattern(r"(?<!\bas )\bqualify\b(?=\s*[\w(\x01])")
_AFTER_QUALIFY = _pattern(r"\b(?:order\s+by|limit|offset|union|intersect|except|minus)\b", "$")
_SELECT, _FROM = _pattern(r"\bselect\b(?:\s+distinct\b)?"), _pattern(r"\bfrom\b")
# A column of a SELECT list, and the name that it gets.
_NAMED = _pattern(rf"(?:(?P<expression>.*)\bas\s+|(?:{NAME}\s*\.\s*)*)(?P<name>(?!\d){NAME})$")
_TOP = _pattern(r"(\bselect\s+)top\s+(\d+)\b")


def _decode(given: list[str], _: str) -> str:
    value, *pairs = given
    if len(pairs) < 2:
        raise RefusedError("decode takes a value, and at least one pair of a search and a result", SYNTAX_ERROR)
    default = pairs.pop() if len(pairs) % 2 else "null"
    whens = (f"when ({value}) is not distinct from ({pairs[i]}) then {pairs[i + 1]}" for i in range(0, len(pairs), 2))
    return f"case {' '.join(whens)} else {default} end"


def _nvl2(given: list[str], _: str) -> str:
    if len(given) != 3:
        raise RefusedError("nvl2 takes three arguments", SYNTAX_ERROR)
    return f"case when ({given[0]}) is not null then {given[1]} else {given[2]} end"


def _json_extract_path_text(given: list[str], _: str) -> str:
    null_if_invalid = given.pop() if given[-1].lower() in ("true", "false") else "false"
    return f"pg_redshift.json_extract_path_text({', '.join([null_if_invalid, *given])})"


def _listagg(given: list[str], clause: str) -> str:
    delimiter = given[1] if len(given) > 1 else "''"
    return f"pg_redshift.listagg({given[0]}, {delimiter} {clause[clause.find('(') + 1 : -1]})"


# Functions that become other expressions on PostgreSQL, made from their arguments and the OVER or WITHIN GROUP clause.
_CALLS: dict[str, Callable[[list[str], str], str]] = {
    "decode": _decode,
    "json_extract_path_text": _json_extract_path_text,
    "listagg": _listagg,
    "median": lambda given, over: f"pg_redshift.median(array_agg({given[0]}){over})",
    "nvl2": _nvl2,
    "ratio_to_report": lambda given, over: f"pg_redshift.ratio_to_report({given[0]}, sum({given[0]}){over})",
}
_CALL = _pattern(rf"(?<![\w.\x02])({'|'.join(_CALLS)})\s*\(")
_CLAUSE = _pattern(r"\s*(?:over|within\s+group)\s*\(")


def translate(sql: str) -> Statement:
    """Translates a statement for PostgreSQL; a refused one becomes a statement that fails with the reason."""
    try:
        text = mask(sql)
        if text.code[:4].lower() == "copy":
            return Statement(sql, "", parse_copy(text))
        text = replace(text, code=_with_qualify(text.code))
        return Statement(sql, text.restore(_edited(text)), commits=bool(_TRUNCATE.match(text.code)))
    except RefusedError as refusal:
        return Statement(sql, refusal_statement(refusal))


def refusal_statement(refusal: RefusedError) -> str:
    """Returns a statement that fails with the refusal's text."""
    return f"select pg_catalog.sandbox_refuse({literal(refusal.text)}, {literal(refusal.sqlstate)})"


def refuse_what_is_not_redshifts(text: SqlText) -> None:
    """Checks one statement, except a COPY.

    Raises:
        RefusedError: the sandbox does not know the kind of statement, or Redshift lacks one of its constructs; then the
            text gives the replacement and the page of Amazon's documentation.
    """
    if not _STATEMENTS.match(text.code) or _REMOVE_DUPLICATES.match(text.code):
        raise RefusedError(
            f"the sandbox's warehouse does not know statements like: {text.restore(text.code)[:200]}", NOT_SUPPORTED
        )
    definition, _ = _definition_and_rest(text.code)
    for construct in CONSTRUCTS:
        if found := construct.compiled.search(definition if construct.definition else text.code):
            refuses = "Only Redshift takes" if construct.only_redshift else "Redshift does not take"
            raise RefusedError(
                f"{refuses} `{text.restore(found[0])}`: {construct.says}; see {construct.source}", NOT_SUPPORTED
            )


def _edited(text: SqlText) -> str:
    refuse_what_is_not_redshifts(text)
    definition, rest = _definition_and_rest(text.code)
    for old, new in _TABLE_EDITS:
        definition = old.sub(new, definition)
    code = definition + rest
    if _GRANT.match(code):
        code = _GRANTEE.sub(r"\1", code)
    for old, new in _EDITS:
        code = old.sub(new, code)
    return _with_limits(_with_other_calls(code))


def _with_other_calls(code: str) -> str:
    for call in reversed(list(_CALL.finditer(code))):  # inner calls, in the arguments of others, come first
        end = closing(code, call.end())
        given, clause = arguments(code[call.end() : end]), _CLAUSE.match(code, end + 1)
        after = closing(code, clause.end()) + 1 if clause else end + 1
        code = code[: call.start()] + _CALLS[call[1].lower()](given, code[end + 1 : after]) + code[after:]
    return code


def _with_qualify(code: str) -> str:
    """Turns QUALIFY into the WHERE of an outer SELECT, if all columns have names; any other stays, and is refused."""
    while qualify := _QUALIFY.search(code):
        start, flat = around(code, qualify.start())
        place = qualify.start() - start
        *_, select = [None, *_SELECT.finditer(flat, 0, place)]
        source = _FROM.search(flat, select.end(), place) if select else None
        if not select or not source:
            return code
        after = _AFTER_QUALIFY.search(flat, place)
        end = start + (after.start() if after else len(flat))
        columns, condition = code[start + select.end() : start + source.start()], code[qualify.end() : end]
        named = [found for column in arguments(columns) if (found := _NAMED.match(column))]
        # An alias may also be a column of the tables, and which of the two Redshift takes is not documented.
        aliases = {column["name"].lower() for column in named if column["expression"]}
        if len(named) < len(arguments(columns)) or aliases & set(re.findall(NAME, condition.lower())):
            return code
        inner = f"select {columns}, ({condition}) as sandbox_qualifies {code[start + source.start() : qualify.start()]}"
        names = ", ".join(column["name"] for column in named)
        outer = f"{select[0]} {names} from ({inner}) as sandbox_rows where sandbox_qualifies "
        code = code[: start + select.start()] + outer + code[end:]
    return code


def _with_limits(code: str) -> str:
    """Turns TOP into LIMIT at the end of its SELECT."""
    while top := _TOP.search(code):
        end = closing(code, top.end())
        code = f"{code[: top.start()]}{top[1]}{code[top.end() : end]} limit {top[2]}{code[end:]}"
    return code


def _definition_and_rest(code: str) -> tuple[str, str]:
    """Splits a statement into the definition of a table's columns, and the rest: a query, or any other statement."""
    if _CREATE_TABLE.match(code) and (query := _QUERY_OF_TABLE.search(code)):
        return code[: query.start()], code[query.start() :]
    return (code, "") if _CREATE_TABLE.match(code) or _ALTER_TABLE.match(code) else ("", code)
