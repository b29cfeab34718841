{{ copy_kpis(source('glue', 'genre_level_kpis')) }}
