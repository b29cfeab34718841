"""The page of charts: one HTML file for managers, made from the views in dbt's `models/reports`."""
