"""Whether the bytes of a record are one strict JSON value within the limits, and if not, what is wrong.

Strictness is that of RFC 8259, by parsing twice inside other text, which no trailing text, second object or
repeated key survives (docs/parsing.md).
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sluice import schemas
from sluice.transforms.fields import JSON_OPTIONS
from sluice.transforms.parse import Limits

_PAIRED_SURROGATES = r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = r"\\u[dD][89a-fA-F]"
_JSON_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'


def read_strictly(records: DataFrame, limits: Limits) -> DataFrame:
    """Adds `_text`, `_early` (a problem found before parsing) and `_variant` (null unless strict JSON)."""
    size = F.octet_length("raw.value")
    text = F.when(size <= limits.message_bytes, F.col("raw.value").cast("string"))
    blank = F.col("raw.value").isNull() | F.col("_text").rlike(r"^[\s]*(\{\s*\})?\s*$")
    sized = records.withColumn("_text", text)
    utf8 = sized.withColumn("_utf8", F.is_valid_utf8("_text"))
    wrapped = (_wrap("[", "]"), _wrap('{"v":', "}"))
    strict = reduce(Column.__and__, [F.try_parse_json(each).isNotNull() for each in wrapped])
    parsed = utf8.withColumn("_strict", F.coalesce(F.col("_utf8") & strict, F.lit(False)))
    lenient = F.from_json(wrapped[0], "array<struct<`_`:string>>", JSON_OPTIONS).isNotNull() & _lenient(wrapped[1])
    deep = _is_too_deep(limits.nesting)
    early = F.coalesce(
        problem_when(blank, schemas.EMPTY_MESSAGE, F.lit("the message is empty")),
        problem_when(size > limits.message_bytes, schemas.TOO_LARGE, over_limit(size, "bytes", limits.message_bytes)),
        problem_when(~F.col("_utf8"), schemas.NOT_UTF8, F.lit("the bytes are not UTF-8")),
        problem_when(deep, schemas.TOO_DEEP, F.lit(f"nested deeper than {limits.nesting}")),
        problem_when(
            ~F.col("_strict") & _is_beyond_parser(), schemas.TOO_LARGE, F.lit("a number or a field's name is too long")
        ),
        problem_when(~F.col("_strict") & lenient, schemas.DUPLICATE_FIELD, F.lit("a field stands there twice")),
        problem_when(~F.col("_strict"), schemas.NOT_JSON, F.lit("not one JSON value after RFC 8259")),
        problem_when(_has_lone_surrogate_in_name(), schemas.NOT_JSON, F.lit("a field's name has a lone surrogate")),
    )
    variant = F.when(F.col("_early").isNull(), F.try_parse_json("_text"))
    return parsed.withColumn("_early", early).withColumn("_variant", variant)


def problem_when(condition: Column, code: str, detail: Column) -> Column:
    """A struct of `code` and `detail` where the condition holds, else null."""
    return F.when(condition, F.struct(F.lit(code).alias("code"), detail.cast("string").alias("detail")))


def over_limit(size: Column, what: str, most: int) -> Column:
    """The detail of something too large."""
    return F.concat(size.cast("string"), F.lit(f" {what}, at most {most}"))


def has_lone_surrogate(text: Column) -> Column:
    """Whether JSON text escapes half of a surrogate pair, which is no character."""
    return text.rlike(_LONE_SURROGATE) & F.regexp_replace(text, _PAIRED_SURROGATES, "").rlike(_LONE_SURROGATE)


def _has_lone_surrogate_in_name() -> Column:
    """The same, for the names of fields alone: Spark takes a Variant with such a name for malformed, and stops."""
    names = F.regexp_replace("_text", rf"({_JSON_STRING}\s*:)|{_JSON_STRING}", "$1")
    return F.col("_text").rlike(_LONE_SURROGATE) & has_lone_surrogate(names)


def _is_too_deep(nesting: int) -> Column:
    """Whether brackets stay after as many rounds of taking innermost pairs away as nesting allows.

    What is unbalanced stays as well: it is too deep only if more than `nesting` opening brackets are left.
    """
    brackets = F.regexp_replace(F.regexp_replace("_text", _JSON_STRING, ""), r"[^\[\]{}]+", "")
    rounds = F.sequence(F.lit(1), F.lit(nesting))
    left = F.reduce(rounds, brackets, lambda rest, _: F.regexp_replace(rest, r"\[\]|\{\}", ""))
    opening = F.length(F.regexp_replace(left, r"[\]}]+", ""))
    return (F.length(brackets) > nesting) & (left != "") & (F.col("_strict") | (opening > nesting))


def _is_beyond_parser() -> Column:
    """Whether a number or a field's name is longer than the parser takes (1,000 and 50,000 characters)."""
    bare = F.regexp_replace("_text", _JSON_STRING, "")
    return bare.rlike(r"[0-9][0-9.eE+-]{1000}") | F.col("_text").rlike(r'"(?:[^"\\]|\\.){50001,}+"\s*:')


def _wrap(before: str, after: str) -> Column:
    return F.concat(F.lit(before), F.col("_text"), F.lit(after))


def _lenient(wrapped: Column) -> Column:
    return F.from_json(wrapped, "v struct<`_`:string>, _corrupt string", JSON_OPTIONS)["_corrupt"].isNull()
