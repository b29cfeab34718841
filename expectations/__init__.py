"""The rules for the datasets: suites of Great Expectations, and the code that runs them over a batch.

Import `expectations.report` (standard library only) anywhere. Import `expectations.validation` inside the function that
validates, never while a DAG is parsed: it imports Great Expectations and pandas, which takes seconds.
"""

import logging
import os

# Great Expectations reads this when it is imported, and tells of its own set-up in hundreds of lines.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
logging.getLogger("great_expectations").setLevel(logging.WARNING)
