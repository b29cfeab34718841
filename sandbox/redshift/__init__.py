"""Amazon Redshift for one machine: a gateway that speaks Redshift's protocol and dialect, before a PostgreSQL."""
