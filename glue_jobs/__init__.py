"""The Spark jobs that AWS Glue runs: curation of landed events, and the raw KPI tables.

Spark distributes the work and DuckDB computes: a job plans small tasks, and `distribution` runs a kernel for each of
them on Spark's workers. A kernel is a plain function over one DuckDB connection. Glue gets this package and `contract`
as one archive.
"""
