"""The facts that more than one part of the pipeline needs: the lake's layout and records, S3, CSV, registries.

It needs Python's standard library and boto3 only: the DAG bundle and the archive of the Glue jobs both ship it.
"""
