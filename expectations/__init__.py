"""What the datasets must look like: one Great Expectations suite for each, and the code that runs them over a batch.

Import `expectations.report` (standard library only) anywhere. Import `expectations.validation` inside the function that
validates, never while a DAG is parsed: it imports Great Expectations and pandas, which takes seconds.
"""
