"""The page of charts: one HTML file that managers open, made of the views in dbt's `models/reports`."""
