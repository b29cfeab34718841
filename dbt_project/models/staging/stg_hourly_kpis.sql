{{ copy_kpis(source('glue', 'hourly_kpis')) }}
