copy {{ table_beside(this) }}
from '{{ batch_folder(source('glue', 'hourly_kpis')) }}/manifest.json'
iam_role {{ copy_role() }}
format as parquet
manifest
