"""Amazon Redshift for one machine: a gateway that speaks Redshift's protocol and dialect, in front of PostgreSQL.

It reproduces the behaviour that clients see: statements, transactions, COPY, errors. It does not emulate Redshift's
planner, distribution, concurrency limits or permissions. It refuses statements that it does not know. docs/redshift.md
lists all this in tables, with the differences that it does not detect.
"""
