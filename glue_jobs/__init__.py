"""The Spark jobs that AWS Glue runs: curation of landed events, and the two raw KPI tables.

One script per job; each is pure DataFrame functions and a thin main(). Nothing here imports more than PySpark, boto3
and the standard library, so the package runs on Glue as one `--extra-py-files` archive.
"""
