"""The rules for the datasets: suites of Great Expectations, and the code that runs them over a batch.

Any module may import `expectations.report`, which needs only the standard library. Import `expectations.validation`
inside the function that validates, never while a DAG is parsed: it imports Great Expectations and pandas, which takes
seconds.
"""

import logging
import os

# Great Expectations reads this variable when it is imported, and logs its own set-up in hundreds of lines.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
logging.getLogger("great_expectations").setLevel(logging.WARNING)
