"""Amazon Redshift for one machine: a gateway that speaks Redshift's protocol and dialect, before a PostgreSQL.

It proves what clients see: statements, transactions, COPY, errors. It knows nothing of Redshift's planner,
distribution, concurrency limits or permissions. What it does not know it refuses; these differences it does not notice:
quoted names keep their case, avg() of integers has decimals, varchar(n) counts bytes in COPY but characters elsewhere,
and a view "with no schema binding" is bound.
"""
