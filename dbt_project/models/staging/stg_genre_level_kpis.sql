copy {{ table_beside(this) }}
from '{{ batch_folder(source('glue', 'genre_level_kpis')) }}/manifest.json'
iam_role {{ copy_role() }}
format as parquet
manifest
