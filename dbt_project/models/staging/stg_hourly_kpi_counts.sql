copy {{ table_beside(this) }}
from '{{ batch_folder(source('glue', 'hourly_kpi_counts')) }}/counts.csv'
iam_role {{ copy_role() }}
format as csv
ignoreheader 1
timeformat 'auto'
