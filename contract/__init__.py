"""The facts that more than one part of the pipeline needs: the lake's layout and records, S3, CSV, registries.

The package needs only Python's standard library and boto3, since the DAG bundle and the Glue jobs' archive ship it.
"""
