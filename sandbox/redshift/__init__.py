"""Amazon Redshift for one machine: a gateway that speaks Redshift's protocol and dialect, before a PostgreSQL.

It proves what clients see: statements, transactions, COPY, errors. It knows nothing of Redshift's planner,
distribution, concurrency limits or permissions. What it does not know it refuses. docs/redshift.md has it in tables,
with the differences that it does not notice.
"""
