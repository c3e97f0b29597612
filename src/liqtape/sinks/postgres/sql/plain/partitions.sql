SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'liquidations'::regclass;
