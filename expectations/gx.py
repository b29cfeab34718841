"""Great Expectations without what nothing here uses: it is imported on every run's way, so in half the time.

Its engine for Spark, its statistics on distributions (SciPy) and its charts (Altair) are loaded only if they are used.
"""

import importlib
import logging
import os
import sys
from types import ModuleType
from typing import Any

_ON_FIRST_USE = ("scipy.stats", "altair")
_ABSENT = ("pyspark",)


class _LoadedOnFirstUse(ModuleType):
    """A module's stand-in. `importlib.util.LazyLoader` loads at the first look at it, which importing causes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _import_lean() -> None:
    if "great_expectations" in sys.modules:
        return
    stand_ins: dict[str, ModuleType | None] = {name: _LoadedOnFirstUse(name) for name in _ON_FIRST_USE}
    stand_ins |= dict.fromkeys(_ABSENT)
    stand_ins = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(stand_ins)  # type: ignore[arg-type] # None is the import system's own word for "not there"
    try:
        importlib.import_module("great_expectations")
    finally:
        for name in stand_ins:
            del sys.modules[name]


os.environ["GX_ANALYTICS_ENABLED"] = "false"
logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it tells of its own set-up in hundreds of lines
_import_lean()

import great_expectations as gx  # noqa: E402
from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult  # noqa: E402
from great_expectations.data_context.types.base import (  # noqa: E402
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.core.expect_column_to_exist import ExpectColumnToExist  # noqa: E402
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween  # noqa: E402
from great_expectations.expectations.core.expect_column_values_to_be_null import ExpectColumnValuesToBeNull  # noqa: E402
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull  # noqa: E402
from great_expectations.expectations.expectation import BatchExpectation, Expectation  # noqa: E402
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration  # noqa: E402
from great_expectations.expectations.metadata_types import FailureSeverity  # noqa: E402
from great_expectations.render.components import LegacyDiagnosticRendererType  # noqa: E402
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer  # noqa: E402
from great_expectations.render.renderer.renderer import renderer  # noqa: E402
from great_expectations.render.view.view import DefaultJinjaPageView  # noqa: E402
from great_expectations.validator.v1_validator import Validator  # noqa: E402

__all__ = [
    "BatchExpectation",
    "DataContextConfig",
    "DefaultJinjaPageView",
    "ExpectColumnToExist",
    "ExpectColumnValuesToBeBetween",
    "ExpectColumnValuesToBeNull",
    "ExpectColumnValuesToNotBeNull",
    "Expectation",
    "ExpectationConfiguration",
    "ExpectationSuiteValidationResult",
    "ExpectationValidationResult",
    "FailureSeverity",
    "InMemoryStoreBackendDefaults",
    "LegacyDiagnosticRendererType",
    "ProgressBarsConfig",
    "ValidationResultsPageRenderer",
    "Validator",
    "gx",
    "renderer",
]
