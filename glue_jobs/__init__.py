"""The Spark jobs that AWS Glue runs: curation of landed events, and the raw KPI tables.

Spark distributes, DuckDB computes: a job plans small tasks, and `distribution` runs a kernel for each of them on Spark's
workers. A kernel is a plain function over one DuckDB connection. The package runs on Glue beside `contract`, as one
archive.
"""
