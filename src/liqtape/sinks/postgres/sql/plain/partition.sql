-- Attached rather than made in place: readers are not held up meanwhile.
CREATE TABLE {name} (LIKE liquidations INCLUDING DEFAULTS);
ALTER TABLE liquidations ATTACH PARTITION {name} FOR VALUES FROM ({from_ms}) TO ({until_ms});
