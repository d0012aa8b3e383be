-- When a run began and ended before it was first taken up again; NULL: it never was.
ALTER TABLE runs ADD COLUMN first_start_date INTEGER;
ALTER TABLE runs ADD COLUMN first_end_date INTEGER;

-- When an attempt could have started, and the machine that it ran on; NULL: not known.
ALTER TABLE attempts ADD COLUMN ready_at INTEGER;
ALTER TABLE attempts ADD COLUMN host TEXT;
